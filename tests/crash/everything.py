"""Agents that do everything a run can do, leaving traces outside the store."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from perdure import App, Run, agent, tool


def leave(folder: str, name: str, line: str) -> None:
    """Append a line in one write, as a payment would be sent: it cannot be taken back."""
    handle = os.open(Path(folder) / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


@tool
async def charge(folder: str, order: int) -> str:
    """Charge a customer; not idempotent.

    Args:
        folder: Where it leaves its trace.
        order: Whose order.
    """
    leave(folder, "charges", str(order))
    await asyncio.sleep(0)
    return f"charged {order}"


@agent(queue="orders", version="1")
async def order(run: Run) -> dict[str, Any]:
    """Asks, charges, fails once, waits a moment, sends, is told something, and remembers."""
    n, folder = run.body["n"], run.body["folder"]
    now = await run.now()
    first = await run.ask("first", f"[tag:{n}-first]")
    charged = await run.call(charge, folder, n)
    if run.attempt == 1 and n % 2:
        raise RuntimeError("it fails once")
    await run.sleep(0.1)
    sent = await run.send("part", {"n": n, "folder": folder})
    told = await run.wait_for("go")
    part = await run.result_of(sent)
    await run.memory.store(f"order-{n}", n)
    last = await run.ask("last", f"[tag:{n}-last]")
    return {"n": n, "now": str(now), "first": first, "charged": charged, "last": last, "told": told, "part": part}


@agent(queue="orders", version="1")
async def part(run: Run) -> str:
    """What an order sends, and what a group is made of; it leaves a trace, once."""
    return await run.call(mark, run.body["folder"], run.id)


@tool
async def mark(folder: str, run: str) -> str:
    """Leave a trace; not idempotent.

    Args:
        folder: Where.
        run: Whose.
    """
    leave(folder, "marks", run)
    return f"marked {run}"


@agent(queue="orders", version="1")
async def join(run: Run) -> dict[str, int]:
    """Runs when the whole group has ended."""
    group = await run.group()
    return {"total": group.total, "done": group.done, "seen": len([one async for one in run.members()])}


@agent(queue="orders", version="1")
async def endless(run: Run) -> None:
    """Waits with its child until both are called off."""
    if run.body["deep"]:
        await run.send("endless", {"deep": False})
    await run.wait_for("never")


app = App([order, part, join, endless])
