"""Reads a whole answer, and refuses what is none.

HTTP 200 proves little: proxies answer it with pages, servers with an error inside or with nothing. Each is
told apart here, because each has been paid for differently; `streams.py` does the same for streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from perdure.clock import now
from perdure.errors.base import Billed, ContentFiltered, ContextTooLong, EmptyAnswer, Evidence, ProviderError, Refused, ServerFailed
from perdure.providers.errors import Whence, judge
from perdure.providers.headroom import headroom_in
from perdure.providers.protocol import ChatAnswer
from perdure.wire.errors import error_in
from perdure.wire.reasoning import with_reasoning_apart
from perdure.wire.usage import usage_of

__all__ = ["as_answer", "evidence", "read_models", "read_whole"]


def read_whole(raw: bytes, whence: Whence) -> dict[str, Any]:
    """Read the body of a 200.

    Args:
        raw (bytes): As it came.
        whence (Whence): Who answered.

    Returns:
        dict[str, Any]: A completion with at least one choice.

    Raises:
        ProviderError: It is a page, garbage, empty, or an error.
    """
    if not raw.strip():
        raise EmptyAnswer(f"{whence.provider!r} answered with nothing", billed=Billed.MAYBE, evidence=evidence(whence, "empty-body"))
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = whence.clean(" ".join(raw[:2000].decode("utf-8", "replace").split()))[:200]  # a key is not to be cut before it is found
        raise ServerFailed(
            f"{whence.provider!r} answered 200 without JSON: {text!r}",
            hint="Is there a proxy between? Is `base_url` right?",
            billed=Billed.MAYBE,
            evidence=evidence(whence, "not-json"),
        ) from error
    return _checked(body, whence)


def as_answer(body: dict[str, Any], whence: Whence) -> ChatAnswer:
    """Make an answer of a whole completion.

    Args:
        body (dict[str, Any]): With at least one choice.
        whence (Whence): Who answered.

    Returns:
        ChatAnswer: With reasoning apart from content.

    Raises:
        EmptyAnswer: No content, tool call or reasoning, and not for want of room.
        ContentFiltered: The filter cut it off, or left nothing.
        Refused: The model declined.
        ContextTooLong: It broke off because the context was full.
    """
    choices = [{**choice, "message": with_reasoning_apart(choice.get("message") or {})} for choice in body["choices"]]
    answer = ChatAnswer(
        body={**body, "choices": choices},
        usage=usage_of(body.get("usage")),
        request_id=whence.request_id,
        headroom=headroom_in(whence.headers, now()),
    )
    error = _stopped(answer.message, answer.finish_reason, whence)
    if error is None:
        return answer
    error.answer = answer.body
    raise error


def read_models(raw: bytes, whence: Whence) -> list[str]:
    """Read a list of models.

    Args:
        raw (bytes): The body of a 200.
        whence (Whence): Who answered.

    Returns:
        list[str]: Their names.

    Raises:
        ServerFailed: It is no such list.
    """
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise ServerFailed(
            f"{whence.provider!r} answered 200 without a list of models",
            hint="Is `base_url` right? It usually ends in `/v1`.",
            evidence=evidence(whence, "no-models"),
        )
    return [str(row["id"]) for row in rows if isinstance(row, dict) and row.get("id")]


def _stopped(message: Mapping[str, Any], reason: str | None, whence: Whence) -> ProviderError | None:
    """Half a text that a filter or a full context has cut off is no answer, though it has been paid for."""
    if reason == "content_filter":
        what = f"the content filter of {whence.provider!r} {'cut the answer off' if _says(message) else 'left no answer'}"
        return ContentFiltered(what, billed=Billed.YES, evidence=evidence(whence, "finish-content-filter"))
    if reason == "refusal" or (message.get("refusal") and not _says(message)):
        said = message.get("refusal") or message.get("content") or "no reason given"
        return Refused(f"the model declined: {str(said)[:500]}", billed=Billed.YES, evidence=evidence(whence, "refusal"))
    if reason == "model_context_window_exceeded":
        what = f"the answer of {whence.provider!r} broke off because the model's context was full"
        hint = "Shorten the prompt, or use a model with a larger context."
        return ContextTooLong(what, hint=hint, billed=Billed.YES, evidence=evidence(whence, "finish-context"))
    if _says(message) or reason == "length":
        return None
    return EmptyAnswer(
        f"{whence.provider!r} answered without content, tool call or reasoning",
        hint="A prompt larger than the server's context can be the cause.",
        evidence=evidence(whence, "empty-answer"),
    )


def _checked(body: Any, whence: Whence) -> dict[str, Any]:
    said = error_in(body)
    if said is not None:
        raise judge(said, whence, now())
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, Mapping) for choice in choices):
        raise ServerFailed(
            f"{whence.provider!r} answered 200 with JSON that is no chat completion",
            hint="Is `base_url` right? It usually ends in `/v1`.",
            billed=Billed.MAYBE,
            evidence=evidence(whence, "no-choices"),
        )
    found: dict[str, Any] = body
    return found


def _says(message: Mapping[str, Any]) -> bool:
    return any(message.get(field) for field in ("content", "tool_calls", "reasoning_content", "function_call", "audio"))


def evidence(whence: Whence, rule: str) -> Evidence:
    """Say what a judgement on an answer rests on.

    Args:
        whence (Whence): Who answered.
        rule (str): What was found.

    Returns:
        Evidence: For the error.
    """
    return Evidence(
        status=whence.status, provider=whence.provider, model=whence.model, request_id=whence.sign(whence.request_id), rule=rule
    )
