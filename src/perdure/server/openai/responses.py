"""`/v1/responses`: OpenAI's newer wire, over the same deployments, keys and bookings as chats.

A request is said as a chat, and the chat's answer as a response; so every upstream that answers chats answers these.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from perdure.errors.base import InputTooLarge, NotFound, StoreError
from perdure.errors.handler import handle
from perdure.messages import ids
from perdure.messages.responses import KeptResponse
from perdure.server.answer import Answer, Streamed, json_answer
from perdure.server.door import Call, Door
from perdure.server.openai.asking import answered
from perdure.server.openai.attached import attached
from perdure.server.openai.background import call_off, followed, id_of, now_of
from perdure.server.openai.queued import put_chat
from perdure.server.openai.response_voice import told_as_response
from perdure.wire.requests import wrong
from perdure.wire.response_asks import ResponseRequest, as_chat, read_response_request
from perdure.wire.response_items import as_messages, items_of, shown
from perdure.wire.response_said import DeletedResponse, Response, ResponseItems, begun, new_response_id

_MOST_TURNS = 1000
_MOST_REQUESTS = 4
"""So many times what one request may be, all that was said before may be."""
_PLAIN = "It was made at once. Only responses with `background: true`"

__all__ = ["DOORS", "ItemsQuery", "ResponseQuery"]


_Include = Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(max_length=10)]
"""What is kept of a response is shown whether it is asked for or not; OpenAI's clients say `include[]`."""


class ResponseQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether a response in the background is to be streamed, and after which event."""

    stream: bool = False
    starting_after: Annotated[int, Meta(ge=0, le=10**9, description="`sequence_number` of the last event that came.")] | None = None
    include_obfuscation: bool = False
    """Taken for OpenAI's clients; nothing is ever obfuscated."""
    include: _Include = msgspec.field(name="include[]", default_factory=list)


class ItemsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which of the items that a response answers."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    after: Annotated[str, Meta(min_length=1, max_length=200, description="The last id of the page before.")] | None = None
    include: _Include = msgspec.field(name="include[]", default_factory=list)


async def create(call: Call) -> Answer | Streamed:
    """Answer a request, at once or in the background.

    Args:
        call (Call): With a request for a response.

    Returns:
        Answer | Streamed: A `response`, or its events.
    """
    body = read_response_request(call.body)
    asked = items_of(body["input"])
    own = await attached(call, asked)
    as_messages(own)  # what is wrong with it is told by its own place, not by that in the whole conversation
    chat = as_chat(body, await attached(call, await _before(call, body.get("previous_response_id"))) + own)
    if body.get("background"):
        return await _put(call, body, chat, asked)
    name, at = new_response_id(), call.core.clock.now()

    def begin(model: str) -> dict[str, Any]:
        return begun(body, id=name, model=model, at=at)

    wish = told_as_response(begin, partial(_keep, call, body, asked), call.core.clock)
    return await answered(call, {**chat, "stream": True} if body.get("stream") else chat, wish)


async def retrieve(call: Call) -> Answer | Streamed:
    """Give a response.

    Args:
        call (Call): For one in its path.

    Returns:
        Answer | Streamed: As it is now, or its events.
    """
    kept = await _kept(call)
    query: ResponseQuery = call.query
    if not query.stream:
        if query.starting_after is not None:
            raise wrong("starting_after", "only allowed with `stream=true`")
        return json_answer(await now_of(call.core, kept))
    if kept.message is None:
        raise wrong("stream", f"{kept.id!r} has no events any more. {_PLAIN} keep them")
    await now_of(call.core, kept)  # refused here, and not in a stream, if there is nothing to be told
    return followed(call.core, kept.said, kept.message, after=-1 if query.starting_after is None else query.starting_after)


async def cancel(call: Call) -> Answer:
    """Call off a response in the background.

    Args:
        call (Call): For one in its path.

    Returns:
        Answer: As it is then.
    """
    kept = await _kept(call)
    if kept.message is None:
        raise wrong("response_id", f"{kept.id!r} cannot be cancelled. {_PLAIN} can")
    await call_off(call.core, kept, call.actor)
    return json_answer(await now_of(call.core, kept))


async def delete(call: Call) -> Answer:
    """Forget a response; one that goes on in the background is called off.

    Args:
        call (Call): For one in its path.

    Returns:
        Answer: That it is gone.
    """
    kept = await _kept(call)
    await call_off(call.core, kept, call.actor)
    await call.core.store.responses.drop(kept.id, tenant=call.tenant)
    return json_answer(DeletedResponse(id=kept.id))


