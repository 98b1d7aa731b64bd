"""Asking again where that is safe, and only there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from perdure.client.address import Address
from perdure.client.aio import AsyncClient
from perdure.client.plain import PlainWire
from perdure.client.pooled import PooledWire
from perdure.client.transport import Transport, segment
from perdure.client.wires import Reply, Wire
from perdure.errors.base import InvalidInput, ServerUnreachable, StoreBusy, Unauthenticated

Answering = Callable[[int, str], Awaitable[bytes | None]]


class Flaky:
    """A server of which each test says what it does with the n-th request; None hangs up without an answer."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.answer: Answering = self._fine
        self.url = ""

    async def _fine(self, number: int, request: str) -> bytes | None:
        return http(200, {"ok": number})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")), 0)
                body = (await reader.readexactly(length)).decode()
                self.requests.append(head.splitlines()[0] + " " + body)
                said = await self.answer(len(self.requests), self.requests[-1])
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def http(status: int, content: object, *headers: str, kind: str = "application/json") -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", f"content-type: {kind}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture
async def flaky() -> AsyncIterator[Flaky]:
    here = Flaky()
    server = await asyncio.start_server(here.serve, "127.0.0.1", 0)
    here.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield here
    server.close()


@pytest.fixture(params=[PooledWire, PlainWire])
async def carrier(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """Every way to carry a request behaves the same."""
    made: Wire = request.param()
    yield made
    await made.aclose()


@pytest.fixture
def wire(flaky: Flaky, carrier: Wire) -> Transport:
    return Transport(Address(url=flaky.url, key="k"), wire=carrier, timeout_s=5, retry_for_s=5)


def first_lost(then: bytes) -> Answering:
    async def answer(number: int, request: str) -> bytes | None:
        return None if number == 1 else then

    return answer


async def test_a_read_whose_answer_was_lost_is_asked_again(flaky: Flaky, wire: Transport) -> None:
    flaky.answer = first_lost(http(200, {"ok": True}))
    assert await wire.get("/x") == {"ok": True}
    assert len(flaky.requests) == 2


async def test_a_write_whose_answer_was_lost_is_not(flaky: Flaky, wire: Transport) -> None:
    flaky.answer = first_lost(http(200, {"ok": True}))
    with pytest.raises(ServerUnreachable, match="broke"):
        await wire.ask("POST", "/x", body=b"{}")
    assert len(flaky.requests) == 1


async def test_a_put_whose_answer_was_lost_is_asked_again_under_the_same_key(flaky: Flaky, carrier: Wire) -> None:
    flaky.answer = first_lost(http(202, {"object": "receipt", "id": "msg_1", "duplicate": True}))
    async with AsyncClient(flaky.url, "k", retry_for_s=5, wire=carrier) as client:
        sent = await client.send("echo", {"a": 1})
    assert len(flaky.requests) == 2
    assert flaky.requests[0] == flaky.requests[1]
    assert '"dedup_key":"client:' in flaky.requests[0]
    assert not sent.duplicate  # the key was ours, so the first try was this very put


async def test_a_store_that_is_busy_is_asked_again_after_its_time(flaky: Flaky, wire: Transport) -> None:
    busy = {"type": "x", "title": "t", "status": 503, "detail": "locked", "code": "store-busy"}

    async def answer(number: int, request: str) -> bytes:
        return http(503, busy, "retry-after: 0") if number < 3 else http(200, {})

    flaky.answer = answer
    assert await wire.get("/x") == {}
    assert len(flaky.requests) == 3


async def test_asking_again_ends(flaky: Flaky, carrier: Wire) -> None:
    async def never(number: int, request: str) -> bytes | None:
        return None

    flaky.answer = never
    wire = Transport(Address(url=flaky.url), wire=carrier, timeout_s=5, retry_for_s=0.4)
    with pytest.raises(ServerUnreachable):
        await wire.get("/x")
    assert 2 <= len(flaky.requests) <= 10  # aiohttp asks once more itself where a kept connection was stale


async def test_a_pause_longer_than_the_limit_is_not_waited_for(flaky: Flaky, wire: Transport) -> None:
    async def busy(number: int, request: str) -> bytes:
        return http(503, {"type": "x", "detail": "locked", "code": "store-busy"}, "retry-after: 600")

    flaky.answer = busy
    with pytest.raises(StoreBusy):
        await wire.get("/x")
    assert len(flaky.requests) == 1


async def test_an_error_that_will_not_change_is_not_asked_again(flaky: Flaky, wire: Transport) -> None:
    async def refused(number: int, request: str) -> bytes:
        return http(401, {"type": "x", "detail": "no", "code": "unauthenticated"})

    flaky.answer = refused
    with pytest.raises(Unauthenticated):
        await wire.get("/x")
    assert len(flaky.requests) == 1


@pytest.mark.parametrize(
    "said",
    [
        http(404, b"<html>nginx</html>", kind="text/html"),
        http(200, b"<html>hello</html>", kind="text/html"),
        http(302, b"", "location: http://example.com/"),
        http(500, b"\xff\xfe"),
        http(500, [1]),
        http(500, b"[" * 100_000),
    ],
)
async def test_another_server_at_that_address_is_said_clearly(flaky: Flaky, wire: Transport, said: bytes) -> None:
    async def other(number: int, request: str) -> bytes:
        return said

    flaky.answer = other
    with pytest.raises(ServerUnreachable, match="not as Perdure does"):
        await wire.get("/x")
    assert len(flaky.requests) == 1


async def test_a_server_that_does_not_answer_in_time_is_said_clearly(flaky: Flaky, carrier: Wire) -> None:
    async def hangs(number: int, request: str) -> bytes | None:
        await asyncio.Event().wait()
        return None

    flaky.answer = hangs
    wire = Transport(Address(url=flaky.url), wire=carrier, timeout_s=0.05, retry_for_s=0)
    with pytest.raises(ServerUnreachable, match="did not answer within"):
        await wire.get("/x")


async def test_a_server_that_comes_up_late_is_waited_for(flaky: Flaky, carrier: Wire, unused_port: int) -> None:
    tried = asyncio.Event()

    class Watched:
        async def carry(self, *request: Any) -> Reply:
            try:
                return await carrier.carry(*request)
            finally:
                tried.set()

        async def aclose(self) -> None: ...

    wire = Transport(Address(url=f"http://127.0.0.1:{unused_port}"), wire=Watched(), timeout_s=5, retry_for_s=10)
    asking = asyncio.create_task(wire.ask("POST", "/x", body=b"{}"))  # a connection that was refused carried nothing
    await tried.wait()
    server = await asyncio.start_server(flaky.serve, "127.0.0.1", unused_port)
    assert await asyncio.wait_for(asking, 10) == {"ok": 1}
    server.close()


async def test_nobody_need_wait_for_a_request_any_more(flaky: Flaky, carrier: Wire) -> None:
    hanging, arrived = asyncio.Event(), asyncio.Event()

    async def hangs(number: int, request: str) -> bytes | None:
        arrived.set()
        await hanging.wait()
        return None

    flaky.answer = hangs
    asking = asyncio.create_task(carrier.carry("GET", flaky.url, {}, None, 60))
    await arrived.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, 30)
    hanging.set()


@pytest.mark.parametrize(
    ("text", "path"),
    [("msg_1", "msg_1"), ("..", "%2E%2E"), ("a/b?c#d", "a%2Fb%3Fc%23d"), ("\udcff", "%3F"), ("ü", "%C3%BC"), ("\x00", "%00")],
)
async def test_an_id_stays_one_part_of_the_path(flaky: Flaky, wire: Transport, text: str, path: str) -> None:
    await wire.get(f"/messages/{segment(text)}")
    assert flaky.requests[0].split()[1] == f"/messages/{path}"


async def test_a_parameter_that_is_no_text_is_refused(wire: Transport) -> None:
    with pytest.raises(InvalidInput, match="is no text"):
        await wire.get("/x", {"queue": "\udcff"})
