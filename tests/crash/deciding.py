"""The person who looks into the books of a tool and says what became of a call."""

from __future__ import annotations

import json
from collections.abc import Collection

from perdure.agents.journal import Decision
from perdure.messages.message import State
from perdure.messages.store import Filter
from perdure.stores.store import Store

__all__ = ["decide_the_waiting"]


async def decide_the_waiting(store: Store, charged: Collection[str]) -> int:
    """Decide on every charge of an order whose outcome is unknown.

    Args:
        store (Store): Where they wait.
        charged (Collection[str]): The numbers of the orders that were charged.

    Returns:
        int: On how many there was something to decide.
    """
    waiting = (await store.messages.list(Filter(state=State.WAITING), limit=1000)).views
    for view in waiting:
        assert view.wait is not None, "a waiting one says for what"
        assert view.wait.why == "outcome-unknown", view.wait
        assert view.wait.step is not None
        n = json.loads(view.message.body)["n"]
        happened = str(n) in charged
        decision = Decision.HAPPENED if happened else Decision.RUN_AGAIN
        result = json.dumps(f"charged {n}").encode() if happened else None
        await store.journal.decide(view.message.id, view.wait.step, decision, by="key_test", result=result)
    return len(waiting)
