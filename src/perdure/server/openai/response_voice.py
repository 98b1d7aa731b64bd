"""A response made at once: whole or as a stream, kept before its end is given out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from perdure.clock import Clock
from perdure.errors.base import PerdureError
from perdure.server.openai.asking import CHAT, Wish
from perdure.server.openai.refusals import without_secrets
from perdure.server.openai.voice import Voice
from perdure.wire.complete import complete_answer
from perdure.wire.response_events import Event, ResponseEvents, completed
from perdure.wire.sse import encode_json

Begin: TypeAlias = Callable[[str], dict[str, Any]]
"""Begins the response of a model."""
Keep: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]

__all__ = ["ResponseVoice", "told_as_response", "written"]


def written(events: Sequence[Event]) -> bytes:
    """Write events as they go over the wire.

    Args:
        events (Sequence[Event]): In their order.

    Returns:
        bytes: Each under its type.
    """
    return b"".join(b"event: %b\n%b" % (event["type"].encode(), encode_json(event)) for event in events)


def told_as_response(begin: Begin, keep: Keep, clock: Clock) -> Wish:
    """Ask for a chat, and tell it as a response.

    Args:
        begin (Begin): Begins it.
        keep (Keep): Keeps it when it is whole.
        clock (Clock): Says when that is.

    Returns:
        Wish: For one call.
    """

    async def complete(body: Mapping[str, Any], model: str) -> dict[str, Any]:
        answer = complete_answer(body, model=model)
        response = completed(begin(answer["model"]), answer, at=clock.now())
        await keep(response)
        return response

    def voice(model: str, options: Mapping[str, Any]) -> Voice:  # noqa: ARG001 - chats have some
        return ResponseVoice(begin, keep, clock, model)

    return CHAT._replace(complete=complete, voice=voice)


class ResponseVoice(Voice):
    """Tells a stream in the events of a response.

    Args:
        begin (Begin): Begins it.
        keep (Keep): Keeps it when it is whole.
        clock (Clock): Says when that is.
        model (str): Who was asked, for who does not say.
    """

    def __init__(self, begin: Begin, keep: Keep, clock: Clock, model: str) -> None:
        self._begin, self._keep, self._clock, self._model = begin, keep, clock, model
        self._events: ResponseEvents | None = None

    @property
    def counts(self) -> Mapping[str, Any] | None:
        """What the upstream has counted so far."""
        return None if self._events is None else self._events.counts

    def take(self, chunk: Mapping[str, Any]) -> bytes:
        """Tell the next piece; the first says who answers."""
        first: list[Event] = []
        if self._events is None:
            self._events = ResponseEvents(self._begin(chunk.get("model") or self._model))
            first = self._events.begin()
        return written(first + self._events.take(chunk))

    async def end(self) -> bytes:
        """Tell that the answer is whole, once it is kept."""
        events = self._events or ResponseEvents(self._begin(self._model))
        last = events.end(at=self._clock.now())
        await self._keep(events.response)
        return written(last)

    def broken(self, error: PerdureError) -> bytes:
        """Tell that no more comes."""
        events = self._events or ResponseEvents(self._begin(self._model))
        return written(events.fail(without_secrets(error)))
