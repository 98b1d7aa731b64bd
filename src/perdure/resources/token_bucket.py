"""So many a second, with a little to spare: a `TokenBucket` paces work.

Theory of operation. A bucket holds up to `burst` tokens and is refilled at `rate_per_s`. Work takes tokens out;
where there are too few it waits until enough have come. Tokens are counted, never dropped in by a timer: how many
there are follows from when it was last asked, so a thousand buckets cost nothing while nobody uses them. Who waits
has taken their tokens already, so the bucket may be below zero: thus everybody is served in the order of coming,
a large request is not starved by small ones, and each knows at once how long it will be.

What work really takes is often known only afterwards (the tokens of a language model): reserve an estimate with
`take`, and put the difference back, or take it out, with `settle`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from perdure.clock import awake

__all__ = ["TokenBucket"]


class TokenBucket:
    """Paces work to a rate. For one event loop.

    Example:
        ```python
        bucket = TokenBucket(rate_per_s=50.0, burst=10.0)
        await bucket.take()          # waits if need be
        if bucket.try_take(5):       # or not at all
            ...
        ```

    Args:
        rate_per_s (float): Tokens that come in a second.
        burst (float): Tokens it holds at most; it begins full.
        now (Callable[[], float] | None): A clock that only goes forward, in seconds; None for the machine's.
        sleep (Callable[[float], Awaitable[object]]): How to wait.

    Raises:
        ValueError: Nothing would ever come out of it.
    """

    def __init__(
        self,
        *,
        rate_per_s: float,
        burst: float,
        now: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if not (rate_per_s > 0 and burst > 0):
            raise ValueError(f"a bucket of {burst!r} tokens with {rate_per_s!r} a second gives nothing")
        self._rate_per_s, self._burst = rate_per_s, burst
        self._now, self._sleep = now or awake, sleep
        self._tokens, self._at = burst, self._now()

    @property
    def tokens(self) -> float:
        """How many there are now; below zero where some are promised to who waits."""
        self._refill()
        return self._tokens

    def wait_s(self, tokens: float = 1.0) -> float:
        """Say how long one would have to wait now.

        Args:
            tokens (float): For so many.

        Returns:
            float: Seconds; 0 if they are there.
        """
        return max(0.0, tokens - self.tokens) / self._rate_per_s

    def try_take(self, tokens: float = 1.0) -> bool:
        """Take tokens if they are there.

        Args:
            tokens (float): How many.

        Returns:
            bool: Whether they were.
        """
        if self.tokens < tokens:
            return False
        self._tokens -= tokens
        return True

    async def take(self, tokens: float = 1.0) -> None:
        """Take tokens, waiting for them if need be. A caller that is cancelled meanwhile gives them back.

        Args:
            tokens (float): How many; more than `burst` simply takes longer.
        """
        wait_s = self.wait_s(tokens)
        self._tokens -= tokens
        if wait_s:
            try:
                await self._sleep(wait_s)
            except asyncio.CancelledError:
                self.settle(taken=tokens, used=0.0)
                raise

    def settle(self, *, taken: float, used: float) -> None:
        """Correct an estimate.

        Args:
            taken (float): How many were taken.
            used (float): How many it really took.
        """
        self._refill()
        self._tokens = min(self._burst, self._tokens + taken - used)

    def _refill(self) -> None:
        now = self._now()
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate_per_s)
        self._at = now
