"""Limits: how many of a queue, an agent, a tenant or a key may run at once."""

from __future__ import annotations

import re

from perdure.errors.base import NotFound
from perdure.messages.limits import Limit, Scope
from perdure.server.answer import Answer, json_answer
from perdure.server.door import Call, Door
from perdure.server.listings import LimitJson, Listing
from perdure.server.orders import SetLimit

_PART = "Queues"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,127}")

__all__ = ["DOORS"]


async def list_limits(call: Call) -> Answer:
    """List the limits with how full they are.

    Args:
        call (Call): From an operator.

    Returns:
        Answer: 200 with a list, by scope and name.
    """
    return json_answer(Listing(data=[LimitJson.of(one) for one in await call.core.store.messages.limits()]))


async def set_limit(call: Call) -> Answer:
    """Set a limit, in place of the one there was.

    Args:
        call (Call): For the scope and name in its path.

    Returns:
        Answer: 200 with the limit as it is now.
    """
    ask: SetLimit = call.body
    limit = Limit(scope=_scope(call), name=_name(call), at_once=ask.at_once)
    return json_answer(LimitJson.of(await call.core.store.messages.set_limit(limit)))


async def drop_limit(call: Call) -> Answer:
    """Lift a limit.

    Args:
        call (Call): For the scope and name in its path.

    Returns:
        Answer: 200 with the limit as it was.

    Raises:
        NotFound: There is none.
    """
    scope, name = _scope(call), _name(call)
    found = [one for one in await call.core.store.messages.limits() if (one.limit.scope, one.limit.name) == (scope, name)]
    if not found or not await call.core.store.messages.drop_limit(scope, name):
        raise NotFound(f"there is no limit of {scope.value} {name[:60]!r}", hint="Limits are at GET /api/v1/limits.")
    return json_answer(LimitJson.of(found[0]))


def _scope(call: Call) -> Scope:
    try:
        return Scope(call.path["scope"])
    except ValueError:
        known = ", ".join(scope.value for scope in Scope)
        raise NotFound(f"there are no limits of {call.path['scope'][:60]!r}", hint=f"There are: {known}.") from None


def _name(call: Call) -> str:
    name = call.path["name"]
    if not _NAME.fullmatch(name):
        raise NotFound(f"nothing can be called {name[:60]!r}")
    return name


DOORS = (
    Door(
        "GET", "/api/v1/limits", list_limits, "list_limits", "List limits, and how full they are.", _PART, "queues:read", operator=True,
        answers={200: Listing[LimitJson]},
    ),
    Door(
        "PUT", "/api/v1/limits/{scope}/{name}", set_limit, "set_limit",
        "Let so many of a `queue`, `agent`, `tenant`, or of each `key` in a queue run at once.", _PART, "queues:write", operator=True,
        bodies=(SetLimit,), answers={200: LimitJson}, refusals=(404,),
    ),
    Door(
        "DELETE", "/api/v1/limits/{scope}/{name}", drop_limit, "drop_limit", "Lift a limit; what it held may run.", _PART,
        "queues:write", operator=True, answers={200: LimitJson}, refusals=(404,),
    ),
)  # fmt: skip
