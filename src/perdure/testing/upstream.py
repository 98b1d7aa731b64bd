"""A real HTTP server that speaks OpenAI's wire, counts every request, and fails when told to.

It stands where a paid provider would. Each request is written to an append-only log before it is
answered, so the count survives whatever is killed around it:

    with Upstream(log=tmp_path / "calls.jsonl") as upstream:
        upstream.script(Fault("status", status=429, headers={"retry-after": "2"}))
        provider = GenericProvider("fake", base_url=upstream.base_url)

`python -m perdure.testing.upstream --port 0 --log FILE` is the same as a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias

import msgspec
from aiohttp import web

from perdure.clock import now
from perdure.testing.behind import BackgroundCalls
from perdure.testing.calls import CallLog, Seen, read_log
from perdure.testing.faulting import commit
from perdure.testing.faults import Fault
from perdure.testing.replies import as_message, default_reply, multiplied, prompt_digest, tag_of, vector_of, words
from perdure.wire.answers import chunks_of, completion
from perdure.wire.sse import DONE, encode_event

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Reply: TypeAlias = Callable[[dict[str, Any]], "str | Mapping[str, Any]"]

__all__ = ["Fault", "Reply", "Seen", "Upstream", "main", "read_log"]


class Upstream:
    """A counting provider on a loopback port, in a thread of its own.

    Args:
        log (Path | None): Append one JSON line per request here, before answering.
        port (int): 0 for any free port.
        delay_s (float): How long each answer takes.
        api_key (str | None): Refuse other keys with 401.
        reply (Reply | None): Makes the answer; None for the deterministic default.
        models (tuple[str, ...]): What `/v1/models` lists.
    """

    def __init__(
        self,
        *,
        log: Path | None = None,
        port: int = 0,
        delay_s: float = 0.0,
        api_key: str | None = None,
        reply: Reply | None = None,
        models: tuple[str, ...] = ("fake-1",),
    ) -> None:
        self.port: int = port
        self.delay_s: float = delay_s
        self.api_key: str | None = api_key
        self.reply: Reply = reply or default_reply
        self.models: tuple[str, ...] = models
        self.models_status: int = 200
        self.requests: list[Seen] = []
        self.background: BackgroundCalls = BackgroundCalls(self._begun)
        """Its calls that go on by themselves, on `/v1/responses`."""
        self._log = CallLog(log)
        self._faults: deque[Fault] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def base_url(self) -> str:
        """Where it answers, with `/v1`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def count(self, tag: str | None = None) -> int:
        """Count the chat requests so far.

        Args:
            tag (str | None): Only those of this tag.

        Returns:
            int: How many arrived, answered or not.
        """
        return sum(1 for seen in list(self.requests) if tag is None or seen.tag == tag)

    def bodies(self) -> list[dict[str, Any]]:
        """Give what was asked so far.

        Returns:
            list[dict[str, Any]]: The requests' bodies as they arrived.
        """
        return [seen.body for seen in list(self.requests)]

    def script(self, *faults: Fault) -> None:
        """Let the next requests fail, one fault each, in this order.

        Args:
            *faults (Fault): What to do; one with a tag waits for a request of that tag.
        """
        with self._lock:
            self._faults.extend(faults)

    def forget(self) -> None:
        """Forget the faults that no request has used."""
        with self._lock:
            self._faults.clear()

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve(ready.set)), name="upstream", daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the upstream did not start within 10 s")
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(10)

    async def serve(self, ready: Callable[[], None]) -> None:
        """Answer until stopped.

        Args:
            ready (Callable[[], None]): Called once the port is open.
        """
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._behind(self._complete))
        app.router.add_post("/v1/embeddings", self._behind(self._embed))
        app.router.add_get("/health", self._say_well)
        app.router.add_post("/v1/responses", self._behind(self.background.begin))
        app.router.add_get("/v1/responses/{handle}", self._behind(self.background.look))
        app.router.add_post("/script", self._take_script)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self.port, backlog=512)
            await site.start()
            self.port = runner.addresses[0][1]
            ready()
            await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _list_models(self, request: web.Request) -> web.Response:
        if not self._let_in(request):
            return _refuse()
        if self.models_status != 200:
            return web.Response(status=self.models_status)
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "fake"} for name in self.models]})

    async def _take_script(self, request: web.Request) -> web.Response:
        self.script(*msgspec.json.decode(await request.read(), type=list[Fault]))
        return web.json_response({"faults": len(self._faults)})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if not self._let_in(request):
            return _refuse()
        body = await request.json()
        seen = self._note(request, body)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        answer = self._answer(body, seen.n)
        fault = self._next_fault(seen.tag)
        if fault is not None:
            return await commit(fault, request, answer)
        response = await _send(request, body, answer)
        self._log.answered(seen)
        return response

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        seen = self._note(request, body)
        prompts = body["prompt"] if isinstance(body["prompt"], list) and not isinstance(body["prompt"][0], int) else [body["prompt"]]
        said = [f" and so on after {prompt}" for prompt in prompts for _ in range(body.get("n") or 1)]
        asked, used = sum(words(str(prompt)) for prompt in prompts), sum(map(words, said))
        usage = {"prompt_tokens": asked, "completion_tokens": used, "total_tokens": asked + used}
        choices = [{"text": text, "index": at, "logprobs": None, "finish_reason": "stop"} for at, text in enumerate(said)]
        answer = {"id": f"cmpl-{seen.n}", "object": "text_completion", "created": 1, "model": body["model"]}
        fault = self._next_fault(seen.tag)
        if fault is not None:
            return await commit(fault, request, {**answer, "choices": choices, "usage": usage})
        if not body.get("stream"):
            return web.json_response({**answer, "choices": choices, "usage": usage})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for choice in choices:
            await response.write(encode_event({**answer, "choices": [{**choice, "finish_reason": None}]}))
            await response.write(encode_event({**answer, "choices": [{**choice, "text": ""}]}))
        if (body.get("stream_options") or {}).get("include_usage"):
            await response.write(encode_event({**answer, "choices": [], "usage": usage}))
        await response.write(DONE)
        return response

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        seen = self._note(request, body)
        texts = body["input"] if isinstance(body["input"], list) and not isinstance(body["input"][0], int) else [body["input"]]
        rows = [
            {"object": "embedding", "index": at, "embedding": vector_of(str(text), body.get("dimensions"))} for at, text in enumerate(texts)
        ]
        used = sum(words(str(text)) for text in texts)
        answer = {"object": "list", "data": rows, "model": body["model"], "usage": {"prompt_tokens": used, "total_tokens": used}}
        fault = self._next_fault(seen.tag)
        return web.json_response(answer) if fault is None else await commit(fault, request, answer)

    async def _say_well(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    def _behind(self, answer: Handler) -> Handler:
        async def let_in(request: web.Request) -> web.StreamResponse:
            return await answer(request) if self._let_in(request) else _refuse()

        return let_in

    def _begun(self, request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        return self._answer(body, self._note(request, body).n)

    def _note(self, request: web.Request, body: dict[str, Any]) -> Seen:
        with self._lock:
            seen = Seen(
                n=len(self.requests) + 1,
                at=now(),
                path=request.path,
                tag=tag_of(body, request.headers.get("x-tag")),
                model=body.get("model"),
                sha=prompt_digest(body),
                stream=bool(body.get("stream")),
                body=body,
                headers={name.lower(): value for name, value in request.headers.items() if name.lower() != "authorization"},
            )
            self.requests.append(seen)
        self._log.arrived(seen)
        return seen

    def _answer(self, body: dict[str, Any], n: int) -> dict[str, Any]:
        message = as_message(self.reply(body))
        asked = sum(words(str(part.get("content"))) for part in body.get("messages") or [])
        said = words(str(message.get("content")))
        answer = completion(
            model=str(body.get("model")),
            message=message,
            finish_reason="tool_calls" if message.get("tool_calls") else "stop",
            usage={"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
            id=f"chatcmpl-{n}",
        )
        return multiplied(answer, body)

    def _next_fault(self, tag: str | None) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.tag is None or fault.tag == tag:
                    self._faults.remove(fault)
                    return fault
        return None

    def _let_in(self, request: web.Request) -> bool:
        return self.api_key is None or request.headers.get("authorization") == f"Bearer {self.api_key}"


async def _send(request: web.Request, body: dict[str, Any], answer: dict[str, Any]) -> web.StreamResponse:
    if not body.get("stream"):
        return web.json_response(answer, headers={"x-request-id": f"req_{answer['id']}"})
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    counted = bool((body.get("stream_options") or {}).get("include_usage"))
    for chunk in chunks_of(answer, piece=8, include_usage=counted):
        await response.write(encode_event(chunk))
    await response.write(DONE)
    return response


def _refuse() -> web.Response:
    error = {"message": "Incorrect API key provided", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
    return web.json_response({"error": error}, status=401)


def main(arguments: list[str] | None = None) -> None:
    """Run as a process: print the address as JSON, answer until SIGINT or SIGTERM.

    Args:
        arguments (list[str] | None): The command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(prog="perdure.testing.upstream", description="A counting OpenAI-compatible server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--key")
    options = parser.parse_args(arguments)
    upstream = Upstream(log=options.log, port=options.port, delay_s=options.delay, api_key=options.key)

    def ready() -> None:
        sys.stdout.write(json.dumps({"url": upstream.base_url}) + "\n")
        sys.stdout.flush()

    try:
        asyncio.run(upstream.serve(ready))
    except KeyboardInterrupt:
        sys.stdout.flush()


if __name__ == "__main__":
    main()
