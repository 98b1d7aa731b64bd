"""The endpoint of runs over a real socket: who is let in, what is answered, and what it costs those who do not use it."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from perdure.errors.base import NotFound, RunEnded
from perdure.worker.endpoint import Endpoint

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


class Spoken:
    """An answer that is there already, or an error."""

    def __init__(self, body: Mapping[str, Any] | Exception) -> None:
        self.body = body
        self.told: list[str] = []

    async def whole(self) -> dict[str, Any]:
        if isinstance(self.body, Exception):
            raise self.body
        return dict(self.body)

    async def pieces(self) -> AsyncIterator[dict[str, Any]]:
        yield {"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": None}]}
        if isinstance(self.body, Exception):
            raise self.body
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}

    def read(self) -> None:
        self.told.append("read")

    def left(self) -> None:
        self.told.append("left")


class Calls:
    """The calls of a run that answers all alike."""

    def __init__(self, body: Mapping[str, Any] | Exception | None = None) -> None:
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.errors: dict[str, BaseException] = {}
        self.spoken = Spoken(body or {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]})

    def ask(self, scope: str, body: Mapping[str, Any], *, again: bool = False) -> Spoken:
        self.asked.append((scope, body))
        return self.spoken

    def refused(self, id: str, error: BaseException) -> None:
        self.errors[id] = error


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    yield made
    await made.close_all()


class Answer:
    def __init__(self, status: int, headers: Mapping[str, str], raw: bytes) -> None:
        self.status, self.headers, self.raw = status, headers, raw

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)["error"]
        return found


async def asked(
    url: str, token: str | None, body: Any = CHAT, *, path: str = "/v1/chat/completions", method: str = "POST", **headers: str
) -> Answer:
    """Ask as no client does that is on our side."""

    def ask() -> Answer:
        there = urlsplit(url)
        connection = http.client.HTTPConnection(there.hostname or "", there.port, timeout=10)
        sent = ({"Authorization": f"Bearer {token}"} if token else {}) | headers
        connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body), sent)
        response = connection.getresponse()
        found = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        connection.close()
        return found

    return await asyncio.to_thread(ask)


def opened(endpoint: Endpoint, calls: Calls, message: int = 1, lease: int = 1) -> tuple[str, str]:
    address = endpoint.open(message, lease, calls, asyncio.get_running_loop())
    return address.url, address.token


async def test_who_has_the_key_of_a_run_is_answered(endpoint):
    calls = Calls()
    answer = await asked(*opened(endpoint, calls))
    assert answer.status == 200
    assert json.loads(answer.raw)["choices"][0]["message"] == {"role": "assistant", "content": "hi", "refusal": None}
    assert (calls.asked, calls.spoken.told) == ([("", CHAT)], ["read", "left"])


async def test_only_loopback_is_listened_on(endpoint):
    url, _ = opened(endpoint, Calls())
    assert urlsplit(url).hostname == "127.0.0.1"


async def test_runs_share_one_socket_and_each_key_leads_to_its_own(endpoint):
    one, other = Calls(), Calls()
    (url, first), (same, second) = opened(endpoint, one, 1), opened(endpoint, other, 2)
    assert url == same
    assert first != second
    await asked(url, second)
    assert (len(one.asked), len(other.asked)) == (0, 1)


@pytest.mark.parametrize("token", [None, "pdr_none", "pdr_" + "00" * 48, "sk-some"])
async def test_nobody_gets_in_without_a_key(endpoint, token):
    calls = Calls()
    url, _ = opened(endpoint, calls)
    answer = await asked(url, token)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert answer.headers["x-should-retry"] == "false"
    assert calls.asked == []


async def test_the_key_dies_with_the_lease_and_says_so(endpoint):
    calls = Calls()
    url, token = opened(endpoint, calls, 1, 1)
    endpoint.close(1, 1)
    opened(endpoint, calls, 1, 2)  # the next lease of the same message has a key of its own
    answer = await asked(url, token)
    assert (answer.status, answer.error["code"]) == (410, "run_ended")
    assert answer.headers["x-should-retry"] == "false"
    assert calls.asked == []


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "evil.example:80"])
async def test_who_calls_us_by_another_name_is_refused(endpoint, host):
    calls = Calls()
    answer = await asked(*opened(endpoint, calls), Host=host)
    assert (answer.status, calls.asked) == (403, [])


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/chat/completions"), ("OPTIONS", "/v1/chat/completions"), ("GET", "/")])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_a_page_in_a_browser_gets_nothing_not_even_with_the_key(endpoint, method, path, origin):
    calls = Calls()
    answer = await asked(*opened(endpoint, calls), path=path, method=method, Origin=origin)
    assert (answer.status, calls.asked) == (403, [])
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_localhost_is_our_name_too(endpoint):
    url, token = opened(endpoint, Calls())
    assert (await asked(url, token, Host=f"localhost:{urlsplit(url).port}")).status == 200


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404), ("/v1", "GET", 404), ("/v2/chat/completions", "POST", 404), ("/scope=a", "POST", 404),
        ("/v1/responses", "POST", 422), ("/v1/embeddings", "POST", 422), ("/v1/models", "GET", 422),
        ("/v1/chat/completions", "GET", 405), ("/v1/chat/completions/1", "GET", 422),
    ],
)  # fmt: skip
async def test_what_is_not_here_is_refused_by_name(endpoint, path, method, status):
    calls = Calls()
    answer = await asked(*opened(endpoint, calls), path=path, method=method)
    assert (answer.status, calls.asked) == (status, [])
    assert set(answer.error) == {"message", "type", "param", "code", "request_id"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", {"messages": []}, CHAT | {"temperature": 9}])
async def test_a_wrong_request_is_400(endpoint, body):
    calls = Calls()
    answer = await asked(*opened(endpoint, calls), body)
    assert (answer.status, answer.error["type"], calls.asked) == (400, "invalid_request_error", [])


async def test_a_request_may_be_large_but_not_endless(endpoint, monkeypatch):
    calls = Calls()
    url, token = opened(endpoint, calls)
    large = CHAT | {"messages": [{"role": "user", "content": "x" * 3_000_000}]}
    assert (await asked(url, token, large)).status == 200
    monkeypatch.setattr("perdure.worker.answering._MOST_BYTES", 1_000_000)
    assert (await asked(url, token, large)).status == 413
    assert len(calls.asked) == 1


async def test_the_path_says_in_which_scope(endpoint):
    calls = Calls()
    await asked(*opened(endpoint, calls), path="/scope=a%2Fb%5B0%5D%20..%25/v1/chat/completions")
    assert calls.asked[0][0] == "a/b[0] ..%"


async def test_an_error_bears_the_number_by_which_the_run_knows_it_again(endpoint):
    error = NotFound("gone, with pdr_0123456789abcdef")
    calls = Calls(error)
    answer = await asked(*opened(endpoint, calls))
    assert calls.errors == {answer.headers["x-request-id"]: error}
    assert answer.error["request_id"] == answer.headers["x-request-id"]
    assert "pdr_" not in answer.error["message"]
    assert calls.spoken.told == ["read", "left"]


async def test_an_error_in_the_middle_of_a_stream_ends_it_without_done(endpoint):
    error = RunEnded("parked")
    calls = Calls(error)
    answer = await asked(*opened(endpoint, calls), CHAT | {"stream": True})
    first, last = [json.loads(line.removeprefix("data: ")) for line in answer.raw.decode().split("\n\n") if line]
    assert (answer.status, first["choices"][0]["delta"]["content"]) == (200, "half")
    assert calls.errors == {last["error"]["request_id"]: error}
    assert calls.spoken.told == ["read", "left"]


@pytest.mark.parametrize("error", [KeyError("inner secret"), ConnectionResetError("not the client's, secret")])
async def test_a_fault_of_ours_is_500_and_tells_nothing(endpoint, error):
    answer = await asked(*opened(endpoint, Calls(error)))
    assert answer.status == 500
    assert "secret" not in answer.raw.decode()


async def test_a_fault_of_ours_in_the_middle_of_a_stream_is_told_in_it(endpoint):
    answer = await asked(*opened(endpoint, Calls(KeyError("inner secret"))), CHAT | {"stream": True})
    _, last = [json.loads(line.removeprefix("data: ")) for line in answer.raw.decode().split("\n\n") if line]
    assert set(last) == {"error"}
    assert "secret" not in answer.raw.decode()


async def test_a_client_that_goes_away_leaves_nothing_in_the_log(endpoint, caplog):
    calls = Calls()
    held, reached = asyncio.Event(), asyncio.Event()

    async def whole() -> dict[str, Any]:
        reached.set()
        await held.wait()
        return {}

    calls.spoken.whole = whole  # type: ignore[method-assign]
    url, token = opened(endpoint, calls)
    _, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    raw = json.dumps(CHAT).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {token}\r\n"
    writer.write(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
    await reached.wait()
    writer.transport.abort()
    async with asyncio.timeout(10):
        while not calls.spoken.told:
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    assert calls.spoken.told == ["left"]
    assert not caplog.records


async def test_nothing_listens_until_somebody_asks(endpoint):
    before = set(asyncio.all_tasks())
    await endpoint.close_all()
    assert endpoint._url is None
    assert set(asyncio.all_tasks()) == before


async def test_an_address_is_had_from_any_thread(endpoint):
    calls, loop = Calls(), asyncio.get_running_loop()
    address = await asyncio.to_thread(lambda: endpoint.open(1, 1, calls, loop))
    assert (await asked(address.url, address.token)).status == 200


async def test_after_the_worker_has_ended_nobody_is_answered():
    made = Endpoint()
    url, token = opened(made, Calls())
    assert (await asked(url, token)).status == 200
    await made.close_all()
    with pytest.raises(OSError, match="refused"):
        await asked(url, token)


def test_a_worker_that_nobody_asks_does_not_load_a_web_server():
    import subprocess

    said = subprocess.run(
        [sys.executable, "-c", "import sys, perdure.worker.worker; print('aiohttp.web' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "False"