async def input_items(call: Call) -> Answer:
    """List what a response answers.

    Args:
        call (Call): For one in its path.

    Returns:
        Answer: A page of items.
    """
    kept = await _kept(call)
    query: ItemsQuery = call.query
    items = [shown(item, kept.id, at) for at, item in enumerate(_asked(kept))]
    if query.order == "desc":
        items.reverse()
    start = 0
    if query.after is not None:
        start = next((at + 1 for at, item in enumerate(items) if item["id"] == query.after), -1)
        if start < 0:
            raise wrong("after", f"{query.after[:80]!r} is none of its items")
    page = items[start : start + query.limit]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return json_answer(ResponseItems(object="list", data=page, first_id=first, last_id=last, has_more=start + len(page) < len(items)))


async def _put(call: Call, body: Mapping[str, Any], chat: Mapping[str, Any], asked: list[dict[str, Any]]) -> Answer | Streamed:
    number = await put_chat(call, chat)
    call.says.append(("perdure-message", ids.write(number)))
    model = body.get("model") or call.core.models.deployments().name
    said = begun(body, id=id_of(number), model=model, at=call.core.clock.now())
    own = KeptResponse(id=said["id"], tenant=_tenant(call), said=_json(said), asked=_json(asked), message=number)
    await call.core.store.responses.keep(own)
    kept = await call.core.store.responses.get(own.id, tenant=None)  # that of the first time, if a key brought it here again
    return followed(call.core, kept.said, number, after=-1) if body.get("stream") else Answer(200, kept.said)


async def _keep(call: Call, body: Mapping[str, Any], asked: list[dict[str, Any]], response: Mapping[str, Any]) -> None:
    if body.get("store") is False:
        return
    kept = KeptResponse(id=response["id"], tenant=_tenant(call), said=_json(response), asked=_json(asked))
    try:
        await call.core.store.responses.keep(kept)
    except StoreError as trouble:  # an answer in hand, which is paid for, is worth more than an error
        handle(trouble, where="server", what="a response could not be kept")


async def _before(call: Call, name: str | None) -> list[dict[str, Any]]:
    """What was said in the responses before, from the first on."""
    turns: list[list[dict[str, Any]]] = []
    left_bytes = _MOST_REQUESTS * call.core.settings.max_body_bytes
    while name is not None:
        if len(turns) == _MOST_TURNS:
            raise wrong("previous_response_id", f"more than {_MOST_TURNS} responses come before it. Begin anew with a summary as `input`")
        try:
            kept = await call.core.store.responses.get(name, tenant=call.tenant)
            response = await now_of(call.core, kept)
        except NotFound as error:
            raise wrong("previous_response_id", error.message) from error
        if response["status"] in ("queued", "in_progress"):
            raise wrong("previous_response_id", f"{name[:80]!r} goes on in the background. Wait until it is completed")
        left_bytes -= len(kept.asked) + len(kept.said)
        if left_bytes < 0:
            problem = "previous_response_id: all that was said before is too much. Begin anew with a summary as `input`"
            raise InputTooLarge(problem, problems=[problem], hint="See `server.max_body_bytes`: four times that much can come before.")
        turns.append([*_asked(kept), *response["output"]])
        name = response.get("previous_response_id")
    return [item for turn in reversed(turns) for item in turn]


async def _kept(call: Call) -> KeptResponse:
    return await call.core.store.responses.get(call.path["response_id"], tenant=call.tenant)


def _asked(kept: KeptResponse) -> list[dict[str, Any]]:
    return msgspec.json.decode(kept.asked, type=list[dict[str, Any]])


def _tenant(call: Call) -> str:
    return call.tenant or "default"


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)


DOORS = (
    Door(
        "POST", "/v1/responses", create, "create_response", "Answer a request, whole, as a stream or in the background.", "OpenAI",
        "chat:write", bodies=(ResponseRequest,), raw=True, answers={200: Response}, streams=True,
        refusals=(402, 404, 409, 429, 502, 504), once=True,
    ),
    Door(
        "GET", "/v1/responses/{response_id}", retrieve, "get_response", "Give a response, or stream it from any event on.", "OpenAI",
        "chat:write", query=ResponseQuery, answers={200: Response}, streams=True, refusals=(400, 404),
    ),
    Door(
        "DELETE", "/v1/responses/{response_id}", delete, "delete_response", "Forget a response.", "OpenAI",
        "chat:write", answers={200: DeletedResponse}, refusals=(404,),
    ),
    Door(
        "POST", "/v1/responses/{response_id}/cancel", cancel, "cancel_response", "Call off a response in the background.", "OpenAI",
        "chat:write", answers={200: Response}, refusals=(400, 404),
    ),
    Door(
        "GET", "/v1/responses/{response_id}/input_items", input_items, "list_response_items", "List what a response answers.", "OpenAI",
        "chat:write", query=ItemsQuery, answers={200: ResponseItems}, refusals=(400, 404),
    ),
)  # fmt: skip
