"""What a call used, as its provider counted it."""

from __future__ import annotations

import msgspec

__all__ = ["Usage"]


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens and calls. A missing count is None, which is unknown and never zero.

    Adding two keeps what is known of either.
    """

    calls: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    paid_again: int = 0
    """Calls made once more although the first may have been billed (`possibly_paid_twice`)."""

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
        )


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other
