"""Server and worker are killed while responses are made in the background: each is completed, and no recorded answer is paid again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from typing import Any

import aiohttp
import pytest

from crash.test_server_killed_answering import begin
from perdure.messages.message import State

SO_MANY = 24


async def test_each_is_completed_and_no_recorded_answer_is_paid_again(ground: Any, seer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    worker = ground.worker("--slots", "4")
    server, url, session = await begin(ground, seer)
    async with session:
        await seer.until(lambda: some(seer.living), what=f"a worker lives: {ground.said()}")
        put = [await create(session, url, n) for n in range(SO_MANY)]
        await seer.until(lambda: done(seer, 6), what=f"some are completed: {ground.said()}")
        for process in (server, worker):
            os.kill(process.pid, signal.SIGKILL)
    for process in (server, worker):
        process.wait()
    before = Counter(seen.tag for seen in ground.requests())
    views = await seer.views()
    recorded = [view for view in views if any(step.result is not None for step in await seer.steps(view.message.id))]
    settled = {json.loads(view.message.body)["user"] for view in [*recorded, *(one for one in views if one.state is State.DONE)]}
    ground.worker("--slots", "4")
    _, url, session = await begin(ground, seer)
    async with session:
        assert [(await create(session, url, n))["id"] for n in range(3)] == [one["id"] for one in put[:3]], "a key finds what it has put"
        found = await asyncio.gather(*(completed(session, url, one["id"]) for one in put))
        events = await read(session, f"{url}/v1/responses/{put[-1]['id']}?stream=true&starting_after=1")
    paid = Counter(seen.tag for seen in ground.requests())
    with capsys.disabled():
        print(f"\nkilled with {SO_MANY - len(settled)} of {SO_MANY} responses unanswered: {len(paid)} paid for, {sum(paid.values())} calls")
    assert [one["output"][0]["content"][0]["text"] != "" for one in found] == [True] * SO_MANY
    assert 0 < len(settled) < SO_MANY
    assert [user for user in settled if (before[user], paid[user]) != (1, 1)] == []
    assert [user for user, times in paid.items() if times > 2] == []
    assert events.startswith(b"event: response.in_progress\n")
    assert events.count(b'"type":"response.completed"') == 1


async def create(session: aiohttp.ClientSession, url: str, n: int) -> dict[str, Any]:
    asked = {"input": f"Say {n}.", "user": f"r{n}", "background": True}
    async with session.post(f"{url}/v1/responses", json=asked, headers={"idempotency-key": f"k{n}"}) as answer:
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())


async def completed(session: aiohttp.ClientSession, url: str, name: str) -> dict[str, Any]:
    """By its stream, which ends with it."""
    await read(session, f"{url}/v1/responses/{name}?stream=true")
    found = dict(json.loads(await read(session, f"{url}/v1/responses/{name}")))
    assert found["status"] == "completed", found
    return found


async def read(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def some(count: Any) -> bool:
    return bool(await count())


async def done(seer: Any, so_many: int) -> bool:
    return len([view for view in await seer.views() if view.state is State.DONE]) >= so_many
