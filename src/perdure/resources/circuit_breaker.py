"""What fails again and again is left alone for a while: a `CircuitBreaker`.

Theory of operation. Calling something that is down costs everybody a time-out and keeps it down. The breaker counts
failures. *Closed*, it lets all calls through; when enough of the last ones have failed it *opens*: for `rest_s` every call
is refused at once, with the moment from which it pays to try again. Then it is *half open*: one call is let through as a probe.
If that succeeds the circuit closes; if it fails it opens again, for twice as long, up to a limit.

A success forgets failures; a failure that says nothing of the other side's health (the caller's own mistake, a cancellation)
should not be counted: say which errors do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import Self

from perdure.clock import awake
from perdure.errors.base import CircuitRefused

__all__ = ["CircuitBreaker", "CircuitState"]


class CircuitState(StrEnum):
    """What a breaker does with a call."""

    CLOSED = "closed"  # lets it through
    OPEN = "open"  # refuses it
    HALF_OPEN = "half-open"  # lets one through, to see


class CircuitBreaker:
    """Refuses calls to what has just failed too often. For one event loop.

    Example:
        ```python
        breaker = CircuitBreaker(failures=5, rest_s=1.0)
        async with breaker:              # CircuitRefused while it is open
            await connect()
        ```

    Args:
        failures (int): So many in a row open it.
        rest_s (float): How long it stays open at first.
        longest_rest_s (float): How long at most, when probes keep failing.
        counts (type[BaseException] | tuple[type[BaseException], ...]): Errors that are failures of the other side.
        now (Callable[[], float] | None): A clock that only goes forward, in seconds; None for the machine's.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        rest_s: float = 1.0,
        longest_rest_s: float = 30.0,
        counts: type[BaseException] | tuple[type[BaseException], ...] = Exception,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._most, self._first_rest_s, self._longest_rest_s = failures, rest_s, longest_rest_s
        self._counts, self._now = counts, now or awake
        self._failed = 0
        self._rest_s = rest_s
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> CircuitState:
        """What it does with a call now."""
        if self._open_until is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if self._probing or self._now() < self._open_until else CircuitState.HALF_OPEN

    @property
    def wait_s(self) -> float:
        """How long it still refuses every call; 0 once it lets one through."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._now())

    def allow(self) -> None:
        """Ask before a call; then say how it went with `succeeded`, `failed` or `gave_up`.

        Raises:
            CircuitRefused: It is open.
        """
        if self._open_until is None:
            return
        if self._probing or self.wait_s > 0:
            wait_s = max(self.wait_s, self._first_rest_s if self._probing else 0.0)
            raise CircuitRefused(f"it failed too often just now; try again in {wait_s:.1f} s", wait_s=wait_s)
        self._probing = True

    def succeeded(self) -> None:
        """Note that a call went well: the circuit is closed."""
        self._failed, self._rest_s = 0, self._first_rest_s
        self._open_until, self._probing = None, False

    def failed(self) -> bool:
        """Note that a call failed.

        Returns:
            bool: Whether that has opened it, or opened it again.
        """
        self._failed += 1
        if self._probing:
            self._rest_s = min(2 * self._rest_s, self._longest_rest_s)
        opens = self._probing or (self._open_until is None and self._failed >= self._most)
        if opens:
            self._open_until, self._probing = self._now() + self._rest_s, False
        return opens

    def trip(self, wait_s: float) -> None:
        """Open it, since somebody else has found the other side failing; a call to see comes after that.

        Args:
            wait_s (float): For so long at least.
        """
        self._open_until, self._probing = self._now() + max(wait_s, self.wait_s), False

    def gave_up(self) -> None:
        """Note that a call ended without saying anything of the other side: the next may probe."""
        self._probing = False

    async def __aenter__(self) -> Self:
        self.allow()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.succeeded()
        elif isinstance(error, self._counts) and not isinstance(error, asyncio.CancelledError):
            self.failed()
        else:
            self.gave_up()
