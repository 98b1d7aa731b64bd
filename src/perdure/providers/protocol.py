"""Who answers prompts: the simple door, and the full one behind it.

`LLMProvider` is the simple, synchronous door of the founding document: any object with its three
methods plugs in and is run in a thread. `ChatProvider` is the full, asynchronous one that runs and the
server use. Ours keep both (`SimpleDoor` gives a `ChatProvider` the simple one).

A provider makes exactly one try and never retries: that is decided above, once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from perdure.errors.base import ProviderError
from perdure.providers.headroom import Headroom
from perdure.resources.usage import Usage

__all__ = ["ChatAnswer", "ChatProvider", "EmbeddingProvider", "Embeddings", "LLMProvider", "ResumableProvider", "TextProvider"]


@runtime_checkable
class LLMProvider(Protocol):
    """Answers one prompt."""

    def generate(self, prompt: str, system_prompt: str) -> str | None:
        """Answer a prompt.

        Args:
            prompt (str): What the user says.
            system_prompt (str): What the model should be; may be empty.

        Returns:
            str | None: The text; None for an empty answer.

        Raises:
            ProviderError: There was no answer.
            SyncCallInAsync: Called on the thread of a running event loop.
        """
        ...

    def get_metrics(self) -> dict[str, Any]:
        """Say what this provider did since it was made.

        Returns:
            dict[str, Any]: At least `requests`, `errors`, `input_tokens`, `output_tokens`, `seconds`.
        """
        ...

    def validate(self) -> bool:
        """Check that it can be reached, takes our key and has the model.

        Returns:
            bool: True if so.
        """
        ...


class ChatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One complete answer."""

    body: dict[str, Any]
    """An OpenAI `chat.completion` object, reasoning under `reasoning_content`."""
    usage: Usage
    request_id: str | None = None
    headroom: Headroom | None = None
    """What the provider says is left of its limits."""

    @property
    def message(self) -> dict[str, Any]:
        """The first choice's message."""
        choices = self.body.get("choices") or [{}]
        message: dict[str, Any] = choices[0].get("message") or {}
        return message

    @property
    def text(self) -> str:
        """The first choice's text, empty if it has none."""
        return self.message.get("content") or ""

    @property
    def finish_reason(self) -> str | None:
        """Why it ended: `stop`, `length`, `tool_calls`, `content_filter`."""
        choices = self.body.get("choices") or [{}]
        reason: str | None = choices[0].get("finish_reason")
        return reason


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """Texts as vectors."""

    model: str
    vectors: list[list[float]]
    """In the order of the texts, all of one length."""
    usage: Usage


@runtime_checkable
class EmbeddingProvider(Protocol):
    """A `ChatProvider` that turns texts into vectors too."""

    async def embed(
        self,
        texts: Sequence[str | Sequence[int]],
        *,
        model: str,
        dimensions: int | None = None,
        timeout_s: float | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Embeddings:
        """Turn texts into vectors, in as many requests as the endpoint needs, each of them one try.

        Args:
            texts (Sequence[str | Sequence[int]]): Any number, none of them empty; a text may be given as its tokens.
            model (str): As the upstream spells it.
            dimensions (int | None): How long the vectors shall be; None for the model's own.
            timeout_s (float | None): For each request; None for the provider's own.
            more (Mapping[str, Any] | None): Further parameters, sent as they are; left out where there are none.

        Returns:
            Embeddings: One vector for each text, in their order.

        Raises:
            ProviderError: A request failed.
        """
        ...


@runtime_checkable
class TextProvider(Protocol):
    """A `ChatProvider` that goes on with texts too, as was done before there were chats."""

    async def complete(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        """Go on with a text, one try.

        Args:
            body (Mapping[str, Any]): An OpenAI completion request with `model` and `prompt`; unknown parameters pass through.
            timeout_s (float | None): For the whole answer; None for the provider's own.

        Returns:
            ChatAnswer: Its body is a `text_completion`.

        Raises:
            ProviderError: There was no answer.
        """
        ...

    def stream_text(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """Go on with a text piece by piece, one try.

        Args:
            body (Mapping[str, Any]): As for `complete`.
            timeout_s (float | None): For each piece.

        Returns:
            AsyncIterator[dict[str, Any]]: Pieces of a `text_completion`; the last has `usage` and no choices if the upstream counts.

        Raises:
            ProviderError: Before the first piece or in the middle.
        """
        ...


@runtime_checkable
class ResumableProvider(Protocol):
    """A `ChatProvider` some of whose calls go on without us, and can be asked for their answer later."""

    def resumes(self, body: Mapping[str, Any]) -> bool:
        """Tell whether a call has a handle.

        Args:
            body (Mapping[str, Any]): As for `chat`.

        Returns:
            bool: False: `chat` is all there is.
        """
        ...

    async def begin(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> str:
        """Have a chat begun, one try.

        Args:
            body (Mapping[str, Any]): As for `chat`.
            timeout_s (float | None): Until the provider has taken it; None for the provider's own.

        Returns:
            str: The handle by which its answer can be had, also by another process.

        Raises:
            ProviderError: It was not taken; says why, whether to retry, and whether it was billed.
        """
        ...

    async def resume(self, handle: str, *, timeout_s: float | None = None) -> ChatAnswer | ProviderError | None:
        """Wait for the answer of a call that was begun. Costs nothing, however often.

        Args:
            handle (str): What `begin` said.
            timeout_s (float | None): For the whole answer; None for the provider's own.

        Returns:
            ChatAnswer | ProviderError | None: Complete; or how the call failed; None if the provider knows of no such call
            (any more).

        Raises:
            ProviderError: It could not be asked, or the time was up: that says nothing of the call.
        """
        ...


class ChatProvider(Protocol):
    """Answers chats on OpenAI's wire."""

    name: str

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        """Answer a chat, one try.

        Args:
            body (Mapping[str, Any]): An OpenAI chat request with `model` and `messages`; unknown
                parameters pass through, absent ones are not sent.
            timeout_s (float | None): For the whole answer; None for the provider's own.

        Returns:
            ChatAnswer: Complete, whatever way the upstream had to be asked.

        Raises:
            ProviderError: There was no answer; says why, whether to retry, and whether it was billed.
        """
        ...

    def stream(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """Answer a chat piece by piece, one try.

        Args:
            body (Mapping[str, Any]): As for `chat`.
            timeout_s (float | None): For each piece.

        Returns:
            AsyncIterator[dict[str, Any]]: OpenAI `chat.completion.chunk` objects; the last one has
            `usage` and no choices if the upstream counts.

        Raises:
            ProviderError: Before the first piece or in the middle (`StreamCut`).
        """
        ...

    async def models(self) -> list[str]:
        """List what it can answer with.

        Returns:
            list[str]: Model names as the upstream spells them.

        Raises:
            ProviderError: It did not answer.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...
