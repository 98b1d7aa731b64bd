"""Lanes: what providers' models may take, and what of it is taken."""

from __future__ import annotations

from perdure.errors.base import NotFound
from perdure.server.answer import Answer, json_answer
from perdure.server.door import Call, Door
from perdure.server.lane_listings import LaneJson, LanesOpened
from perdure.server.listings import Listing

__all__ = ["DOORS"]


async def list_lanes(call: Call) -> Answer:
    """List the lanes that have limits, or were down, with what of them is taken.

    Args:
        call (Call): From an operator.

    Returns:
        Answer: 200 with a list, by name.
    """
    return json_answer(Listing(data=[LaneJson.of(lane) for lane in await call.core.store.lanes.lanes()]))


async def open_lane(call: Call) -> Answer:
    """Open a lane that is closed, and with a deployment the models that go there.

    Args:
        call (Call): For the lane in its path.

    Returns:
        Answer: 200 with the names of what was opened; none if all was open.

    Raises:
        NotFound: Nobody knows such a lane.
    """
    name, messages = call.path["name"], call.core.store.messages
    several = call.core.parts.models.several()
    wanted = {name, *several.get(name, ()), *(model for model, lanes in several.items() if name in lanes)}
    known = {route.lane for route in await messages.routes()} | {lane.name for lane in await call.core.store.lanes.lanes()}
    if not wanted & (known | set(several)):
        raise NotFound(f"there is no lane {name[:60]!r}", hint="Those that are closed or have limits are at GET /api/v1/lanes.")
    opened = [one for one in sorted(wanted) if await messages.open_lane(one, by=call.actor)]
    for one in wanted:
        call.core.lanes.opened(one)
    return json_answer(LanesOpened(opened=opened))


DOORS = (
    Door("GET", "/api/v1/lanes", list_lanes, "list_lanes", "List providers' lanes: their limits, what is used, what waits.", "Lanes",
         "queues:read", operator=True, answers={200: Listing[LaneJson]}),
    Door("POST", "/api/v1/lanes/{name:path}/open", open_lane, "open_lane",
         "Open a closed lane by hand; what waits for it goes on.", "Lanes", "queues:write", operator=True,
         answers={200: LanesOpened}, refusals=(404,)),
)  # fmt: skip
