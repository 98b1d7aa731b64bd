"""The server is killed while a hundred clients put, one or many, and call off: whatever was answered is so."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from crash.history import ended_twice, illegal_paths, never_told, told_what_is_not, whole_history
from crash.seeds import seed
from perdure.app import open_upkeep
from perdure.messages import ids
from perdure.messages.message import State

CLIENTS = 100
KILLS = int(os.environ.get("CRASH_SERVER_KILLS", "3"))
MANY = 5


class Answers:
    """What clients were told, and how much they have sent."""

    def __init__(self) -> None:
        self.put: list[str] = []
        self.cancelled: list[str] = []
        self.sent = 0


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_whatever_was_answered_is_so(ground: Any, seer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    answers, dice = Answers(), random.Random(seed())
    for _ in range(KILLS):
        (ground.folder / "data" / "run" / "server.json").unlink(missing_ok=True)  # that of the server before
        server = ground.start(ground.command("serve", "--port", "0"), PERDURE_SERVER__ALLOW_UNREGISTERED="true")
        url = await address(ground, seer, server.pid)
        key = (ground.folder / "data" / "key").read_text().strip()
        before = len(answers.put)
        async with aiohttp.ClientSession(headers={"authorization": f"Bearer {key}"}, connector=aiohttp.TCPConnector(limit=0)) as session:
            clients = [asyncio.create_task(call_until_it_breaks(session, url, answers, n)) for n in range(CLIENTS)]
            await seer.until(lambda since=before: more(answers, since + 2 * CLIENTS), what=f"the server answers: {ground.said()}")
            await asyncio.sleep(dice.uniform(0, 0.3))
            os.kill(server.pid, signal.SIGKILL)
            await asyncio.gather(*clients)
        server.wait()
    stored = {ids.write(view.message.id): view for view in await seer.views()}
    lost = [one for one in answers.put if one not in stored]
    going_on = [one for one in answers.cancelled if stored[one].state is not State.CANCELLED]
    bodies = [json.loads(stored[one].message.body)["n"] for one in answers.put if one in stored]
    with capsys.disabled():
        print(
            f"\nserver killed {KILLS} times: {answers.sent} puts sent, {len(answers.put)} answered, {len(stored)} stored, "
            f"{len(lost)} lost, {len(answers.cancelled)} called off, of which {len(going_on)} go on"
        )
    assert (lost, going_on) == ([], [])
    assert len(set(answers.put)) == len(answers.put)
    assert len(set(bodies)) == len(bodies)
    assert len(answers.put) <= len(stored) <= answers.sent
    assert answers.cancelled, "somebody called something off"
    told = await whole_history(seer.store.messages)
    states = {view.message.id: view.state for view in stored.values()}
    assert illegal_paths(told) == ended_twice(told) == never_told(told, states) == told_what_is_not(told, states) == []
    assert await open_upkeep(ground.settings).verify() == []


async def call_until_it_breaks(session: aiohttp.ClientSession, url: str, answers: Answers, client: int) -> None:
    """Put one, put many, call one of them off, and begin anew."""
    with suppress(aiohttp.ClientError, ConnectionError):
        while True:
            one = await answer(session, f"{url}/api/v1/messages", a_message(answers, client), 202)
            answers.put.append(one["id"])
            many = await answer(session, f"{url}/api/v1/messages", {"messages": [a_message(answers, client) for _ in range(MANY)]}, 202)
            answers.put += [receipt["id"] for receipt in many["data"]]
            off = many["data"][0]["id"]
            assert (await answer(session, f"{url}/api/v1/messages/{off}/cancel", None, 200))["state"] == "cancelled"
            answers.cancelled.append(off)


def a_message(answers: Answers, client: int) -> dict[str, Any]:
    answers.sent += 1
    return {"agent": "order", "queue": "orders", "body": {"n": f"{os.urandom(8).hex()}-{client}-{answers.sent}"}}


async def answer(session: aiohttp.ClientSession, url: str, body: Any, status: int) -> Any:
    async with session.post(url, json=body) as response:
        said = await response.json()
    assert response.status == status, said
    return said


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


async def more(answers: Answers, count: int) -> bool:
    return len(answers.put) >= count
