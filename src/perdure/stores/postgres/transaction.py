"""One write transaction on PostgreSQL.

What the shared code draws and switches lies elsewhere than in SQLite: numbers in sequences, kept counts in
the change sequence. A number is drawn for this transaction alone and never kept for the next one: a message
put later by another process would else be tagged before it.
"""

from __future__ import annotations

import secrets
from collections import ChainMap, Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

from perdure.clock import Moment
from perdure.messages.message import State
from perdure.stores.postgres.bridge import Runner
from perdure.stores.postgres.dialect import own
from perdure.stores.postgres.flags import Flags
from perdure.stores.postgres.tagging import PostgresTags, TagBook
from perdure.stores.sql.names import CapRow, Names, RouteRow
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.tags import TagMemory, Tags
from perdure.stores.sql.transaction import Transaction

__all__ = ["KeptNames", "Mark", "PostgresTransaction"]

_DRAW, _WORKER, _TAKEN, _TAKE = own("number_draw"), own("worker_number"), own("taken_so_far"), own("taken_add")
_ADD, _LOCK, _IN_TURN, _COUNT = own("change_add_many"), own("change_lock"), own("change_add_in_turn"), own("counting_add")
_PAUSE_ALL, _ALL_PAUSED, _MARK, _FORGET = own("pause_all"), statement("all_paused"), own("mark_set"), own("mark_forget")
_ALONE, _ALONE_OR_WAIT, _REACH, _READ = own("folded_lock"), own("folded_wait"), own("fold_reach"), own("fold_read")
_SET, _TALLY, _COUNTED, _COUNTER = own("folded_set"), own("tally_add"), own("counting_take"), statement("counter_add")
_CAPS, _SPENDING, _SPENT, _LANE_SPENT = own("caps_version"), own("spending_take"), own("spent_add"), own("lane_spent_add")
_MOST_AT_ONCE = 512
_MARKS_KEPT_S = 600.0


Mark: TypeAlias = tuple[Moment, int]
"""What a transaction leaves to be known by."""


class KeptNames(Names):
    """Routes and tenants that are committed, shared by all transactions of a process; or those of one transaction.

    Args:
        run (Run): Of the transaction.
        kept (KeptNames | None): What is known to be committed.
    """

    def __init__(self, run: Run, kept: KeptNames | None = None) -> None:
        super().__init__(run)
        self._kept = kept
        if kept is not None:
            self._by_key = ChainMap({}, kept._by_key)
            self._by_id = ChainMap({}, kept._by_id)
            self._patience = ChainMap({}, kept._patience)
            self._tenants = ChainMap({}, kept._tenants)
            self._tenant_names = ChainMap({}, kept._tenant_names)

    def caps(self, version: int) -> dict[tuple[str, str], CapRow]:
        """List the limits that stand.

        Args:
            version (int): Theirs now: what was read before is read again when it is another.

        Returns:
            dict[tuple[str, str], CapRow]: By scope and name.
        """
        if self._kept is not None and self._kept._caps_version == version != self._caps_version:
            self._caps, self._standing, self._caps_version = self._kept._caps, self._kept._standing, version
        return super().caps(version)

    def keep(self) -> None:
        """Let the others know, now that it is committed."""
        if self._kept is not None:
            if self._caps_version > self._kept._caps_version:
                self._kept._caps, self._kept._standing, self._kept._caps_version = self._caps, self._standing, self._caps_version
            for name in ("_by_key", "_by_id", "_patience", "_tenants", "_tenant_names"):
                new = getattr(self, name).maps[0]
                if new:
                    getattr(self._kept, name).update(new)


