"""Responses that go on in the background: each is a message of the agent `chat`, whoever hangs up or dies.

What has become of one is asked of its message. Its events are told from the recorded answer: the same answer has the same events
with the same numbers, so a stream can be taken up after any of them, at any later time, of any server, and nothing has to be
written for it while the answer is made. In return no piece comes before the whole answer is there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import msgspec

from perdure.clock import Moment
from perdure.errors.base import Conflict, NotFound, PerdureError
from perdure.messages import ids
from perdure.messages.message import ENDS, MessageId, State, View
from perdure.messages.responses import KeptResponse
from perdure.security.audit import Actor
from perdure.server.answer import Streamed
from perdure.server.core import Core
from perdure.server.ended import ended, has_ended, reached
from perdure.server.openai.pieces import PING_S
from perdure.server.openai.queued import completion_of
from perdure.server.openai.refusals import without_secrets
from perdure.server.openai.response_voice import written
from perdure.wire.answers import chunks_of
from perdure.wire.response_events import Event, ResponseEvents

_PIECE = 2000
"""Letters of a text in one event. Whoever changes it renumbers the events of all responses that are kept."""
_CALLED_OFF_S = 10.0

__all__ = ["call_off", "followed", "id_of", "now_of"]


def id_of(number: MessageId) -> str:
    """Say what the response of a message is called.

    Args:
        number (MessageId): Of the message.

    Returns:
        str: Always the same.
    """
    return f"resp_{ids.write(number).removeprefix(ids.PREFIX)}"


async def now_of(core: Core, kept: KeptResponse) -> dict[str, Any]:
    """Give a response as it is now.

    Args:
        core (Core): Where.
        kept (KeptResponse): Which.

    Returns:
        dict[str, Any]: Whole, or still in the background.

    Raises:
        NotFound: Its message was forgotten.
    """
    said: dict[str, Any] = msgspec.json.decode(kept.said)
    if kept.message is None:
        return said
    view = await _view(core, kept.message)
    events = ResponseEvents(said)
    for _ in _events(events, view):
        pass
    return events.response


async def call_off(core: Core, kept: KeptResponse, by: Actor) -> None:
    """Call a response off, and wait a moment until its worker has let go of it; one that has ended stays as it is.

    Args:
        core (Core): Where.
        kept (KeptResponse): Which.
        by (Actor): Who does it, for the audit log.
    """
    if kept.message is None:
        return
    try:
        await core.store.messages.cancel(kept.message, by=by)
        await ended(core, kept.message, tenant=None, wait_s=_CALLED_OFF_S)
    except (Conflict, NotFound):
        pass  # it has ended, perhaps long ago


def followed(core: Core, said: bytes, number: MessageId, *, after: int) -> Streamed:
    """Stream the events of a response in the background, from wherever the caller is.

    Args:
        core (Core): Where.
        said (bytes): As it was when it was put.
        number (MessageId): Who makes it.
        after (int): The last event that the caller has; -1 for none.

    Returns:
        Streamed: To the end of the response, however long that takes.
    """
    whole: list[bool] = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        told = after
        for enough in (_is_there, _is_begun, has_ended):
            view = await reached(core, number, enough, tenant=None)
            events = list(_events(ResponseEvents(msgspec.json.decode(said)), view))
            news = [event for event in events if event["sequence_number"] > told]
            told = max(told, len(events) - 1)
            if view.state in ENDS:
                whole.append(True)
            if news:
                yield written(news)
            if view.state in ENDS or not enough(view):  # or the server stops: the caller can go on elsewhere
                return

    return Streamed(pieces(), ping_s=PING_S, is_whole=lambda: bool(whole))


async def _view(core: Core, number: MessageId) -> View:
    try:
        return await core.store.messages.get(number)
    except NotFound as error:
        raise NotFound("the message that made this response was forgotten", hint="See `retention.done_s` and `dead_s`.") from error


def _events(events: ResponseEvents, view: View) -> Iterator[Event]:
    """All events up to now; what they have told is then in `events.response`."""
    yield events.told("response.created")
    yield events.told("response.queued")
    if not _is_begun(view):
        return
    events.response["status"] = "in_progress"
    yield events.told("response.in_progress")
    if view.state in ENDS:
        yield from _last(events, view, view.ended_at or 0.0)


def _last(events: ResponseEvents, view: View, at: Moment) -> Iterator[Event]:
    if view.state is State.CANCELLED:
        events.response["status"] = "cancelled"
        yield events.told("response.incomplete")  # OpenAI has no event for it
        return
    try:
        answer = completion_of(view)
    except PerdureError as error:
        yield from events.fail(without_secrets(error))
        return
    events.response["model"] = answer["model"]
    for chunk in chunks_of(answer, piece=_PIECE):
        yield from events.take(chunk)
    yield from events.end(at=at)


def _is_there(view: View) -> bool:  # noqa: ARG001 - what is asked first
    return True


def _is_begun(view: View) -> bool:
    return view.state in ENDS or view.state is State.LEASED or view.attempt > 0
