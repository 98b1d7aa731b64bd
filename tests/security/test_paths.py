"""Path tricks, odd verbs, odd hosts."""

from __future__ import annotations

import asyncio

import pytest


async def raw(served, line: str, *headers: str) -> bytes:
    reader, writer = await asyncio.open_connection(*served.address)
    writer.write("\r\n".join((line, "host: x", "connection: close", *headers, "", "")).encode("latin-1"))
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../../../etc/passwd",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/app.py",
        "/static/app.css/../../templates/base.html",
        "//etc/passwd",
        "/api/v1/../../metrics",
        "/api/v1/messages/../keys",
        "/api/v1/messages/..%2fkeys",
        "/api/v1/messages/%00",
        "/api/v1/messages/msg_%0d%0aset-cookie:%20x=y",
        "/API/V1/messages",
        "/api/v1//messages",
        "/api/v1/messages/",
        "/healthz/../api/v1/messages",
        "/login/../",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/\\..\\..\\etc\\passwd",
    ],
)
async def test_no_trick_with_a_path_opens_anything(served, path):
    for headers in ((), (f"authorization: Bearer {served.key}",)):
        answer = await raw(served, f"GET {path} HTTP/1.1", *headers)
        status = int(answer.split()[1])
        assert status in (303, 400, 401, 404), answer[:200]
        assert b"root:" not in answer
        assert b"\r\nset-cookie: x=y" not in answer.lower()
        assert b"Traceback" not in answer


@pytest.mark.parametrize("verb", ["TRACE", "CONNECT", "OPTIONS", "PROPFIND", "PUT", "PATCH"])
async def test_odd_verbs_do_nothing(served, verb):
    for path in ("/api/v1/keys", "/v1/models", "/login", "/healthz"):
        answer = await raw(served, f"{verb} {path} HTTP/1.1", f"authorization: Bearer {served.key}")
        assert int(answer.split()[1]) in (400, 405)
        assert served.key.encode() not in answer  # TRACE would echo it


async def test_a_whole_address_as_target_is_no_proxy(served):
    answer = await raw(served, "GET http://169.254.169.254/latest/meta-data HTTP/1.1", f"authorization: Bearer {served.key}")
    assert int(answer.split()[1]) in (400, 404)


async def test_a_websocket_is_not_spoken(served):
    answer = await raw(
        served, "GET /live HTTP/1.1", "upgrade: websocket", "connection: upgrade", "sec-websocket-key: x", "sec-websocket-version: 13"
    )
    assert not answer.startswith(b"HTTP/1.1 101")


async def test_headers_said_by_a_stranger_change_nothing_about_who_they_are(served):
    sent = await served.put()
    told = ("x-forwarded-user: operator", "x-tenant: *", "x-original-url: /healthz", "x-http-method-override: GET", "x-perdure-key: *")
    assert (await raw(served, f"GET /api/v1/messages/{sent} HTTP/1.1", *told)).startswith(b"HTTP/1.1 401 ")


async def test_an_agents_schema_makes_the_server_fetch_nothing(served):
    from perdure.messages.registry import AgentCard, WorkerCard

    heard = []

    async def serve(reader, writer):
        heard.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    card = AgentCard(name="sly", version="1", input_schema={"$ref": f"http://127.0.0.1:{port}/schema.json"})
    await served.store.workers.register(WorkerCard(host="h", pid=2, slots=1, agents=[card]))
    answer = await served.post("/api/v1/messages", {"agent": "sly", "body": {}})
    server.close()
    assert answer.status == 422
    assert heard == []
