"""Providers that speak a wire of their own (Anthropic, Bedrock, Vertex and more), through `any-llm-sdk`.

The library translates between OpenAI's wire and theirs. All else stays ours: one call is one try (its clients'
retries are switched off), errors are judged by the same rules from the status, headers and body that its
exceptions carry, an answer that is none is refused, and what cannot be translated is an error and not left out.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from perdure.clock import now
from perdure.errors.base import (
    Billed,
    ConfigError,
    NetworkFailed,
    ProviderError,
    ProviderTimeout,
    ServerFailed,
    StreamCut,
)
from perdure.providers.address import checked_key
from perdure.providers.errors import Whence, judge
from perdure.providers.fitting import refused
from perdure.providers.protocol import ChatAnswer
from perdure.providers.reading import as_answer, evidence
from perdure.providers.rule import Rule
from perdure.providers.simple import SimpleDoor
from perdure.resources.usage import Usage
from perdure.wire.assemble import Assembler
from perdure.wire.errors import read_error
from perdure.wire.usage import usage_of

if TYPE_CHECKING:
    from any_llm import AnyLLM

__all__ = ["OtherProvider"]

_OURS = frozenset({"model", "messages", "stream", "stream_options", "max_completion_tokens"})


class OtherProvider(SimpleDoor):
    """Answers chats by a service that `any-llm-sdk` knows; both doors.

    Args:
        name (str): As in the settings.
        service (str): As the library calls it: `anthropic`, `bedrock`, `vertexai`.
        api_key (str | None): None leaves it to the service's own ways, such as a role of the machine.
        base_url (str | None): None for the service's own.
        timeout_s (float): For a whole answer, or for each piece of a stream.
        models (Sequence[str]): What it can answer with, where the settings say so.
        options (Mapping[str, Any] | None): Given to the service's client, such as `region_name`.
    """

    def __init__(
        self,
        name: str,
        *,
        service: str,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout_s: float = 600.0,
        models: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(name, models)
        self.service: str = service
        self.base_url: str | None = base_url
        self.timeout_s: float = timeout_s
        self.dialect: str = service
        self._api_key, self._options = checked_key(name, api_key), dict(options or {})
        self._rules: tuple[Rule, ...] = ()
        self._clients: dict[asyncio.AbstractEventLoop, AnyLLM] = {}
        self._lock = threading.Lock()

    def judge_by(self, rules: Sequence[Rule]) -> None:
        """Judge errors by rules of the user's own from now on, before all others.

        Args:
            rules (Sequence[Rule]): In the order in which they are tried.
        """
        self._rules = tuple(rules)

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        """Answer a chat, one try."""
        with self.tally.call(body.get("model")) as call:
            limit = timeout_s or self.timeout_s
            client = self._client()
            try:
                async with asyncio.timeout(limit):
                    said = await client.acompletion(body["model"], list(body["messages"]), **_wished(body))
            except Exception as error:
                raise self._ours(error, body, limit, began=False) from error
            whole = _plain(said)
            answer = as_answer(whole, self._whence(body))
            call.answered(answer.usage)
            return answer

    async def stream(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """Answer a chat piece by piece, one try."""
        with self.tally.call(body.get("model")) as call:
            usage, assembler = Usage(calls=1), Assembler()
            async for chunk in self._chunks(body, timeout_s or self.timeout_s, assembler):
                if chunk.get("usage"):
                    usage = usage_of(chunk["usage"])
                call.came()
                yield chunk
            if assembler.began and not assembler.finished:
                raise StreamCut(f"{self.name!r} ended the stream before its end", evidence=evidence(self._whence(body), "no-end"))
            as_answer(assembler.finish() if assembler.finished else {"choices": [{"message": {}}]}, self._whence(body))
            call.answered(usage)

    async def models(self) -> list[str]:
        """List what it can answer with; the declared models where the service lists none."""
        client = self._client()
        if not client.SUPPORTS_LIST_MODELS:
            return list(self.declared)
        try:
            async with asyncio.timeout(min(20.0, self.timeout_s)):
                return [model.id for model in await client.alist_models()]
        except Exception as error:
            raise self._ours(error, {}, 20.0, began=False) from error

    async def aclose(self) -> None:
        """Close connections of the running loop."""
        with self._lock:
            client = self._clients.pop(asyncio.get_running_loop(), None)
        close = getattr(getattr(client, "client", None), "close", None)
        if close is not None:
            closing = close()
            if asyncio.iscoroutine(closing):
                await closing

    async def _chunks(self, body: Mapping[str, Any], read_s: float, assembler: Assembler) -> AsyncIterator[dict[str, Any]]:
        client = self._client()
        try:
            async with asyncio.timeout(read_s) as limit:
                streaming = await client.acompletion(body["model"], list(body["messages"]), stream=True, **_wished(body))
                async for piece in cast("AsyncIterator[Any]", streaming):
                    limit.reschedule(asyncio.get_running_loop().time() + read_s)
                    chunk = _plain(piece)
                    if chunk.get("choices") or chunk.get("usage"):
                        assembler.add(chunk)
                        yield chunk
        except Exception as error:
            raise self._ours(error, body, read_s, began=assembler.began) from error

    def _client(self) -> AnyLLM:
        """One for each loop: its connections belong to it."""
        loop = asyncio.get_running_loop()
        with self._lock:
            for gone in [known for known in self._clients if known.is_closed()]:
                del self._clients[gone]
            if loop not in self._clients:
                self._clients[loop] = self._made()
            return self._clients[loop]

    def _made(self) -> AnyLLM:
        try:
            from any_llm import AnyLLM  # here: it brings a hundred modules
        except ImportError as error:
            raise ConfigError(f"`providers.{self.name}` needs 'any_llm'", hint='pip install "perdure[others]"') from error
        try:
            return AnyLLM.create(
                self.service,
                api_key=self._api_key,
                api_base=self.base_url,
                unified_exceptions=True,
                **{**_ONE_TRY.get(self.service, _no_retries)(), **self._options},
            )
        except Exception as error:
            what = f"`providers.{self.name}` cannot be made: {type(error).__name__}: {error}"
            raise ConfigError(what, hint=f'Its key? Its package: pip install "any-llm-sdk[{self.service}]"') from error

    def _whence(self, body: Mapping[str, Any], **more: Any) -> Whence:
        return Whence(
            provider=self.name,
            dialect=self.dialect,
            model=body.get("model"),
            secret=self._api_key,
            rules=self._rules,
            **{"status": 200, **more},
        )

    def _ours(self, error: Exception, body: Mapping[str, Any], limit_s: float, *, began: bool) -> ProviderError:
        if isinstance(error, ProviderError):
            return error
        cause = getattr(error, "original_exception", None) or error
        status, headers, raw = _answered(cause)
        if status is not None:
            return judge(read_error(raw), self._whence(body, status=status, headers=headers, partly=began), now())
        name = type(cause).__name__.lower()
        if isinstance(error, TimeoutError) or "timeout" in name:
            billed = Billed.PARTIAL if began else Billed.MAYBE
            return ProviderTimeout(f"{self.name!r} gave no complete answer within {limit_s:g} s", billed=billed)
        if began:
            return StreamCut(f"{self.name!r} broke off in the middle of the answer: {cause}")
        return self._unanswered(cause, name)

    def _unanswered(self, cause: Exception, name: str) -> ProviderError:
        if "connect" in name or "protocol" in name or isinstance(cause, OSError):
            billed = Billed.NO if _never_connected(cause) else Billed.MAYBE
            return NetworkFailed(f"the connection to {self.name!r} broke: {cause}", billed=billed)
        if isinstance(cause, TypeError | ValueError | NotImplementedError) or "unsupported" in name:
            return refused(self.name, f"this: {str(cause)[:300]}")
        return ServerFailed(f"{self.name!r} failed: {type(cause).__name__}: {str(cause)[:300]}", billed=Billed.MAYBE)


def _no_retries() -> dict[str, Any]:
    return {"max_retries": 0}


def _one_attempt() -> dict[str, Any]:
    return {"config": import_module("botocore.config").Config(retries={"total_max_attempts": 1})}


_ONE_TRY: dict[str, Callable[[], dict[str, Any]]] = {"bedrock": _one_attempt}
"""How a service's client is told to try once; in most of them the library knows how."""


