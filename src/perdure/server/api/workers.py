"""Workers: who works here."""

from __future__ import annotations

from perdure.server.answer import Answer, json_answer
from perdure.server.door import Call, Door
from perdure.server.listings import Listing, WorkerJson

__all__ = ["DOORS"]


async def list_workers(call: Call) -> Answer:
    """List living workers, and the dead of the last hour.

    Args:
        call (Call): From an operator.

    Returns:
        Answer: 200 with a list, newest first.
    """
    return json_answer(Listing(data=[WorkerJson.of(worker) for worker in await call.core.store.workers.workers()]))


DOORS = (
    Door("GET", "/api/v1/workers", list_workers, "list_workers", "List workers, living and lately dead.", "Workers", "workers:read",
         operator=True, answers={200: Listing[WorkerJson]}),
)  # fmt: skip
