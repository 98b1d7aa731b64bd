"""How fast the calls of one lane start here after the provider has refused some, and whether a refusal was meant for all.

Theory of operation. "Too many requests" says *slower*; whether it also says *nothing until then* shows in what becomes of the
other calls that are sent while it stands. So two things are kept, both of this process alone, as clients of a shared line do:

- A *pace*. A refusal lowers it to half as much again as was let in of late; calls that are let in raise it, slowly at first. So
  refusals that fall by chance, up to a third of the calls, hold nobody back, and with a true limit most calls are let in.
- How far refusals are *meant*: the share that was refused of the calls sent while one stood. Where that is large a refusal closes
  the lane until the moment it names, until one call that is sent meanwhile is let in after all. To see, the second of these refusals
  is not obeyed, then the fourth after that, the eighth: whoever means what he says is asked before his moment less and less often.

Refusals come at once and answers after half a minute, so a call that has been under way for a while counts as let in.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from perdure.worker.room import LEAD_S

__all__ = ["Sent", "Throttle"]

_LET_IN_S = 2.0
"""No provider takes longer to refuse a call for its rate."""
_UNKNOWN, _MEANT, _NEWEST = 0.45, 0.58, 0.15
"""Two or three refusals in a row have to follow the first ever for it to be meant; five where nearly all are let in."""
_MOST_BELIEVED = 64
"""Whoever means it is put to the test at the second, fourth, eighth ... closure, so often at least."""
_SLOWEST = 1.0
"""Calls a second: below that only closing the lane is any slower."""
_TOLERANCE = 1.5
_FASTER, _MUCH_FASTER, _QUIET_S = 0.02, 0.1, 3.0
"""Each call that is let in makes the pace so much faster; the more if nothing was refused for so long."""
_LOOSE = 2.0
"""A pace of so many times what comes is none."""
_LATE_S = 5.0
_LEASED_S = 1.0
"""Whoever was leased for the lane and has not come for so long does not need it now."""


class Sent:
    """One call. Made when it takes its place in line.

    Args:
        wait_s (float): How long it waits for its turn.
    """

    __slots__ = ("at", "known", "wait_s")

    def __init__(self, wait_s: float = 0.0) -> None:
        self.wait_s: float = wait_s
        """How long it waits for its turn."""
        self.at: float = math.inf
        self.known = False


class Throttle:
    """Of one lane in one process. For one event loop.

    Args:
        now (Callable[[], float]): A clock that only goes forward, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._pace = math.inf
        self._next_at = self._cut_at = self._until = -math.inf
        self._since = math.inf
        self._meant, self._believed, self._tested_at = _UNKNOWN, 0, 2
        self._out: deque[Sent] = deque()
        self._let_in: dict[int, int] = {}
        self._leased: deque[float] = deque()

    @property
    def on(self) -> bool:
        """Whether calls are held back."""
        return self._pace < math.inf

    @property
    def a_second(self) -> float:
        """So many calls may start; infinite while none is held back."""
        return self._pace

    @property
    def wait_s(self) -> float:
        """How long until the next call may start."""
        return max(0.0, self._next_at - self._now()) if self.on else 0.0

    # Calls --------------------------------------------------------------------------------------------

    def begin(self) -> Sent:
        """Take the next place in line.

        Returns:
            Sent: The call; to be told of.
        """
        if self._leased:
            self._leased.popleft()
        if not self.on:
            return Sent()
        wait_s = self.wait_s
        self._next_at = self._now() + wait_s + 1.0 / self._pace
        return Sent(wait_s)

    def sent(self, call: Sent) -> None:
        """Note that a call is on its way.

        Args:
            call (Sent): Which.
        """
        call.at = self._now()
        self._out.append(call)
        second = int(call.at)
        if second not in self._let_in:
            self._forget(call.at)
        self._let_in[second] = self._let_in.get(second, 0) + 1
        self._look_over(call.at)

    def let_in(self, call: Sent) -> None:
        """Note that a call was not refused, whatever else became of it.

        Args:
            call (Sent): Which.
        """
        if call.known or call.at == math.inf:
            return
        call.known = True
        now = self._now()
        if self._stood_at(call.at):
            self._meant = min(self._meant * (1.0 - _NEWEST), _UNKNOWN)
            self._believed, self._tested_at = 0, 2
        self._pace *= 1.0 + (_FASTER if now - self._cut_at < _QUIET_S else _MUCH_FASTER)
        if self.on and now >= self._until + _LATE_S and self._pace > _LOOSE * self._of_late(now):
            self._pace = math.inf

    def over(self, call: Sent) -> None:
        """Note that a call has ended in a way that says nothing of limits.

        Args:
            call (Sent): Which.
        """
        call.known = True

    def refused(self, call: Sent, for_s: float) -> bool:
        """Note that a call was refused.

        Args:
            call (Sent): Which.
            for_s (float): For how long, as the provider said or as we guess.

        Returns:
            bool: Whether that is to be taken as meant for all calls until then.
        """
        now, call.known = self._now(), True
        call.at = min(call.at, now)
        if int(call.at) in self._let_in:
            self._let_in[int(call.at)] -= 1
        self._look_over(now)
        if call.at >= self._cut_at:  # those under way together are one refusal to the pace
            self._cut_at = now
            tolerance = 1.0 if self._meant >= _MEANT else _TOLERANCE
            self._pace = max(_SLOWEST, min(self._pace, tolerance * self._of_late(now)))
            self._next_at = max(self._next_at, now + 1.0 / self._pace)
        new = self._until <= now
        if self._stood_at(call.at):
            self._meant += (1.0 - self._meant) * _NEWEST
        else:
            self._since = call.at if new else min(call.at, self._since)
        self._until = max(self._until, now + for_s)
        return self._meant >= _MEANT and not (new and self._tests())

    # Messages -----------------------------------------------------------------------------------------

    def leased(self) -> None:
        """Note that a message was leased that is about to come."""
        self._leased.append(self._now())

    @property
    def room(self) -> int | None:
        """So many messages may be leased now; None for as many as there are."""
        if not self.on:
            return None
        now = self._now()
        while self._leased and now - self._leased[0] > _LEASED_S:
            self._leased.popleft()
        return max(0, math.ceil((LEAD_S - self.wait_s) * self._pace) - len(self._leased))

    @property
    def opens_in_s(self) -> float:
        """How long until there may be room again, if nothing happens before."""
        leased_s = self._leased[0] + _LEASED_S - self._now() if self._leased else 0.0
        return max(0.0, self.wait_s + 1.0 / self._pace - LEAD_S, leased_s)

    # How ----------------------------------------------------------------------------------------------

    def _stood_at(self, at: float) -> bool:
        return self._since <= at < self._until

    def _look_over(self, now: float) -> None:
        """Those sent long enough ago are let in."""
        while self._out and (self._out[0].known or now - self._out[0].at >= _LET_IN_S):
            self.let_in(self._out.popleft())

    def _tests(self) -> bool:
        """Whether this refusal is not obeyed, to see."""
        self._believed += 1
        if self._believed < self._tested_at:
            return False
        self._believed, self._tested_at = 0, min(2 * self._tested_at, _MOST_BELIEVED)
        return True

    def _of_late(self, now: float) -> float:
        """The most calls that were not refused of those sent within one second of the last few."""
        self._forget(now)
        return float(max(self._let_in.values(), default=0))

    def _forget(self, now: float) -> None:
        for second in [second for second in self._let_in if now - second > _LATE_S + 1]:
            del self._let_in[second]
