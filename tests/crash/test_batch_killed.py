"""Server and worker are killed while a batch runs: it is completed all the same, each line once, and no answer is paid for twice."""

from __future__ import annotations

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
from crash.test_server_killed_answering import begin
from perdure.errors.base import NotFound

LINES = int(os.environ.get("CRASH_BATCH_LINES", "120"))


@pytest.fixture
def upstream_delay_s() -> float:
    return 0.05


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_a_batch_outlives_server_and_worker(ground: Any, seer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(seed())
    worker = ground.worker()
    await seer.until(lambda: _lives(seer), what=f"the worker lives: {ground.said()}")
    server, url, session = await begin(ground, seer)
    async with session:
        batch = await _order(session, url)
        some = dice.randint(LINES // 8, LINES // 2)
        await seer.until(lambda: _asked(ground, some), what=f"lines are asked: {ground.said()}")
        for process in (server, worker):
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    ground.worker()
    server, url, session = await begin(ground, seer)
    async with session:
        await seer.until(lambda: _completed(seer, batch), what=f"the batch is completed: {ground.said()}", within_s=90)
        async with session.get(f"{url}/v1/batches/{batch}") as answer:
            told = await answer.json()
        ids = [json.loads(line)["custom_id"] for line in (await _content(session, url, told["output_file_id"])).splitlines()]
    paid = Counter(seen.tag for seen in ground.requests())
    with capsys.disabled():
        print(f"\nserver and worker killed after {some} of {LINES} lines: {len(ids)} answered, {paid.total()} calls")
    assert (told["status"], told["error_file_id"]) == ("completed", None)
    assert told["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
    assert sorted(ids) == sorted(f"line-{n}" for n in range(LINES))
    assert LINES <= paid.total() <= LINES + 20, "at most what was under way is asked again: one for each slot of the worker"
    assert max(paid.values()) <= 2


async def _order(session: aiohttp.ClientSession, url: str) -> str:
    form = aiohttp.FormData()
    form.add_field("purpose", "batch")
    form.add_field("file", b"\n".join(_line(n) for n in range(LINES)), filename="lines.jsonl")
    async with session.post(f"{url}/v1/files", data=form) as answer:
        file = (await answer.json())["id"]
    asked = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    async with session.post(f"{url}/v1/batches", json=asked) as answer:
        return str((await answer.json())["id"])


def _line(n: int) -> bytes:
    body = {"messages": [{"role": "user", "content": f"Say {n}."}], "user": f"line-{n}"}
    return json.dumps({"custom_id": f"line-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}).encode()


async def _content(session: aiohttp.ClientSession, url: str, file: str) -> bytes:
    async with session.get(f"{url}/v1/files/{file}/content") as answer:
        return await answer.read()


async def _lives(seer: Any) -> bool:
    return bool(await seer.living())


async def _asked(ground: Any, some: int) -> bool:
    return len(ground.requests()) >= some


async def _completed(seer: Any, batch: str) -> bool:
    with suppress(NotFound):
        return (await seer.store.batches.get(batch, tenant=None)).state.value == "completed"
    return False