def _wished(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is not known to the library goes on to the service's client, which refuses what it does not know."""
    wished = {name: value for name, value in body.items() if name not in _OURS and value is not None}
    if body.get("max_completion_tokens") is not None:
        wished.setdefault("max_tokens", body["max_completion_tokens"])
    return wished


def _plain(said: Any) -> dict[str, Any]:
    """As OpenAI writes it; reasoning is an object in this library."""
    body: dict[str, Any] = said.model_dump(mode="json", exclude_none=True)
    for choice in body.get("choices") or []:
        spoken = choice.get("message") or choice.get("delta") or {}
        thought = spoken.pop("reasoning", None)
        text = thought.get("content") if isinstance(thought, Mapping) else thought
        if text:
            spoken["reasoning_content"] = text
    return body


def _answered(cause: Any) -> tuple[int | None, Mapping[str, str], bytes]:
    """Status, headers and body of what the service answered, as far as its client's exception carries them."""
    response = getattr(cause, "response", None)
    if isinstance(response, Mapping):  # botocore
        facts, said = response.get("ResponseMetadata") or {}, response.get("Error") or {}
        raw = json.dumps({"error": {"code": said.get("Code"), "message": said.get("Message"), "type": said.get("Code")}})
        return facts.get("HTTPStatusCode"), facts.get("HTTPHeaders") or {}, raw.encode()
    status = getattr(response, "status_code", None)
    if status is None:
        return None, {}, b""
    body = getattr(cause, "body", None)
    said = json.dumps(body) if isinstance(body, Mapping) else str(body or "")
    return status, dict(getattr(response, "headers", {})), said.encode()


def _never_connected(error: BaseException | None) -> bool:
    while error is not None:
        if type(error).__name__ in {"ConnectError", "ConnectTimeout", "EndpointConnectionError"}:
            return True
        error = error.__cause__ or error.__context__
    return False
