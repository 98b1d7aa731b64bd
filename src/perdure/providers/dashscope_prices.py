"""What DashScope asks in its international region, which no data package that is kept knows.

In US dollars for a million tokens, as published in spring 2026; `[prices]` in the settings goes before it. Prices of
other regions are in other currencies or another list: there they are unknown until the settings say them. Where a model
has prices by the length of the input, those beyond the last tier that is known here are unknown as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["AS_OF", "DASHSCOPE", "Tier"]

AS_OF = "2026-05"


class Tier(NamedTuple):
    """What input up to some length costs, and what is said to it."""

    input_usd: float
    output_usd: float
    thinking_usd: float | None = None
    """Of all that is said where the model has thought."""
    up_to: int | None = None
    """Tokens of input; None is any."""


_256K = 256_000

DASHSCOPE: Mapping[tuple[str, str], tuple[Tier, ...]] = {
    ("intl", "qwen-max"): (Tier(1.6, 6.4),),
    ("intl", "qwen-plus"): (Tier(0.4, 1.2, 4.0, up_to=_256K),),
    ("intl", "qwen-flash"): (Tier(0.05, 0.4, up_to=_256K),),
    ("intl", "qwen-turbo"): (Tier(0.05, 0.2, 0.5),),
    ("intl", "qwq-plus"): (Tier(0.8, 2.4),),
    ("intl", "qwen3-max"): (Tier(1.2, 6.0, up_to=32_000), Tier(2.4, 12.0, up_to=128_000), Tier(3.0, 15.0, up_to=252_000)),
    ("intl", "qwen3-coder-plus"): (Tier(1.0, 5.0, up_to=32_000),),
    ("intl", "qwen3-coder-flash"): (Tier(0.3, 1.5, up_to=32_000),),
    ("intl", "qwen3-coder-480b-a35b-instruct"): (Tier(1.5, 7.5),),
    ("intl", "qwen3-coder-30b-a3b-instruct"): (Tier(0.45, 2.25),),
    ("intl", "qwen3-235b-a22b"): (Tier(0.7, 2.8, 8.4),),
    ("intl", "qwen3-32b"): (Tier(0.7, 2.8, 8.4),),
    ("intl", "qwen3-14b"): (Tier(0.35, 1.4, 4.2),),
    ("intl", "qwen3-8b"): (Tier(0.18, 0.7, 2.1),),
    ("intl", "qwen3-next-80b-a3b-instruct"): (Tier(0.5, 2.0),),
    ("intl", "qwen3-next-80b-a3b-thinking"): (Tier(0.5, 6.0),),
    ("intl", "qwen3.5-plus"): (Tier(0.4, 2.4, up_to=_256K),),
    ("intl", "qwen3.5-397b-a17b"): (Tier(0.6, 3.6),),
    ("intl", "qwen3.5-122b-a10b"): (Tier(0.4, 3.2),),
    ("intl", "qwen3.5-27b"): (Tier(0.3, 2.4),),
    ("intl", "qwen3.5-35b-a3b"): (Tier(0.25, 2.0),),
    ("intl", "qwen3.6-plus"): (Tier(0.5, 3.0, up_to=_256K), Tier(2.0, 6.0)),
    ("intl", "qwen3.6-27b"): (Tier(0.6, 3.6),),
}
