"""Agents, as their workers registered them last."""

from __future__ import annotations

from perdure.server.answer import Answer, json_answer
from perdure.server.door import Call, Door
from perdure.server.listings import AgentJson, Listing

__all__ = ["DOORS"]


async def list_agents(call: Call) -> Answer:
    """List every agent with the shapes it takes and gives.

    Args:
        call (Call): Who asks.

    Returns:
        Answer: 200 with a list, by name.
    """
    return json_answer(Listing(data=[AgentJson.of(card) for card in await call.core.store.workers.agents()]))


DOORS = (
    Door("GET", "/api/v1/agents", list_agents, "list_agents", "List agents with the shapes they take and give.", "Agents", "agents:read",
         answers={200: Listing[AgentJson]}),
)  # fmt: skip
