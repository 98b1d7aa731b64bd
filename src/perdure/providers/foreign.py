"""Plugs in any object with the three methods of `LLMProvider`.

Its `generate` blocks, so each call gets a thread. Python cannot end a thread: after a time-out it is
abandoned, counted, and keeps its place until it returns by itself; when every place is taken by
abandoned calls, the next one is refused instead of piling up. What a call used is unknown, never zero.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from perdure.errors.base import (
    Billed,
    ConfigError,
    EmptyAnswer,
    Evidence,
    InvalidRequest,
    Overloaded,
    PerdureError,
    ProviderError,
    ProviderTimeout,
    ServerFailed,
)
from perdure.providers.emulated_calls import Offer, plain_messages
from perdure.providers.protocol import ChatAnswer, LLMProvider
from perdure.providers.simple import SimpleDoor
from perdure.resources.usage import Usage
from perdure.wire.answers import chunks_of, completion

__all__ = ["ForeignProvider"]

_MODEL = "default"


class ForeignProvider(SimpleDoor):
    """Makes a `ChatProvider` of a foreign `LLMProvider`; both doors.

    Args:
        name (str): As in the settings.
        inner (LLMProvider): The foreign object; its methods may block.
        timeout_s (float): After which a call is abandoned.
        models (Sequence[str]): Under which names it is asked; the object itself knows no models.
        most_abandoned (int): Further calls are refused while so many hang.
    """

    def __init__(
        self, name: str, inner: LLMProvider, *, timeout_s: float = 600.0, models: Sequence[str] = (_MODEL,), most_abandoned: int = 16
    ) -> None:
        if not isinstance(inner, LLMProvider):
            raise ConfigError(f"{type(inner).__name__} is no LLMProvider", hint="It needs `generate`, `get_metrics` and `validate`.")
        super().__init__(name, models)
        self.timeout_s: float = timeout_s
        self._inner, self._most_abandoned = inner, most_abandoned
        self._lock = threading.Lock()
        self._abandoned = 0

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        """Answer a chat, one try, in a thread.

        Args:
            body (Mapping[str, Any]): An OpenAI chat request; its tools and schema are put into words.
            timeout_s (float | None): After which the thread is abandoned; None for the provider's own.

        Returns:
            ChatAnswer: With unknown usage.

        Raises:
            ProviderError: There was no answer; any other exception of the object becomes `ServerFailed`.
        """
        with self.tally.call(body.get("model")) as call:
            offer = Offer(self.name, body)
            system, prompt = _in_words(self.name, offer.request)
            text = await self._generated(prompt, system, timeout_s or self.timeout_s)
            whole = completion(model=str(body.get("model") or _MODEL), message={"role": "assistant", "content": text})
            answer = ChatAnswer(body=offer.take(whole), usage=Usage(calls=1))
            call.answered(answer.usage)
            return answer

    async def stream(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """Answer a chat, all in one piece.

        Args:
            body (Mapping[str, Any]): As for `chat`.
            timeout_s (float | None): As for `chat`.

        Yields:
            dict[str, Any]: `chat.completion.chunk` objects.

        Raises:
            ProviderError: There was no answer.
        """
        answer = await self.chat(body, timeout_s=timeout_s)
        for chunk in chunks_of(answer.body):
            yield chunk

    async def models(self) -> list[str]:
        """List under which names it is asked.

        Returns:
            list[str]: As it was made with.
        """
        return list(self.declared)

    async def check(self) -> None:
        """Ask the object's own `validate`.

        Raises:
            ServerFailed: It says no.
        """
        if not await self._in_thread(self._inner.validate, (), min(20.0, self.timeout_s)):
            raise ServerFailed(f"{self.name!r} says of itself that it cannot be used")

    def get_metrics(self) -> dict[str, Any]:
        """Say what this provider did, and what the object says of itself.

        Returns:
            dict[str, Any]: Ours, with `abandoned`, and the object's under `inner`.
        """
        with self._lock:
            hanging = self._abandoned
        return {"abandoned": 0, **super().get_metrics(), "hanging": hanging, "inner": self._inner.get_metrics()}

    async def aclose(self) -> None:
        """Nothing to close: the object belongs to who made it."""

    async def _generated(self, prompt: str, system: str, timeout_s: float) -> str:
        text = await self._in_thread(self._inner.generate, (prompt, system), timeout_s)
        if text is None or text == "":
            raise EmptyAnswer(f"{self.name!r} answered with nothing", billed=Billed.MAYBE, evidence=self._evidence("empty-answer"))
        if not isinstance(text, str):
            raise ServerFailed(
                f"{self.name!r} answered with {type(text).__name__}, not text", billed=Billed.MAYBE, evidence=self._evidence("not-text")
            )
        return text

    async def _in_thread(self, method: Any, arguments: tuple[Any, ...], timeout_s: float) -> Any:
        with self._lock:
            if self._abandoned >= self._most_abandoned:
                raise Overloaded(
                    f"{self._abandoned} calls of {self.name!r} hang", hint="It never returns: restart the worker, mend the provider."
                )
        call = _Call(self, asyncio.get_running_loop())
        threading.Thread(
            target=contextvars.copy_context().run, args=(call.make, method, arguments), name=f"foreign-{self.name}", daemon=True
        ).start()
        try:
            return await asyncio.wait_for(call.future, timeout_s)
        except TimeoutError as error:
            if call.returned:  # the object's own
                raise self._failed(error) from error
            raise ProviderTimeout(f"{self.name!r} did not return within {timeout_s} s", evidence=self._evidence("timeout")) from error
        except (PerdureError, asyncio.CancelledError):
            raise
        except Exception as error:
            raise self._failed(error) from error
        finally:
            self._leave(call)

    def _failed(self, error: Exception) -> ProviderError:
        message = f"{self.name!r} raised {type(error).__name__}: {str(error)[:500]}"
        return ServerFailed(message, billed=Billed.MAYBE, evidence=self._evidence("foreign-exception"))

    def _leave(self, call: _Call) -> None:
        with self._lock:
            if not call.returned:
                call.abandoned = True
                self._abandoned += 1
        if call.abandoned:
            self.tally.add("abandoned")

    def back(self, call: _Call) -> None:
        """Note that a thread has returned, in time or long after.

        Args:
            call (_Call): Whose.
        """
        with self._lock:
            call.returned = True
            self._abandoned -= call.abandoned

    def _evidence(self, rule: str) -> Evidence:
        return Evidence(provider=self.name, rule=rule)


class _Call:  # one blocking call in its thread
    def __init__(self, owner: ForeignProvider, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[Any] = loop.create_future()
        self.returned = self.abandoned = False
        self._owner, self._loop = owner, loop

    def make(self, method: Any, arguments: tuple[Any, ...]) -> None:
        try:
            result, error = method(*arguments), None
        except BaseException as raised:
            result, error = None, raised if isinstance(raised, Exception) else RuntimeError(f"{type(raised).__name__} in a provider")
        self._owner.back(self)
        with suppress(RuntimeError):  # the loop is gone, and with it whoever waited
            self._loop.call_soon_threadsafe(self._settle, result, error)

    def _settle(self, result: Any, error: Exception | None) -> None:
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


def _in_words(name: str, body: Mapping[str, Any]) -> tuple[str, str]:
    """The system prompt and the prompt of a conversation; one user message stays as it is."""
    messages = [(message["role"], _text(name, message.get("content"))) for message in plain_messages(body["messages"])]
    system = [text for role, text in messages if role == "system"] + _wanted_shape(body.get("response_format"))
    turns = [(role, text) for role, text in messages if role != "system"]
    if len(turns) == 1:
        return "\n\n".join(system), turns[0][1]
    return "\n\n".join(system), "\n\n".join(f"{role.capitalize()}: {text}" for role, text in turns)


def _wanted_shape(wanted: Mapping[str, Any] | None) -> list[str]:
    kind = (wanted or {}).get("type")
    if kind == "json_schema":
        schema = json.dumps((wanted or {})["json_schema"].get("schema"), ensure_ascii=False)
        return [f"Answer with JSON only, of this schema: {schema}"]
    return ["Answer with a JSON object only."] if kind == "json_object" else []


def _text(name: str, content: Any) -> str:
    if isinstance(content, list):
        if any(part.get("type") != "text" for part in content):
            raise InvalidRequest(f"{name!r} takes text only", hint="Images and files need a provider of the full kind.")
        return "".join(part["text"] for part in content)
    return content or ""
