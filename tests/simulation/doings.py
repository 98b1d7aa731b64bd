"""The agents of the simulation: between them they do all that a run can do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from perdure import Run, agent, tool
from perdure.agents.agent import Agent

if TYPE_CHECKING:
    from simulation.world import World

__all__ = ["agents"]


def agents(world: World) -> list[Agent]:
    """Agents whose traces are left in a world."""

    @tool
    async def charge(n: int) -> str:
        """Charge a customer; not idempotent."""
        world.charged[n] += 1
        await asyncio.sleep(world.dice.uniform(0.0, 0.2))
        return f"charged {n}"

    @tool
    async def mark(n: int) -> str:
        """Leave a mark; not idempotent."""
        world.marked[n] += 1
        await asyncio.sleep(world.dice.uniform(0.0, 0.2))
        return f"marked {n}"

    @agent(queue="orders", version="1", name="order")
    async def order(run: Run) -> dict[str, Any]:
        n = run.body["n"]
        first = await run.ask("first", f"{n}-first")
        if run.attempt == 1 and n % 3 == 0:
            raise RuntimeError("it fails once")
        charged = await run.call(charge, n)
        if n % 4 == 0:
            await run.sleep(20)
        part = await run.result_of(await run.send("part", {"n": n})) if n % 5 == 1 else None
        told = await run.wait_for("go") if n % 5 == 2 else None
        both = await run.map("more", lambda part: run.ask("part", f"{n}-part-{part}"), [1, 2])
        await run.memory.store(f"order-{n}", n)
        return {"n": n, "first": first, "charged": charged, "both": both, "part": part, "told": told}

    @agent(queue="orders", version="1", name="part")
    async def part(run: Run) -> str:
        return await run.call(mark, run.body["n"])

    @agent(queue="orders", version="1", name="endless")
    async def endless(run: Run) -> None:
        if run.body["deep"]:
            await run.send("endless", {"deep": False})
        await run.wait_for("never")

    return [order, part, endless]
