"""The second opinion on whose turn it is: fair tags, sessions, limits. Said plainly, apart from any store's rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from perdure.clock import Moment
from perdure.messages.ids import write

__all__ = ["Turns"]

Gate = tuple[str, str, str]
"""Scope, name, and the key for scope `key`."""


class Turns:
    """Who may run, among all letters.

    Args:
        letters (dict[Any, Any]): All of the model's, by id.
        blocked (dict[Any, Any]): The routes that tending has found blocked.
    """

    def __init__(self, letters: dict[Any, Any], blocked: dict[Any, Any]) -> None:
        self._letters, self._blocked = letters, blocked
        self.clocks: dict[int, int] = defaultdict(int)
        self.lasts: dict[Any, int] = defaultdict(int)
        self.lines: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self.limits: dict[tuple[str, str], int] = {}

    def _at(self, *places: str) -> list[Any]:
        return [letter for letter in self._letters.values() if letter.place in places]

    # Sessions --------------------------------------------------------------------------------------

    def line(self, letter: Any) -> list[Any]:
        """Find the line of a letter's session; one without session is alone in its own.

        Args:
            letter (Any): Which.

        Returns:
            list[Any]: In the order of turns; the letter alone if it has no session.
        """
        return [letter] if letter.new.session is None else self.lines[letter.new.tenant, letter.new.session]

    def is_next(self, letter: Any, now: Moment) -> bool:
        """Put a letter in its line, if it is not there; tell whether it is at the head. If not, it is held.

        Args:
            letter (Any): Which.
            now (Moment): When.

        Returns:
            bool: Whether it may go on; else it is held.
        """
        line = self.line(letter)
        if letter not in line:
            line.append(letter)
        if line[0] is letter:
            return True
        letter.place, letter.held_by, letter.held_since = "held", "session", now
        self._hurry(line)
        return False

    def goes(self, letter: Any, now: Moment) -> None:
        """A letter has ended: the line goes on, or stands.

        Args:
            letter (Any): Which.
            now (Moment): When.
        """
        line = self.line(letter)
        head = bool(line) and line[0] is letter
        if letter not in line or (head and letter.place == "dead" and letter.new.on_dead == "block"):
            return
        line.remove(letter)
        if not line or letter.new.session is None:
            return
        if not head:
            self._hurry(line)
        elif line[0].until is not None and line[0].until > now:
            line[0].place, line[0].held_by = "later", None
        else:
            line[0].until = line[0].why = None
            self.enter(line[0], now)

    def _hurry(self, line: list[Any]) -> None:
        urgency = min(letter.new.priority for letter in line)
        if line[0].place in {"ready", "held"} and line[0].urgency != urgency:
            line[0].urgency = urgency
            line[0].tag = self._tag(line[0], again=True)

    # Tags ------------------------------------------------------------------------------------------

    def _here(self, letter: Any) -> int:
        """The clock of a letter's route: behind that of its priority, if the head of the route is."""
        tags = [o.tag for o in self._at("ready") if o is not letter and (o.route, o.urgency) == (letter.route, letter.urgency)]
        return min([self.clocks[letter.urgency], *(int(tag) - 1 for tag in tags)])

    def _tag(self, letter: Any, *, again: bool) -> int:
        key = (letter.route, letter.new.tenant, letter.urgency, again)
        cost: int = letter.new.cost
        self.lasts[key] = max(self._here(letter), self.lasts[key]) + cost
        return self.lasts[key]

    # Limits ----------------------------------------------------------------------------------------

    def over(self, letter: Any) -> list[Gate]:
        """Name the counts that a letter has to be in.

        Args:
            letter (Any): Which.

        Returns:
            list[Gate]: In the order in which they are asked.
        """
        new = letter.new
        gates = [("queue", new.queue, ""), ("agent", new.agent, ""), ("tenant", new.tenant, "")]
        if new.key is not None:
            gates.append(("key", new.queue, new.key))
        return [gate for gate in gates if gate[:2] in self.limits]

    def _full(self, gate: Gate) -> bool:
        return gate[:2] in self.limits and sum(gate in one.gates for one in self._at("ready", "leased")) >= self.limits[gate[:2]]

    def _stuck(self, letter: Any) -> bool:
        return letter.route in self._blocked and not letter.route[2]

    def _too_many(self, letter: Any) -> list[Gate]:
        gates = self.over(letter)
        return gates[:1] if self._stuck(letter) else [gate for gate in gates if self._full(gate)]

    def enter(self, letter: Any, now: Moment, *, again: bool = True, had: Iterable[Gate] = ()) -> None:
        """A letter at the head of its line wants to be ready, and is, or is held.

        Args:
            letter (Any): Which.
            now (Moment): When.
            again (bool): Whether it comes back.
            had (Iterable[Gate]): The counts it is in already.
        """
        had = list(had)
        letter.place, letter.gates, letter.held_by = "arriving", [], None
        letter.urgency = min(one.new.priority for one in self.line(letter))
        letter.tag, letter.ready_since = self._tag(letter, again=again), now
        gates = self.over(letter)
        if had and not self._stuck(letter):
            letter.place, letter.gates = "ready", had
            return
        full = self._too_many(letter)
        if full:
            letter.place, letter.held_by, letter.held_since = "held", full[0], now
        else:
            letter.place, letter.gates = "ready", gates

    def admit(self, gates: Iterable[Gate], now: Moment) -> None:
        """Counts may have room: let in who waits for them.

        Args:
            gates (Iterable[Gate]): Which.
            now (Moment): When.
        """
        for gate in sorted(set(gates)):
            while not self._full(gate):
                lifted = gate[:2] not in self.limits
                held = [letter for letter in self._at("held") if letter.held_by == gate and (lifted or not self._stuck(letter))]
                if not held:
                    break
                first = min(held, key=lambda letter: (letter.urgency, letter.tag, letter.id))
                full = self._too_many(first)
                if full:
                    first.held_by = full[0]
                    continue
                first.tag = max(first.tag, self._here(first) + 1)
                first.place, first.held_by, first.gates, first.ready_since = "ready", None, self.over(first), now
                first.until = first.why = None

    def _hold(self, letter: Any, gate: Gate, now: Moment) -> list[Gate]:
        had, letter.gates = letter.gates, []
        letter.place, letter.held_by, letter.held_since = "held", gate, now
        return list(had)

    def tend(self, now: Moment) -> None:
        """Who cannot start makes room; who can again, may come in.

        Args:
            now (Moment): When.
        """
        freed: list[Gate] = []
        for letter in [letter for letter in self._at("ready") if letter.gates and self._stuck(letter)]:
            freed += self._hold(letter, self.over(letter)[0], now)
        self.admit([*freed, *(letter.held_by for letter in self._at("held") if letter.held_by != "session")], now)

    def set_limit(self, scope: str, name: str, at_once: int, now: Moment) -> None:
        """Somebody sets a limit.

        Args:
            scope (str): Of what kind.
            name (str): Of whom.
            at_once (int): How many.
            now (Moment): When.
        """
        new, freed = (scope, name) not in self.limits, []
        self.limits[scope, name] = at_once
        for letter in [*self._at("leased"), *self._at("ready")] if new else []:
            for gate in [gate for gate in self.over(letter) if gate[:2] == (scope, name)]:
                if letter.place == "leased" or not (self._full(gate) or self._stuck(letter)):
                    letter.gates = [*letter.gates, gate]
                else:
                    freed += self._hold(letter, gate, now)
        self.admit(freed, now)
        self._open(scope, name, now)

    def drop_limit(self, scope: str, name: str, now: Moment) -> None:
        """Somebody lifts a limit.

        Args:
            scope (str): Of what kind.
            name (str): Of whom.
            now (Moment): When.
        """
        self.limits.pop((scope, name), None)
        for letter in self._letters.values():
            letter.gates = [gate for gate in letter.gates if gate[:2] != (scope, name)]
        self._open(scope, name, now)

    def _open(self, scope: str, name: str, now: Moment) -> None:
        self.admit([letter.held_by for letter in self._at("held") if letter.held_by[:2] == (scope, name)], now)

    def said_to_hold(self, letter: Any) -> str | None:
        """What `View.held_by` says.

        Args:
            letter (Any): Which.

        Returns:
            str | None: None if it is not held.
        """
        if letter.place != "held":
            return None
        if letter.held_by == "session":
            head = self.line(letter)[0]
            stands = f", which stands behind the dead letter {write(head.id)}" if head.place == "dead" else ""
            return f"session {letter.new.session!r}{stands}"
        scope, name, key = letter.held_by
        whose = f"key {key!r} of queue {name!r}" if scope == "key" else f"{scope} {name!r}"
        return f"limit {whose} ({self.limits[scope, name]} at once)"
