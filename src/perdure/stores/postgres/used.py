"""What runs used that end without saying it themselves."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure.resources.usage import Usage
from perdure.stores.postgres.hot import Ground, ask, hot

__all__ = ["used_by"]

_USAGES = hot("usages_of")
_encode = msgspec.json.Encoder().encode
_decode_usage = msgspec.json.Decoder(Usage).decode


async def used_by(ground: Ground, messages: Sequence[int]) -> dict[int, bytes]:
    """Add up what runs used, as their journals say. Nobody else writes there while they are held.

    Args:
        ground (Ground): The engine.
        messages (Sequence[int]): Whose.

    Returns:
        dict[int, bytes]: JSON, of those that used anything.
    """
    if not messages:
        return {}
    sums: dict[int, Usage] = {}
    for message, text, again in await ask(ground, _USAGES, messages):
        usage = (_decode_usage(text) if text else Usage()) + Usage(paid_again=again)
        sums[message] = sums[message] + usage if message in sums else usage
    return {message: _encode(usage) for message, usage in sums.items()}
