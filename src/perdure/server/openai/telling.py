"""What is told of a call on `/v1`: to its caller in headers, and to whoever counts."""

from __future__ import annotations

import msgspec

from perdure.events import tell
from perdure.providers.headroom import Headroom
from perdure.providers.target import Target
from perdure.resources.usage import Usage
from perdure.server.door import Call

__all__ = ["say_cost", "say_left", "tell_answered"]


def say_cost(call: Call, usage: Usage) -> None:
    """Say in a header what a call cost; nothing where nobody knows.

    Args:
        call (Call): Whose answer it is.
        usage (Usage): Priced.
    """
    if usage.cost_usd is not None:
        call.says.append(("perdure-cost-usd", f"{usage.cost_usd:.9f}".rstrip("0").rstrip(".")))


def say_left(call: Call, headroom: Headroom | None) -> None:
    """Say in OpenAI's headers what the provider says is left of its limits.

    Args:
        call (Call): Whose answer it is.
        headroom (Headroom | None): None if it says nothing.
    """
    if headroom is None:
        return
    kinds = (
        ("requests", headroom.requests, headroom.requests_limit, headroom.requests_for_s),
        ("tokens", headroom.tokens, headroom.tokens_limit, headroom.tokens_for_s),
    )
    for kind, left, limit, for_s in kinds:
        if left is None:
            continue
        call.says.append((f"x-ratelimit-remaining-{kind}", str(left)))
        call.says.append((f"x-ratelimit-reset-{kind}", f"{for_s:.3f}s"))
        if limit is not None:
            call.says.append((f"x-ratelimit-limit-{kind}", str(limit)))


def tell_answered(call: Call, target: Target, usage: Usage, *, seconds: float, stream: bool) -> None:
    """Tell that a call was answered.

    Args:
        call (Call): Whose.
        target (Target): By whom.
        usage (Usage): Priced.
        seconds (float): How long it took.
        stream (bool): Whether it came in pieces.
    """
    tell(
        "chat.answered",
        tenant=call.key.tenant,
        key=call.key.id,
        lane=target.lane,
        **msgspec.structs.asdict(usage),
        seconds=seconds,
        stream=stream,
        request_id=call.request_id,
    )
