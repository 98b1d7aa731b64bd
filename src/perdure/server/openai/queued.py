"""A chat of `/v1` that is put as a message of the agent `chat`, and answered when that has ended.

With `service_tier: "flex"` the caller stays on the line for as long as it takes: unmodified clients get their answer late and
otherwise as always. With `Prefer: respond-async` it is told at once where the answer will be. Either way the message is
retried, waits for its lane and outlives every process, as messages do; a caller that hangs up stops nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec

from perdure.agents.chat import chat
from perdure.errors.base import Conflict, NotFound, PerdureError
from perdure.errors.handler import handle
from perdure.errors.report import error_from
from perdure.messages import ids
from perdure.messages.message import ENDS, MessageId, State, View
from perdure.server.answer import Answer, Streamed, json_answer
from perdure.server.asks import MessageQuery, PutMessage
from perdure.server.auth import check_access
from perdure.server.door import Call, Door
from perdure.server.ended import ended
from perdure.server.gone import while_there
from perdure.server.openai.pieces import PING_S, cut
from perdure.server.openai.refusals import said
from perdure.server.openai.telling import say_cost
from perdure.server.openai.voice import ChunkVoice
from perdure.wire.answers import ChatCompletion
from perdure.wire.complete import Chunks, complete_answer
from perdure.wire.sse import encode_json

_FLEX = "flex"
_ASYNC = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", re.IGNORECASE)
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,5})", re.IGNORECASE)
_NOT_PUT = frozenset({"stream", "stream_options"})

__all__ = ["DOORS", "QueuedChat", "completion_of", "is_queued", "put_chat", "queued"]


class QueuedChat(msgspec.Struct, kw_only=True):
    """A chat that is not answered yet."""

    id: str
    """Ask `GET /v1/chat/completions/{id}` for its answer."""
    object: str = "chat.completion.queued"
    status: str
    """As a message: `ready`, `later`, `held`, `waiting` or `leased`."""


def is_queued(call: Call) -> bool:
    """Tell whether a chat is to be put as a message.

    Args:
        call (Call): With a chat request.

    Returns:
        bool: If its tier is `flex`, or an answer later is preferred.
    """
    return call.body.get("service_tier") == _FLEX or _ASYNC.search(call.headers.get("prefer", "")) is not None


async def queued(call: Call, body: Mapping[str, Any]) -> Answer | Streamed:
    """Put a chat as a message, and answer when it has ended or say where the answer will be.

    Args:
        call (Call): Whose.
        body (Mapping[str, Any]): A chat request that was checked.

    Returns:
        Answer | Streamed: The completion; 202 where it is preferred later.

    Raises:
        UnknownAgent: No worker has the agent `chat`.
        Forbidden: The key may put no messages.
    """
    number = await put_chat(call, body)
    call.says.append(("perdure-message", ids.write(number)))
    prefer = call.headers.get("prefer", "")
    if _ASYNC.search(prefer) is None:
        if body.get("stream"):
            return _stream(call, number, body)
        view = await while_there(call.receive, ended(call.core, number, tenant=call.tenant))
        return Answer(499) if view is None else _answer(call, view)
    patience = _WAIT.search(prefer)
    return await _later(call, number, wait_s=0.0 if patience is None else float(patience[1]), applied=True)


async def get_chat(call: Call) -> Answer:
    """Give the answer of a chat that was put as a message.

    Args:
        call (Call): For the message in its path.

    Returns:
        Answer: 200 with the completion; 202 while there is none.
    """
    number = call.message_id
    view = await call.core.store.messages.get(number, tenant=call.tenant)
    if view.message.agent != chat.name:
        raise NotFound(f"{call.path['id'][:80]!r} is no chat", hint="Messages of other agents are at /api/v1/messages.")
    return await _later(call, number, wait_s=call.query.wait)


async def put_chat(call: Call, body: Mapping[str, Any]) -> MessageId:
    """Put a chat as a message.

    Args:
        call (Call): Whose; the same key of its own puts nothing a second time.
        body (Mapping[str, Any]): A chat request that was checked.

    Returns:
        MessageId: Of the message.

    Raises:
        UnknownAgent: No worker has the agent `chat`.
        Forbidden: The key may put no messages.
    """
    check_access(call.key, scope="messages:write")
    asked = PutMessage(agent=chat.name, body={name: value for name, value in body.items() if name not in _NOT_PUT})
    key = call.headers.get("idempotency-key")
    if key is not None:  # so that a repeat after a crash finds the message that was put, and not only the call
        asked.dedup_key = "v1-" + hashlib.sha256(key.encode()).hexdigest()
    admitted = await call.core.admission.admit([asked], key=call.key)
    [receipt] = await call.core.store.messages.put(admitted)
    return receipt.id


async def _later(call: Call, id: MessageId, *, wait_s: float, applied: bool = False) -> Answer:
    view = await while_there(call.receive, ended(call.core, id, tenant=call.tenant, wait_s=wait_s))
    if view is None:
        return Answer(499)
    if view.state in ENDS:
        return _answer(call, view)
    told = QueuedChat(id=ids.write(id), status=view.state.value)
    headers = (("location", f"/v1/chat/completions/{told.id}"), *((("preference-applied", "respond-async"),) if applied else ()))
    return json_answer(told, 202, headers=headers)


def _answer(call: Call, view: View) -> Answer:
    body = completion_of(view)
    call.says.append(("perdure-attempts", str(view.attempt)))
    if view.usage is not None:
        say_cost(call, view.usage)
    return json_answer(body)


def completion_of(view: View) -> dict[str, Any]:
    """Give what a chat that was put as a message was answered.

    Args:
        view (View): Of the message, which has ended.

    Returns:
        dict[str, Any]: A whole `chat.completion`.

    Raises:
        PerdureError: What it died of.
        Conflict: It has no answer, or one that is no completion.
    """
    if view.state is State.DONE and view.result is not None:
        answer = msgspec.json.decode(view.result)
        if isinstance(answer, dict) and isinstance(answer.get("choices"), list):
            return complete_answer(answer, model="")
        raise Conflict(
            f"the agent {chat.name!r} of this installation answers with no completions", hint="Its result is at /api/v1/messages."
        )
    name = ids.write(view.message.id)
    if view.error is not None:
        error = error_from(view.error)
        raise error if isinstance(error, PerdureError) else PerdureError(f"the message {name!r} failed: {view.error.message}")
    raise Conflict(f"the message {name!r} has no answer: it is {view.state.value}", hint="It was called off, or the server stops.")


def _stream(call: Call, id: MessageId, body: Mapping[str, Any]) -> Streamed:
    whole: list[bool] = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        try:
            answer = completion_of(await ended(call.core, id, tenant=call.tenant))
        except PerdureError as error:
            handle(error, where="server", request_id=call.request_id)
            yield encode_json(said(error))
            return
        chunks = Chunks(model=answer["model"], usage=bool((body.get("stream_options") or {}).get("include_usage")))
        whole.append(True)
        async for piece in cut(answer, ChunkVoice(chunks)):
            yield piece

    return Streamed(pieces(), ping_s=PING_S, is_whole=lambda: bool(whole))


DOORS = (
    Door(
        "GET", "/v1/chat/completions/{id}", get_chat, "get_chat_completion", "Give the answer of a chat that was put as a message.",
        "OpenAI", "chat:write", query=MessageQuery, answers={200: ChatCompletion, 202: QueuedChat},
        refusals=(400, 402, 404, 409, 429, 502, 504),
    ),
)  # fmt: skip
