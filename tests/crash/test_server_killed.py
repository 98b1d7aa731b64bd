"""The server is killed while a hundred clients put: every id that was answered exists."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from typing import Any

import aiohttp
import pytest

from perdure.messages import ids

CLIENTS = 100
KILLS = 3


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_every_id_that_was_answered_exists(ground: Any, seer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    answered: list[str] = []
    sent = 0
    for _ in range(KILLS):
        (ground.folder / "data" / "run" / "server.json").unlink(missing_ok=True)  # that of the server before
        server = ground.start(ground.command("serve", "--port", "0"), PERDURE_SERVER__ALLOW_UNREGISTERED="true")
        url = await address(ground, seer, server.pid)
        key = (ground.folder / "data" / "key").read_text().strip()
        before = len(answered)
        async with aiohttp.ClientSession(headers={"authorization": f"Bearer {key}"}, connector=aiohttp.TCPConnector(limit=0)) as session:
            clients = [asyncio.create_task(put_until_it_breaks(session, url, answered, n)) for n in range(CLIENTS)]
            await seer.until(lambda since=before: more(answered, since + 2 * CLIENTS), what=f"the server answers: {ground.said()}")
            await asyncio.sleep(random.uniform(0, 0.3))
            os.kill(server.pid, signal.SIGKILL)
            sent += sum(await asyncio.gather(*clients))
        server.wait()
    stored = {ids.write(view.message.id): view for view in await seer.views()}
    lost = [one for one in answered if one not in stored]
    bodies = [json.loads(stored[one].message.body)["n"] for one in answered]
    with capsys.disabled():
        print(f"\nserver killed {KILLS} times: {sent} puts sent, {len(answered)} answered, {len(stored)} stored, {len(lost)} lost")
    assert lost == []
    assert len(set(answered)) == len(answered)
    assert len(set(bodies)) == len(bodies)
    assert len(answered) <= len(stored) <= sent


async def put_until_it_breaks(session: aiohttp.ClientSession, url: str, answered: list[str], client: int) -> int:
    sent = 0
    while True:
        sent += 1
        put = {"agent": "order", "queue": "orders", "body": {"n": f"{os.urandom(8).hex()}-{client}-{sent}"}}
        try:
            async with session.post(f"{url}/api/v1/messages", json=put) as response:
                receipt = await response.json()
        except (aiohttp.ClientError, ConnectionError):
            return sent
        assert response.status == 202, receipt
        answered.append(receipt["id"])


async def address(ground: Any, seer: Any, pid: int) -> str:
    file = ground.folder / "data" / "run" / "server.json"

    async def written() -> bool:
        return file.exists() and await answers(json.loads(file.read_text())["url"])

    await seer.until(written, what=f"the server says where it is: {ground.said()}")
    return json.loads(file.read_text())["url"]


async def answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session, session.get(f"{url}/healthz") as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def more(answered: list[str], count: int) -> bool:
    return len(answered) >= count