class PostgresTransaction(Transaction):
    """What is being committed, inside a driven function.

    Args:
        runner (Runner): Of the connection.
        names (Names): Its routes and tenants.
        now (Moment): The store's time.
        flags (Flags): What may be used.
        book (TagBook): Draws the tags.
    """

    takes_rows_as_text = False
    bite: int = 200
    settling_s: float = 10.0

    def __init__(self, runner: Runner, names: Names, now: Moment, flags: Flags, book: TagBook) -> None:
        self._book = book
        self._flags, self._runner = flags, runner
        self._numbers: Iterator[int] = iter(())
        self._next_block = 1
        self._taken: int | None = None
        self._took = 0
        self._beside: list[tuple[int, State | None, str | None]] = []
        super().__init__(runner.run, runner.run_many, names, now)

    def number(self) -> int:
        """Draw the next of the one growing sequence; in blocks that grow.

        Returns:
            int: Larger than any that this transaction drew before.
        """
        drawn = next(self._numbers, None)
        if drawn is None:
            block, self._next_block = self._next_block, min(8 * self._next_block, _MOST_AT_ONCE)
            self._numbers = iter([number for (number,) in self.run(_DRAW, (block,)).fetchall()])
            drawn = next(self._numbers)
        return drawn

    def worker_number(self) -> int:
        """Draw a number for a worker; committed, or a server that crashes now would draw it again.

        Returns:
            int: Nobody else has it.
        """
        self._runner.wrote = True
        return int(self.run(_WORKER).get)

    def turn(self) -> int:
        """Tell the how many-th of all messages ever leased the next one is; others may lease at the same time.

        Returns:
            int: From 1.
        """
        if self._taken is None:
            self._taken = int(self.run(_TAKEN).get)
        return self._taken + self._took + 1

    def took(self) -> None:
        """Note that one more has been leased."""
        self._took += 1

    def is_all_paused(self) -> bool:
        """Tell whether everything is paused.

        Returns:
            bool: True if nobody may lease.
        """
        return bool(self.run(_ALL_PAUSED).get)

    def pause_all(self, *, paused: bool) -> None:
        """Turn the big switch.

        Args:
            paused (bool): Whether nobody may lease from now on.
        """
        self.run(_PAUSE_ALL, (int(paused),))

    def alone(self) -> bool:
        """Make sure that nobody else tends at the same time.

        Returns:
            bool: False: somebody does. True without `skip_locked`, after a wait for them.
        """
        return self.run(_ALONE if self._flags.skip_locked else _ALONE_OR_WAIT).get is not None

    def fold(self) -> None:
        """Bring the kept counts up to date, as far as no change can appear behind any more."""
        folded = int(self.run(_ALONE_OR_WAIT).get)
        reach = self.run(_REACH, (folded,)).get
        if reach is not None:
            self.run_many(_TALLY, [row for row in self.run(_READ, (folded, reach)) if row[-1]])
            self.run(_SET, (reach,))
        counted: Counter[str] = Counter()
        for name, n in self.run(_COUNTED):
            counted[name] += n
        self.run_many(_COUNTER, list(counted.items()))
        self._add_up_spending()
        self.run(_FORGET, (self.now - _MARKS_KEPT_S,))

    def _add_up_spending(self) -> None:
        sums: dict[tuple[Any, ...], list[int]] = {}
        for row in self.run(_SPENDING).fetchall():
            before = sums.setdefault(tuple(row[:5]), [0] * (len(row) - 5))
            sums[tuple(row[:5])] = [one + more for one, more in zip(before, row[5:], strict=True)]
        self.run_many(_SPENT, [(*whose, *counts) for whose, counts in sorted(sums.items())])
        lanes: dict[str, list[int]] = {}
        for whose, (*used, _held, saved_calls, saved) in sums.items():
            before = lanes.setdefault(whose[4], [0] * (len(used) + 2))
            lanes[whose[4]] = [one + more for one, more in zip(before, (*used, saved_calls, saved), strict=True)]
        self.run_many(_LANE_SPENT, [(lane, *counts) for lane, counts in sorted(lanes.items())])

    def total(self, route: RouteRow, name: str) -> None:
        """Add one to a total of a queue.

        Args:
            route (RouteRow): Of the queue.
            name (str): Which total.
        """
        self._beside.append((route.id, None, name))

    def gone(self, route: RouteRow, state: State, total: str | None = None) -> None:
        """Note that a message has left the store, with all it owned.

        Args:
            route (RouteRow): Where it was.
            state (State): How it had ended.
            total (str | None): A total of its queue that it adds to.
        """
        self._beside.append((route.id, state, total))

    def flush(self) -> None:
        """Write what was gathered."""
        rows: list[tuple[Any, ...]] = [(None, route, was, None, total) for route, was, total in self._beside]
        rows += [(one.id, one.route.id, one.was, one.state, one.total) for one in self._changes]
        if rows:
            if not self._flags.xids:
                self.run(_LOCK)
            self.run(_ADD if self._flags.xids else _IN_TURN, (self.now, *map(list, zip(*rows, strict=True))))
        self.gates.flush()
        if self._counts:
            self.run(_COUNT, (list(self._counts), list(self._counts.values())))
        if self._took:
            self.run(_TAKE, (self._took,))

    def mark(self) -> Mark:
        """Leave a mark, by which can be asked whether this transaction was committed.

        A transaction's number would not do: after a crash of the server it may be another's.

        Returns:
            Mark: It.
        """
        mark = (self.now, secrets.randbits(62))
        self.run(_MARK, mark)
        return mark

    @property
    def moved(self) -> bool:
        """Whether any message has moved."""
        return bool(self._changes)

    def settle(self) -> None:
        """Nothing to do: numbers are drawn from sequences."""

    def _begin(self) -> tuple[int, int, int, int, int]:
        return (0, 0, 0, 0, 0)

    def _tags(self, _: TagMemory | None, /) -> Tags:
        return PostgresTags(self.run, self._book)

    def _limits(self) -> int:
        """The version of the limits, read when it is needed."""
        return int(self.run(_CAPS).get)
