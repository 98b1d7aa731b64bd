"""Perdure's agent of the benchmark: `perdure worker --app …/perdure_app.py:app` imports it last, and waits here."""

from __future__ import annotations

from typing import Any

from benchmarks.queue.work import marks, perform

from perdure import App, Run, agent


@agent
async def bench(run: Run) -> dict[str, Any]:
    """Do what the message asks for; its one paid call is a step."""
    return await perform(run.body, lambda call: run.step("pay", call))


app = App(agents=[bench])
marks().wait_at_gate()
