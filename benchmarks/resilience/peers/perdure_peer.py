"""Perdure: a worker over a fresh SQLite file, two deployments by weights, all else at its defaults but for slots and the time-out."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request

from perdure import Run, agent
from perdure.agents.registry import App
from perdure.app import build_models, build_worker, open_store
from perdure.config.settings import Settings
from perdure.messages.message import ENDS, MessageId, NewMessage

PATIENCE_S = 300.0


@agent(model="m")
async def asks(run: Run) -> str:
    """Ask once."""
    return await run.ask("ask", f"message {run.body}")


async def main() -> None:
    orders = json.loads(sys.argv[1])
    providers = {name: {"base_url": url, "timeout_s": orders["timeout_s"]} for name, url in orders["urls"].items()}
    deployments = [{"provider": name, "model": "m"} for name in providers]
    models = {"m": {"deployments": deployments, "order": "weights"}}
    settings = Settings.model_validate({"data": orders["folder"], "providers": providers, "models": models, "worker": {"slots": 200}})
    async with open_store(settings) as store:
        built = build_models(settings)
        worker = build_worker(settings, store, built, App([asks]))
        stop = asyncio.Event()
        life = asyncio.create_task(worker.run(stop))
        await worker.ready.wait()
        urllib.request.urlopen(orders["begin"], data=b"", timeout=10).close()  # the day begins
        began = time.monotonic()

        async def one(message: int, at: float) -> dict[str, object]:
            await asyncio.sleep(max(0.0, at - (time.monotonic() - began)))
            lane = built.deployments("m").lane
            [receipt] = await store.messages.put([NewMessage(agent=asks.name, body=json.dumps(message).encode(), lane=lane)])
            return await ended(message, receipt.id)

        async def ended(message: int, id: MessageId) -> dict[str, object]:
            while time.monotonic() - began < orders["starts"][-1] + PATIENCE_S:
                view = await store.messages.get(id)
                if view.state in ENDS:
                    at = time.monotonic() - began
                    if view.result is not None:
                        return {"message": message, "text": json.loads(view.result), "ended": at}
                    return {"message": message, "error": view.error.code if view.error else view.state.value, "ended": at}
                await asyncio.sleep(0.25)
            return {"message": message, "error": "lost", "ended": time.monotonic() - began}

        ends = await asyncio.gather(*(one(message, at) for message, at in enumerate(orders["starts"])))
        counters = await store.messages.counters()
        stop.set()
        await life
        await built.aclose()
    print(json.dumps(ends))
    print(json.dumps({"possibly_paid_twice": counters.get("possibly_paid_twice", 0)}), file=sys.stderr)


asyncio.run(main())
