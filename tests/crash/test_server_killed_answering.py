"""The server is killed while clients ask with keys of their own: what was recorded is never paid for again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from crash.seeds import seed
from crash.test_server_killed import address

CLIENTS = 40


class Told:
    """What clients have asked, and what they were answered."""

    def __init__(self) -> None:
        self.asked: dict[str, dict[str, Any]] = {}
        self.answered: dict[str, bytes] = {}


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_no_recorded_answer_is_paid_for_twice(ground: Any, seer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    told, dice = Told(), random.Random(seed())
    server, url, session = await begin(ground, seer)
    async with session:
        clients = [asyncio.create_task(ask_until_it_breaks(session, url, told, n)) for n in range(CLIENTS)]
        await seer.until(lambda: several(told), what=f"the server answers: {ground.said()}")
        await asyncio.sleep(dice.uniform(0, 0.3))
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.gather(*clients)
    server.wait()
    before = Counter(seen.tag for seen in ground.requests())
    server, url, session = await begin(ground, seer)
    async with session:
        again = dict(
            zip(told.asked, await asyncio.gather(*(once_more(session, url, key, body) for key, body in told.asked.items())), strict=True)
        )
    paid = Counter(seen.tag for seen in ground.requests())
    kept = [key for key, (replayed, _) in again.items() if replayed]
    twice = [key for key in told.asked if paid[key] > 1]
    with capsys.disabled():
        print(
            f"\nserver killed with {len(told.asked) - len(told.answered)} of {len(told.asked)} calls under way: "
            f"{len(kept)} answers were recorded and paid for once, {len(twice)} calls that were not were made again"
        )
    assert set(told.answered) <= set(kept)
    assert [key for key, body in told.answered.items() if again[key][1] != body] == []
    assert [key for key in kept if paid[key] != before[key] or paid[key] != 1] == []
    assert [key for key in told.asked if paid[key] > 2] == []
    assert len(told.answered) < len(told.asked), "somebody was cut off"
    assert await asyncio.to_thread(server.poll) is None, ground.said()


async def begin(ground: Any, seer: Any) -> tuple[Any, str, aiohttp.ClientSession]:
    (ground.folder / "data" / "run" / "server.json").unlink(missing_ok=True)  # that of the server before
    server = ground.start(ground.command("serve", "--port", "0"))
    url = await address(ground, seer, server.pid)
    key = (ground.folder / "data" / "key").read_text().strip()
    return server, url, aiohttp.ClientSession(headers={"authorization": f"Bearer {key}"}, connector=aiohttp.TCPConnector(limit=0))


async def ask_until_it_breaks(session: aiohttp.ClientSession, url: str, told: Told, client: int) -> None:
    with suppress(aiohttp.ClientError, ConnectionError):
        for n in range(1000):
            key = f"{client}-{n}"
            asked = {"messages": [{"role": "user", "content": f"Say {key}."}], "user": key, "stream": bool(client % 2)}
            told.asked[key] = asked
            status, _, body = await ask(session, url, key, asked)
            assert status == 200, body
            if not asked["stream"] or body.endswith(b"data: [DONE]\n\n"):
                told.answered[key] = body


async def once_more(session: aiohttp.ClientSession, url: str, key: str, body: dict[str, Any]) -> tuple[bool, bytes]:
    for _ in range(5):
        status, replayed, answer = await ask(session, url, key, body)
        if status == 200:
            return replayed, answer
        assert status == 409, answer
    raise AssertionError(f"{key} is never answered")


async def ask(session: aiohttp.ClientSession, url: str, key: str, body: dict[str, Any]) -> tuple[int, bool, bytes]:
    sent = {"idempotency-key": key, "content-type": "application/json"}
    async with session.post(f"{url}/v1/chat/completions", data=json.dumps(body), headers=sent) as answer:
        return answer.status, "perdure-replayed" in answer.headers, await answer.read()


async def several(told: Told) -> bool:
    return len(told.answered) >= 2 * CLIENTS
