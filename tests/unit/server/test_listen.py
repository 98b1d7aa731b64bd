from __future__ import annotations

import asyncio

from perdure.server.listen import HEADERS_BYTES


async def speak(served, *pieces: bytes) -> bytes:
    """Send bytes as they are; read until the server hangs up, or has nothing more to say."""
    reader, writer = await asyncio.open_connection(*served.address)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_headers_larger_than_the_limit_are_refused(served):
    head = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    answer = await speak(served, head, b"x-large: " + b"a" * HEADERS_BYTES, b"a" * HEADERS_BYTES)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_an_address_larger_than_the_limit_is_refused(served):
    answer = await speak(served, b"GET /" + b"a" * HEADERS_BYTES, b"a" * HEADERS_BYTES)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_many_small_headers_are_counted_together(served):
    headers = [b"x-%03d: %s\r\n" % (n, b"a" * 500) for n in range(HEADERS_BYTES // 508 + 1)]  # the last one is too much: none is unread
    answer = await speak(served, b"GET /healthz HTTP/1.1\r\nhost: x\r\n", *headers)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_ordinary_headers_and_the_next_request_on_the_same_line_are_read(served):
    one = b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 20_000 + b"\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert (await speak(served, one, one, last)).count(b"HTTP/1.1 200 OK") == 3


async def test_a_large_body_is_no_large_header(served):
    body = b'{"agent":"echo","body":"' + b"x" * 200_000 + b'"}'
    head = f"POST /api/v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {served.key}\r\ncontent-type: application/json\r\n"
    answer = await speak(served, head.encode() + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body), body)
    assert answer.startswith(b"HTTP/1.1 202 ")


async def test_a_request_with_two_lengths_is_refused(served):
    head = f"POST /api/v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {served.key}\r\ncontent-type: application/json\r\n"
    for lengths in ("content-length: 5\r\ncontent-length: 6\r\n", "content-length: 5\r\ntransfer-encoding: chunked\r\n"):
        answer = await speak(served, (head + lengths + "\r\n").encode() + b"0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert answer.count(b"HTTP/1.1") == 1


async def test_the_server_does_not_say_what_it_is_made_of(served):
    assert "server" not in (await served.get("/healthz")).headers


async def test_whoever_is_slow_with_the_headers_is_hung_up_on(served, monkeypatch):
    monkeypatch.setattr("perdure.server.listen.HEADERS_S", 0.05)
    assert await speak(served) == b""
    assert await speak(served, b"GET /healthz HTTP/1.1\r\nx-a: ") == b""
    head = f"GET /api/v1/changes?after=0&wait=0.3 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {served.key}\r\n"
    answer = await speak(served, (head + "\r\n").encode(), b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 2, "waiting for an answer is not being slow"


async def test_whoever_is_slow_with_the_body_is_told_and_does_not_hold_the_door(served, monkeypatch):
    monkeypatch.setattr("perdure.server.body.BODY_S", 0.05)
    head = f"POST /api/v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {served.key}\r\ncontent-type: application/json\r\n"
    answer = await speak(served, (head + "connection: close\r\ncontent-length: 100\r\n\r\n{").encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"did not arrive within" in answer
