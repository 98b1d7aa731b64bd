"""The blocking client: the same as the asynchronous one, on a thread."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from perdure.client.aio import AsyncClient
from perdure.client.blocking import Client
from perdure.errors.base import Conflict, NotFound, SyncCallInAsync

if TYPE_CHECKING:
    from conftest import Served

ROOT = Path(__file__).parents[3]


def test_it_is_what_the_script_writes_from_the_asynchronous_one() -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "blocking_client.py", "--check"], check=True)


def test_it_has_every_public_method() -> None:
    asynchronous = {name for name in dir(AsyncClient) if not name.startswith("_")} - {"aclose", "as_ended"}
    assert asynchronous <= set(dir(Client))


async def test_a_program_without_a_loop_puts_and_waits(served: Served) -> None:
    def program() -> tuple[object, object]:
        with Client(served.url, served.key) as client:
            sent = client.send("echo", {"n": 1})
            [other] = client.send_many([{"agent": "echo", "body": 2}])
            put.set()
            return sent.result(timeout_s=20), other.result(timeout_s=20)

    put = threading.Event()
    running = asyncio.create_task(asyncio.to_thread(program))
    await asyncio.to_thread(put.wait, 20)
    await served.finish()
    assert await running == ({"echo": {"n": 1}}, {"echo": 2})


async def test_errors_come_through(served: Served) -> None:
    def program() -> None:
        with Client(served.url, served.key) as client, pytest.raises(NotFound):
            client.message("msg_0000000000001")

    await asyncio.to_thread(program)


async def test_threads_share_one_client(served: Served) -> None:
    with Client(served.url, served.key) as client:
        sent = await asyncio.gather(*(asyncio.to_thread(client.send, "echo", n) for n in range(20)))
        assert len({one.id for one in sent}) == 20
        await asyncio.to_thread(client.close)


async def test_on_a_running_loop_it_says_what_to_use_instead(served: Served) -> None:
    with Client(served.url, served.key) as client, pytest.raises(SyncCallInAsync) as caught:
        client.messages()
    assert caught.value.hint == "Use `AsyncClient` there."


def test_closed_it_says_so_and_closing_twice_is_fine() -> None:
    client = Client("http://127.0.0.1:1", "k")
    client.close()
    client.close()
    with pytest.raises(Conflict, match="closed"):
        client.messages()
