"""Lanes: what providers' models may take, and what of it is taken."""

from __future__ import annotations

from perdure.server.answer import Answer, json_answer
from perdure.server.door import Call, Door
from perdure.server.lane_listings import LaneJson
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


DOORS = (
    Door("GET", "/api/v1/lanes", list_lanes, "list_lanes", "List providers' lanes: their limits, what is used, what waits.", "Lanes",
         "queues:read", operator=True, answers={200: Listing[LaneJson]}),
)  # fmt: skip
