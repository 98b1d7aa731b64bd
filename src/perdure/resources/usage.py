"""What a call used, as its provider counted it."""

from __future__ import annotations

from typing import TypeVar

import msgspec

__all__ = ["Usage"]

_N = TypeVar("_N", int, float)


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens, calls and money. A missing count is None, which is unknown and never zero.

    Adding two keeps what is known of either.
    """

    calls: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    paid_again: int = 0
    """Calls made once more although the first may have been billed (`possibly_paid_twice`)."""
    hedged: int = 0
    """Calls made elsewhere on purpose while a slow one was under way."""
    cost_usd: float | None = None
    """What is known of what it cost, in US dollars."""
    unpriced: int = 0
    """Calls whose cost is not known: they are in no sum of costs, and not free."""
    reckoned_usd: float = 0.0
    """What those were reckoned to cost before they were made, as far as that could be: it counts against limits."""

    def priced(self, cost_usd: float | None, *, reckoned_usd: float | None = None) -> Usage:
        """Say what it cost.

        Args:
            cost_usd (float | None): In US dollars; None if that is not known.
            reckoned_usd (float | None): What it was reckoned to cost, for when it is not known.

        Returns:
            Usage: The same, with its cost, or with all its calls as unpriced.
        """
        unknown = cost_usd is None
        return msgspec.structs.replace(
            self, cost_usd=cost_usd, unpriced=self.calls if unknown else 0, reckoned_usd=reckoned_usd or 0.0 if unknown else 0.0
        )

    def __add__(self, other: Usage) -> Usage:
        """Add up.

        Args:
            other (Usage): What to add.

        Returns:
            Usage: The sum; a count is unknown only where it is unknown in both.
        """
        return Usage(
            calls=self.calls + other.calls,
            input_tokens=_sum(self.input_tokens, other.input_tokens),
            output_tokens=_sum(self.output_tokens, other.output_tokens),
            cached_tokens=_sum(self.cached_tokens, other.cached_tokens),
            reasoning_tokens=_sum(self.reasoning_tokens, other.reasoning_tokens),
            paid_again=self.paid_again + other.paid_again,
            cost_usd=_sum(self.cost_usd, other.cost_usd),
            unpriced=self.unpriced + other.unpriced,
            reckoned_usd=self.reckoned_usd + other.reckoned_usd,
            hedged=self.hedged + other.hedged,
        )


def _sum(one: _N | None, other: _N | None) -> _N | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other
