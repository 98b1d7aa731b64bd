"""What a provider is proved with: itself, how to make it fail, and what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from perdure.errors.base import ProviderError
from perdure.providers.protocol import ChatAnswer, ChatProvider
from perdure.testing.faults import Fault

__all__ = ["ALL_SKILLS", "ProviderCase", "caught", "pieces", "text_of"]

ALL_SKILLS = frozenset({"tools", "forced-tools", "schema", "usage"})


@dataclass(frozen=True, kw_only=True)
class ProviderCase:
    """One provider under proof."""

    provider: ChatProvider
    model: str = "fake-1"
    dialect: str | None = None
    """Whose errors it knows; None: those of a gateway."""
    skills: frozenset[str] = ALL_SKILLS
    """What it can. For the rest it must say so: refuse, not ignore."""
    script: Callable[..., None] | None = None
    """Lets the next requests fail (`Fault`); None: it cannot be made to."""
    asked: Callable[[], list[dict[str, Any]]] | None = None
    """The requests that arrived, as they arrived."""
    secret: str | None = None
    """Its key, which must never be repeated."""
    echoes: bool = False
    """Whoever answers says `answer to: ` and the last question."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Sent with each request, such as `temperature` or `max_tokens`."""

    def ask(self, text: str = "Say hello.", **more: Any) -> dict[str, Any]:
        """Write a request.

        Args:
            text (str): What the user says.
            **more (Any): Of the request.

        Returns:
            dict[str, Any]: An OpenAI chat request.
        """
        return {"model": self.model, "messages": [{"role": "user", "content": text}], **self.more, **more}

    def fail(self, *faults: Fault) -> None:
        """Let the next requests fail.

        Args:
            *faults (Fault): One for each.
        """
        assert self.script is not None, "this provider cannot be made to fail"
        self.script(*faults)

    def count(self) -> int:
        """Count what arrived.

        Returns:
            int: Requests, answered or not.
        """
        assert self.asked is not None, "nobody counts what this provider is asked"
        return len(self.asked())


async def pieces(case: ProviderCase, body: Mapping[str, Any], **more: Any) -> list[dict[str, Any]]:
    """Read a whole stream.

    Args:
        case (ProviderCase): Whose.
        body (Mapping[str, Any]): The request.
        **more (Any): Of the call.

    Returns:
        list[dict[str, Any]]: Its chunks.
    """
    return [chunk async for chunk in case.provider.stream(body, **more)]


async def caught(case: ProviderCase, *, stream: bool = False, body: Mapping[str, Any] | None = None, **more: Any) -> ProviderError:
    """Ask, and give the error that must come.

    Args:
        case (ProviderCase): Who is asked.
        stream (bool): For a stream.
        body (Mapping[str, Any] | None): None for a plain question.
        **more (Any): Of the call.

    Returns:
        ProviderError: What was raised.
    """
    asked = case.ask() if body is None else body
    try:
        said = await (pieces(case, asked, **more) if stream else case.provider.chat(asked, **more))
    except ProviderError as error:
        return error
    except Exception as error:
        raise AssertionError(f"a foreign error came out: {type(error).__name__}: {error}") from error
    raise AssertionError(f"an answer came where an error must: {said!r:.300}")


def text_of(answer: ChatAnswer) -> str:
    """Give what was said, or thought if nothing was said.

    Args:
        answer (ChatAnswer): Whole.

    Returns:
        str: Not empty for an answer that is one.
    """
    return answer.text or str(answer.message.get("reasoning_content") or "")
