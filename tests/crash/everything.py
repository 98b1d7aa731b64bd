"""An agent that does everything a run can do, leaving traces outside the store."""

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
    """Asks, charges, fails once, waits a moment, and remembers."""
    n, folder = run.body["n"], run.body["folder"]
    now = await run.now()
    first = await run.ask("first", f"[tag:{n}-first]")
    charged = await run.call(charge, folder, n)
    if run.attempt == 1 and n % 2:
        raise RuntimeError("it fails once")
    await run.sleep(0.1)
    await run.memory.store(f"order-{n}", n)
    last = await run.ask("last", f"[tag:{n}-last]")
    return {"n": n, "now": str(now), "first": first, "charged": charged, "last": last}


app = App([order])
