"""Two deployments of one model on a real port, which do what the script says, and keep the books.

    python -m benchmarks.resilience.upstream SEED MESSAGES SECONDS

says its port, and at `GET /books` what it was asked and what it bills.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import Counter, defaultdict

from aiohttp import web
from benchmarks.resilience.script import DOWN, PAID, Script, answer_to

LATENCY_S = 0.1
HANG_S = 30.0
_MESSAGE = re.compile(r"message (\d+)")


class Upstream:
    """One for each contender."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._began: float | None = None
        self._nth: defaultdict[int, int] = defaultdict(int)
        self._kinds: Counter[str] = Counter()
        self._paid: Counter[int] = Counter()

    async def serve(self) -> None:
        app = web.Application()
        app.router.add_post("/{deployment}/v1/chat/completions", self._chat)
        app.router.add_get("/books", self._books)
        app.router.add_post("/begin", self._begin)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.get_running_loop().create_future()

    async def _begin(self, _: web.Request) -> web.Response:
        self._began = time.monotonic()
        return web.Response()

    async def _books(self, _: web.Request) -> web.Response:
        return web.json_response({"kinds": self._kinds, "paid": sum(self._paid.values()), "asked": sum(self._nth.values())})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        found = _MESSAGE.search(body["messages"][-1]["content"])
        assert found is not None
        message = int(found[1])
        self._nth[message] += 1
        at = time.monotonic() - (self._began or time.monotonic())
        kind = self._script.dealt(request.match_info["deployment"], message, self._nth[message], at)
        self._kinds[kind] += 1
        self._paid[message] += kind in PAID
        return await self._do(kind, request, message)

    async def _do(self, kind: str, request: web.Request, message: int) -> web.StreamResponse:
        nth = self._nth[message]
        if kind == DOWN:
            if self._script.chance("down", message, nth) < 0.5:
                return _hung_up(request)
            return _refused(503, "service_unavailable_error", "server_is_overloaded")
        if kind.startswith("limited"):
            return _refused(429, "rate_limit_error", "rate_limit_exceeded", {"retry-after": "2"} if "says" in kind else {})
        if kind == "server error":
            return _refused((500, 502, 503)[int(self._script.chance("status", message, nth) * 3)], "server_error", None)
        if kind == "time-out":
            await asyncio.sleep(HANG_S)
            return _hung_up(request)
        await asyncio.sleep(LATENCY_S)
        whole = _completion(message, "" if kind == "empty" else answer_to(message))
        if kind == "cut":
            return await _cut(request, web.json_response(whole).body)
        return web.json_response(whole)


def _completion(message: int, text: str) -> dict[str, object]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 10, "completion_tokens": len(text.split()), "total_tokens": 10 + len(text.split())}
    made = {"id": f"chatcmpl-{message}", "object": "chat.completion", "created": 1, "model": "m"}
    return made | {"choices": [choice], "usage": usage}


def _refused(status: int, kind: str, code: str | None, headers: dict[str, str] | None = None) -> web.Response:
    error = {"message": "as the script says", "type": kind, "param": None, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)


def _hung_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def _cut(request: web.Request, whole: object) -> web.StreamResponse:
    assert isinstance(whole, bytes)
    response = web.StreamResponse(headers={"content-type": "application/json", "content-length": str(len(whole))})
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    _hung_up(request)
    return response


if __name__ == "__main__":
    asyncio.run(Upstream(Script(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))).serve())
