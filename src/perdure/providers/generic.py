"""Any server that speaks OpenAI's wire: hosted, a gateway, or one's own GPU.

One call is one HTTP request, never more: whoever retries, retries above, where it is counted. What the
caller left out is not sent, and what we do not know passes through.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perdure.clock import now
from perdure.errors.base import InvalidRequest, ModelNotFound, ProviderError
from perdure.providers.address import checked_key, checked_url
from perdure.providers.background import Background
from perdure.providers.catalog import row_named, row_of
from perdure.providers.checkup import Proved
from perdure.providers.context import ContextRoom
from perdure.providers.embedding import Embedder
from perdure.providers.emulated_calls import Offer, plain_messages
from perdure.providers.errors import Whence, judge
from perdure.providers.fitting import fitted
from perdure.providers.progress import Progress
from perdure.providers.protocol import ChatAnswer, EmbeddingProvider, Embeddings, ResumableProvider, TextProvider
from perdure.providers.reading import as_answer, read_models, read_whole
from perdure.providers.row import Row
from perdure.providers.rule import Rule
from perdure.providers.simple import SimpleDoor
from perdure.providers.texts import Texts
from perdure.resources.usage import Usage
from perdure.wire.answers import chunks_of
from perdure.wire.errors import read_error
from perdure.wire.responses import can_be_said
from perdure.wire.usage import usage_of

if TYPE_CHECKING:
    import aiohttp

    from perdure.providers.http import Door
    from perdure.providers.streams import StreamReader

__all__ = ["GenericProvider"]

_CHAT = "/chat/completions"
_CHECK_S = 20.0


class GenericProvider(SimpleDoor, ResumableProvider, EmbeddingProvider, TextProvider):
    """Answers chats by any OpenAI-compatible server; both doors.

    Args:
        name (str): As in the settings; the first half of a lane.
        base_url (str): Usually ends in `/v1`.
        api_key (str | None): Sent as a bearer token; None sends none.
        timeout_s (float): For a whole answer, or for each piece of a stream.
        native_tools (bool): False: tool calls are asked for as JSON constrained by a schema.
        headers (Mapping[str, str] | None): Sent with every request.
        models (Sequence[str]): What it can answer with, where the settings say so.
        dialect (str | None): In whose ways it answers (`catalog.py`), such as `vllm`; None: by the host name.
        rules (Sequence[Rule]): The user's own error rules, before all others.
        repeat_tools (bool): False: emulated tools are offered once per user message.
        background (bool): Whether calls go on in the background (`/responses`), where a request can be said there: after a
            crash their answers are fetched instead of paid for again.
        context_tokens (int | None): How much fits into its models: what is longer is refused before it is sent. None: asked of
            servers that would cut it without a word, and left to the others.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        api_key: str | None = None,
        timeout_s: float = 600.0,
        native_tools: bool = True,
        headers: Mapping[str, str] | None = None,
        models: Sequence[str] = (),
        dialect: str | None = None,
        rules: Sequence[Rule] = (),
        repeat_tools: bool = True,
        background: bool = False,
        context_tokens: int | None = None,
    ) -> None:
        super().__init__(name, models)
        row = row_named(dialect) or row_of(base_url)
        self.row: Row | None = row
        """What is known of the endpoint; None for a stranger, to whom a request goes as it came."""
        self.timeout_s: float = timeout_s
        self.native_tools: bool = native_tools and (row is None or row.native_tools)
        self.dialect: str | None = (row.dialect if row else None) or dialect
        self._base_url, self._api_key, self._headers = checked_url(name, base_url), checked_key(name, api_key), dict(headers or {})
        self._opened: Door | None = None
        self._opening = threading.Lock()
        self._include_usage = row is None or row.include_usage
        self._streams_upstream = row is not None and row.streams_only
        source = row.context if row else None
        self._room = ContextRoom(name, source, context_tokens) if source or context_tokens else None
        self._rules, self._repeat_tools = tuple(rules), repeat_tools
        self.background: Background | None = self._upstairs() if background else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, base_url={self._base_url!r})"

    def judge_by(self, rules: Sequence[Rule]) -> None:
        """Judge errors by rules of the user's own from now on, before all others.

        Args:
            rules (Sequence[Rule]): In the order in which they are tried.
        """
        self._rules = tuple(rules)

    @property
    def base_url(self) -> str:
        """Where it answers."""
        return self._base_url

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        """Answer a chat, one try.

        Args:
            body (Mapping[str, Any]): An OpenAI chat request with `model` and `messages`.
            timeout_s (float | None): For the whole answer; None for the provider's own.

        Returns:
            ChatAnswer: Complete, reasoning apart from content, tool calls in OpenAI's form.

        Raises:
            ProviderError: There was no answer; says why, whether to retry, and whether it was billed.
        """
        with self.tally.call(body.get("model")) as call:
            answer = await self._answer(body, timeout_s or self.timeout_s)
            call.answered(answer.usage)
            return answer

    async def stream(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """Answer a chat piece by piece, one try.

        Args:
            body (Mapping[str, Any]): As for `chat`.
            timeout_s (float | None): For each piece; None for the provider's own.

        Yields:
            dict[str, Any]: `chat.completion.chunk` objects; the last has `usage` and no choices, if the upstream counts.

        Raises:
            ProviderError: Before the first piece or in the middle.
        """
        with self.tally.call(body.get("model")) as call:
            if self._emulates(body):
                answer = await self._answer(body, timeout_s or self.timeout_s)
                for chunk in chunks_of(answer.body):
                    yield chunk
                call.answered(answer.usage)
                return
            usage = Usage(calls=1)
            async for chunk in self._chunks(self._plain(body), timeout_s or self.timeout_s):
                if chunk.get("usage"):
                    usage = usage_of(chunk["usage"])
                call.came()
                yield chunk
            call.answered(usage)

    def resumes(self, body: Mapping[str, Any]) -> bool:
        """Tell whether a call has a handle: where calls go on in the background and the request can be said there."""
        return self.background is not None and not self._emulates(body) and can_be_said(body)

    async def begin(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> str:
        """Have a chat begun in the background, one try."""
        assert self.background is not None
        with self.tally.call(body.get("model"), "begin") as call:
            handle = await self.background.begin(self._prepared(dict(body)), timeout_s or self.timeout_s)
            call.answered(Usage())
            return handle

    async def resume(self, handle: str, *, timeout_s: float | None = None) -> ChatAnswer | ProviderError | None:
        """Wait for the answer of a call that was begun."""
        return await (self.background or self._upstairs()).answer(handle, timeout_s or self.timeout_s)

    async def complete(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        """Go on with a text, one try."""
        with self.tally.call(body.get("model"), "text_completion") as call:
            answer = await self._texts.whole(self._at_once(dict(body)), timeout_s or self.timeout_s)
            call.answered(answer.usage)
            return answer

    async def stream_text(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """Go on with a text piece by piece, one try."""
        with self.tally.call(body.get("model"), "text_completion") as call:
            usage = Usage(calls=1)
            async for piece in self._texts.pieces(self._streaming(dict(body)), timeout_s or self.timeout_s):
                usage = usage_of(piece["usage"]) if piece.get("usage") else usage
                call.came()
                yield piece
            call.answered(usage)

    async def embed(
        self,
        texts: Sequence[str | Sequence[int]],
        *,
        model: str,
        dimensions: int | None = None,
        timeout_s: float | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Embeddings:
        """Turn texts into vectors, as many in one request as the endpoint takes."""
        with self.tally.call(model, "embeddings") as call:
            embedder = Embedder(self.name, self.row, lambda: self._door, self._whence, self._judged)
            found = await embedder.embed(texts, model, dimensions, timeout_s or self.timeout_s, more or {})
            call.answered(found.usage)
            return found

    async def models(self) -> list[str]:
        """List what it can answer with.

        Returns:
            list[str]: Model names as the upstream spells them.

        Raises:
            ProviderError: It did not answer.
        """
        async with self._door.get("/models", timeout_s=min(_CHECK_S, self.timeout_s)) as response:
            whence = self._whence(None, response)
            raw = await self._door.read(response)
        if whence.status is not None and whence.status >= 300:
            raise self._judged(raw, whence)
        return read_models(raw, whence)

    async def check(self) -> None:
        """Find out whether it can be reached, takes our key and has the declared models.

        Not every server lists its models, and some list them to anybody: there, one declared model is asked for one token.

        Raises:
            ModelNotFound: It does not list a declared model.
        """
        found = await self._listed(needed=not self.declared)
        self._miss_none(found)
        if self.declared and (not found or self._lists_openly):
            await self.chat(self._short(self.declared[0]), timeout_s=min(_CHECK_S, self.timeout_s))

    async def look(self) -> Proved:
        """Find out the same without asking a model for anything, so that it costs nothing.

        Returns:
            Proved: Less where it lists no models, or lists them to anybody.

        Raises:
            ModelNotFound: It does not list a declared model.
        """
        found = await self._listed(needed=False)
        self._miss_none(found)
        return Proved(key_good=True if found and not self._lists_openly else None, models_there=True if found and self.declared else None)

    @property
    def _lists_openly(self) -> bool:
        return self.row is not None and self.row.lists_openly

    async def _listed(self, *, needed: bool) -> list[str]:
        try:
            return await self.models()
        except InvalidRequest as error:
            if needed or error.evidence.status not in {404, 405, 501}:
                raise
            return []

    def _miss_none(self, found: Sequence[str]) -> None:
        missing = [model for model in self.declared if found and model not in found]
        if missing:
            raise ModelNotFound(f"{self.name!r} does not have {missing[0]!r}", hint=f"It has: {', '.join(found[:10])}")

    def _short(self, model: str) -> dict[str, Any]:
        """The cheapest question there is."""
        return {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}

    async def aclose(self) -> None:
        """Close connections."""
        if self._opened is not None:
            await self._opened.aclose()

    @property
    def _door(self) -> Door:
        """Opened by the first request: an idle process need not hold aiohttp's 10 MB."""
        with self._opening:
            if self._opened is None:
                from perdure.providers.http import Door  # late: it imports aiohttp

                self._opened = Door(self.name, self._base_url, self._api_key, self._headers)
            return self._opened

    @property
    def _texts(self) -> Texts:
        return Texts(lambda: self._door, self._whence, self._judged)

    def _upstairs(self) -> Background:
        return Background(self.name, lambda: self._door, self._whence, self._judged)

    async def _answer(self, body: Mapping[str, Any], timeout_s: float) -> ChatAnswer:
        """With tools emulated where the server has none."""
        if not self._emulates(body):
            return await self._whole(self._plain(body), timeout_s)
        offer = Offer(self.name, body, repeat=self._repeat_tools)
        answer = await self._whole(self._prepared(offer.request), timeout_s)
        return ChatAnswer(body=offer.take(answer.body), usage=answer.usage, request_id=answer.request_id, headroom=answer.headroom)

    async def _whole(self, body: dict[str, Any], timeout_s: float) -> ChatAnswer:
        progress = Progress()
        request = self._streaming(body) if self._streams_upstream else self._at_once(body)
        if self._room is not None:
            await self._room.check(body, self._door)
        async with self._door.post(_CHAT, request, progress, total_s=timeout_s) as response:
            whence = self._whence(body.get("model"), response)
            await self._refuse_failure(response, whence)
            return as_answer(await self._read(response, progress, whence), whence)

    async def _chunks(self, body: dict[str, Any], read_s: float) -> AsyncIterator[dict[str, Any]]:
        progress = Progress()
        if self._room is not None:
            await self._room.check(body, self._door)
        async with self._door.post(_CHAT, self._streaming(body), progress, total_s=None, read_s=read_s) as response:
            whence = self._whence(body.get("model"), response)
            await self._refuse_failure(response, whence)
            if not _is_stream(response):
                answer = as_answer(await self._read(response, progress, whence), whence)
                for chunk in chunks_of(answer.body):
                    yield chunk
                return
            reader = self._reader(response, progress, whence)
            async for chunk in reader.chunks():
                yield chunk
            as_answer(reader.assembler.finish(), whence)  # refuses one with nothing in it

    async def _read(self, response: aiohttp.ClientResponse, progress: Progress, whence: Whence) -> dict[str, Any]:
        """The whole completion, whichever way the server chose to send it."""
        if _is_stream(response):
            return await self._reader(response, progress, whence).whole()
        return read_whole(await self._door.read(response), whence)

    def _reader(self, response: aiohttp.ClientResponse, progress: Progress, whence: Whence) -> StreamReader:
        from perdure.providers.streams import StreamReader  # late: it imports aiohttp

        return StreamReader(response, progress, whence, inside=self._begins_in_thought(whence.model))

    def _begins_in_thought(self, model: str | None) -> bool:  # noqa: ARG002 - a subclass may know
        """Whether the model's template opens `<think>` itself, so that its content begins with reasoning."""
        return False

    def _emulates(self, body: Mapping[str, Any]) -> bool:
        return not self.native_tools and bool(body.get("tools"))

    def _plain(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A conversation with calls in it must not reach a template that knows none."""
        if self.native_tools:
            return self._prepared(dict(body))
        return self._prepared({**body, "messages": plain_messages(body["messages"])})

    def _prepared(self, body: dict[str, Any]) -> dict[str, Any]:
        """As the endpoint's row wants it; to a stranger a request goes as it came."""
        return body if self.row is None else fitted(body, self.row, self.name)

    def _at_once(self, body: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name not in {"stream", "stream_options"}}

    def _streaming(self, body: dict[str, Any]) -> dict[str, Any]:
        options = {"include_usage": True} if self._include_usage else {}
        options = {**options, **(body.get("stream_options") or {})}
        return {**self._at_once(body), "stream": True, **({"stream_options": options} if options else {})}

    def _whence(self, model: str | None, response: aiohttp.ClientResponse) -> Whence:
        return Whence(
            provider=self.name,
            dialect=self.dialect,
            model=model,
            status=response.status,
            headers=response.headers,
            request_id=response.headers.get("x-request-id"),
            secret=self._api_key,
            rules=self._rules,
        )

    async def _refuse_failure(self, response: aiohttp.ClientResponse, whence: Whence) -> None:
        if not 200 <= response.status < 300:
            raise self._judged(await self._door.read(response), whence)

    def _judged(self, raw: bytes, whence: Whence) -> ProviderError:
        return judge(read_error(raw), whence, now())


def _is_stream(response: aiohttp.ClientResponse) -> bool:
    return response.content_type == "text/event-stream"
