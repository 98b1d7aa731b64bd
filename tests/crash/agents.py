"""The agents of the crash tests: what they do leaves traces outside the store, so that doing it twice shows."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from perdure import App, Run, SyncRun, agent, tool

TRACES = Path(os.environ.get("CRASH_TRACES", "."))
TOOL_S = float(os.environ.get("CRASH_TOOL_S", "0.05"))


def leave(name: str, line: str) -> None:
    """Append a line in one write, as a payment or a letter would be sent: it cannot be taken back."""
    handle = os.open(TRACES / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


@tool
async def charge(order: int) -> str:
    """Charge a customer; not idempotent.

    Args:
        order (int): Whose order.
    """
    leave("charges", str(order))
    await asyncio.sleep(TOOL_S)
    return f"charged {order}"


@agent(queue="orders", version="1")
async def order(run: Run) -> dict[str, Any]:
    """Three LLM calls, and a tool that must not run twice."""
    n = run.body["n"]
    await run.ask("read", f"[tag:{n}-read]")
    await run.ask("choose", f"[tag:{n}-choose]")
    charged = await run.call(charge, n)
    last = await run.ask("thank", f"[tag:{n}-thank]")
    await run.memory.store(f"order-{n}", n)
    return {"n": n, "charged": charged, "last": last, "pid": os.getpid()}


@agent(queue="orders", version="1")
async def poison(run: Run) -> None:
    """Takes its process down."""
    leave("poisoned", str(os.getpid()))
    os._exit(1)


@agent(queue="orders", version="1")
async def slow(run: Run) -> dict[str, Any]:
    """Writes to journal, memory and store at moments that are known to fall behind a freeze."""
    begun = os.getpid()
    await run.step("begin", lambda: begun)
    leave("begun", f"{run.id} {begun}")
    await asyncio.sleep(run.body["s"])  # no step: it is made anew by whoever runs the message
    await run.memory.store("who", begun)
    ended = await run.step("end", os.getpid, idempotent=True)
    return {"begun": begun, "ended": ended}


@agent(queue="orders", version="1")
def hangs(run: SyncRun) -> str:
    """Never looks at the time: a thread that cannot be stopped."""
    leave("hung", str(os.getpid()))
    if run.attempt > 1:
        return "at last"
    time.sleep(600)
    return "never"


@agent(queue="orders", version="1")
async def gated(run: Run) -> dict[str, Any]:
    """Does a step and a call, stands before a gate, and does another step when somebody has opened it."""
    n = run.body["n"]
    before = await run.step("before", os.getpid)
    await run.ask("read", f"[tag:{n}-read]")
    leave("at the gate", f"{n} {os.getpid()}")
    while not (TRACES / run.body["gate"]).exists():  # no step: whoever goes on with the run stands here too
        await asyncio.sleep(0.02)
    return {"before": before, "after": await run.step("after", os.getpid)}


app = App([order, poison, slow, hangs, gated])
