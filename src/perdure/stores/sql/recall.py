"""Reading steps: the rows, what their columns refer to, and both put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import msgspec

from perdure.agents.journal import FORMAT, Step, StepKey, StepKind, StepState, enough
from perdure.agents.runs import Asked, Said
from perdure.agents.talk import Ref, Talk, text_of, told
from perdure.errors.base import ErrorFacts, StoreError
from perdure.messages.message import MessageId
from perdure.resources.packing import Mark, mark_of, unpack
from perdure.resources.usage import Usage
from perdure.stores.sql.progress import failed_tries
from perdure.stores.sql.statements import Run, statement

__all__ = ["Kept", "read_steps"]

_ALL, _BARE, _SAID, _BODY = (statement(name) for name in ("step_list", "step_list_bare", "said_list", "body_get"))
_decode_usage = msgspec.json.Decoder(Usage).decode
_decode_error = msgspec.json.Decoder(ErrorFacts).decode
_RESULT, _REQUEST = -2, -1
E = TypeVar("E", bound=StrEnum)


class Kept(NamedTuple):
    """The journal of a run as it lies in the store, read at one moment."""

    rows: list[tuple[Any, ...]]
    said: dict[bytes, tuple[bytes, bytes]]
    bodies: dict[bytes, bytes]

    @property
    def size_bytes(self) -> int:
        """Roughly how much there is to unpack."""
        return sum(len(row[at] or b"") for row in self.rows for at in (_RESULT, _REQUEST)) + sum(
            len(data) for data in (*self.bodies.values(), *(said for _, said in self.said.values()))
        )

    def steps(self, most_bytes: int | None = None) -> list[Step]:
        """Put the steps together. Takes time where the run is large.

        Args:
            most_bytes (int | None): End early when they have become this large.

        Returns:
            list[Step]: By number.

        Raises:
            StoreError: Something it refers to is gone.
        """
        said = {name: (before, self._plain(data)) for name, (before, data) in self.said.items()}
        steps = (_step(row, self._plain(row[_RESULT]), self._asked(row[_REQUEST], said)) for row in self.rows)
        return list(enough(steps, most_bytes))

    def record(self) -> tuple[list[Step], list[Said], dict[int, Asked]]:
        """Take the steps apart from what was said, each message once.

        Returns:
            tuple[list[Step], list[Said], dict[int, Asked]]: Steps by number, messages, and which of them each step asked with.
        """
        places: dict[bytes, int] = {}
        said: list[Said] = []
        asked: dict[int, Asked] = {}
        steps: list[Step] = []
        for row in self.rows:
            kept: bytes | None = row[_REQUEST]
            if kept is None or mark_of(kept) is not Mark.TALK:
                steps.append(_step(row, self._plain(row[_RESULT]), self._plain(kept)))
                continue
            steps.append(_step(row, self._plain(row[_RESULT]), None))
            ref = Ref.read(kept[1:])
            self._say(ref.last, places, said)
            asked[steps[-1].number] = Asked(text_of(self._plain(self.said[ref.head][1])), places[ref.last])
        return steps, said, asked

    def _say(self, last: bytes, places: dict[bytes, int], said: list[Said]) -> None:
        """Find a message and those before it a place, the earliest first."""
        new: list[bytes] = []
        name = last
        while name and name not in places:
            new.append(name)
            name = self.said[name][0]
        for name in reversed(new):
            before, data = self.said[name]
            places[name] = len(said)
            said.append(Said(places[before] if before else -1, self._plain(data)))

    def _plain(self, kept: bytes | None) -> Any:
        if kept is None:
            return None
        if mark_of(kept) is not Mark.BODY:
            return unpack(kept)
        body = self.bodies.get(kept[1:])
        if body is None:
            raise StoreError("a body that a step refers to is gone", hint="Restore a backup.")
        return unpack(body)

    def _asked(self, kept: bytes | None, said: dict[bytes, tuple[bytes, bytes]]) -> bytes | None:
        if kept is None or mark_of(kept) is not Mark.TALK:
            found: bytes | None = self._plain(kept)
            return found
        ref = Ref.read(kept[1:])
        messages = told(ref, said)
        if messages is None or ref.head not in said:
            raise StoreError("a conversation that a step refers to is gone", hint="Restore a backup.")
        return Talk(said[ref.head][1], list(messages)).whole()


def read_steps(run: Run, id: MessageId, shown: bool = True, after: int = 0) -> Kept:
    """Read the journal of a run.

    Args:
        run (Run): Of a reader or a transaction.
        id (MessageId): Which run.
        shown (bool): With requests, which only people need.
        after (int): Only steps with a larger number.

    Returns:
        Kept: To be put together.
    """
    rows = [tuple(row) for row in run(_ALL if shown else _BARE, (id, after))]
    said: dict[bytes, tuple[bytes, bytes]] = {}
    if any(row[_REQUEST] is not None and row[_REQUEST][:1] == bytes((Mark.TALK,)) for row in rows):
        said = {bytes(name): (bytes(before), bytes(data)) for name, before, data in run(_SAID, (id,))}
    columns = [row[at] for row in rows for at in (_RESULT, _REQUEST) if row[at] is not None]
    return Kept(rows, said, _bodies(lambda digest: run(_BODY, (digest,)).get, (*columns, *(data for _, data in said.values()))))


def _bodies(get: Callable[[bytes], bytes | None], columns: Iterable[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for kept in columns:
        digest = kept[1:]
        if kept[:1] == bytes((Mark.BODY,)) and digest not in found and (data := get(digest)) is not None:
            found[digest] = data
    return found


def _step(row: tuple[Any, ...], result: bytes | None, request: bytes | None) -> Step:
    number, scope, kind, name, fingerprint, n, *rest = row
    state, attempt, tries, ambiguous, began_at, ended_at, until, idempotent, diverged, tool_version, handle, decided_by = rest[:12]
    rules, origin, lane, failed, usage, error = rest[12:18]
    return Step(
        number=number,
        key=StepKey(scope, _known(StepKind, kind, rules, StepKind.STEP), name, fingerprint, n),
        state=_known(StepState, state, rules, StepState.INTENT),
        attempt=attempt,
        tries=tries,
        ambiguous=ambiguous,
        began_at=began_at,
        ended_at=ended_at,
        until=until,
        idempotent=bool(idempotent),
        diverged=bool(diverged),
        tool_version=tool_version,
        request=request,
        result=result,
        error=None if error is None else _decode_error(error),
        usage=None if usage is None else _decode_usage(usage),
        handle=handle,
        decided_by=decided_by,
        format=rules,
        lane=lane,
        failed_tries=failed_tries(failed),
        origin=origin,
    )


def _known(kind: type[E], said: str, rules: int, otherwise: E) -> E:
    """Read a word that only a newer version may know; whoever runs agents leaves such a run alone."""
    try:
        return kind(said)
    except ValueError:
        if rules > FORMAT:
            return otherwise
        raise
