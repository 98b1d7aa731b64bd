"""Messages: put, look, list, signal, call off."""

from __future__ import annotations

import msgspec

from perdure.errors.base import InvalidInput
from perdure.messages import groups
from perdure.messages.groups import NewGroup
from perdure.messages.message import ENDS, GroupId, State, View
from perdure.messages.store import Filter
from perdure.server.answer import Answer, json_answer
from perdure.server.answers import AttemptJson, MessageJson
from perdure.server.asks import CancelQuery, MessageQuery, MessagesQuery, PutMany, PutMessage, Signal
from perdure.server.door import Call, Door
from perdure.server.ended import ended
from perdure.server.gone import while_there
from perdure.server.listings import Listing, PageOf, ReceiptJson

_PART = "Messages"
_AT_ONCE = 25
_PAGE_BYTES = 16 * 1024 * 1024
"""A page ends early when its bodies and results grow beyond this, so that nobody can make us hold a thousand large ones."""

__all__ = ["DOORS", "page_of"]


async def put(call: Call) -> Answer:
    """Accept one message, or many.

    Args:
        call (Call): With a `PutMessage` or `PutMany`.

    Returns:
        Answer: 202 with a receipt, or a list of them.
    """
    many = isinstance(call.body, PutMany)
    asks = call.body.messages if many else [call.body]
    if "idempotency-key" in call.headers:
        asks = [_with_key(asks[0], call.headers["idempotency-key"], many=many)]
    group = await _group(call) if many else None
    accepted = await call.core.admission.admit(asks, key=call.key, many=many)
    receipts = [ReceiptJson.of(receipt) for receipt in await call.core.store.messages.put(accepted, group=group)]
    if many:
        return json_answer(Listing(data=receipts), 202)
    return json_answer(receipts[0], 202, headers=(("location", f"/api/v1/messages/{receipts[0].id}"),))


async def get(call: Call) -> Answer:
    """Show a message, perhaps after waiting for its end.

    Args:
        call (Call): With a `MessageQuery`.

    Returns:
        Answer: 200 with the message as it is then.
    """
    view = await call.core.store.messages.get(call.message_id, tenant=call.tenant)
    if view.state not in ENDS and call.query.wait > 0:
        waited = await while_there(call.receive, ended(call.core, view.message.id, tenant=call.tenant, wait_s=call.query.wait))
        if waited is None:
            return Answer(499)
        view = waited
    return json_answer(MessageJson.of(view))


async def list_messages(call: Call) -> Answer:
    """List messages, those put last first.

    Args:
        call (Call): With a `MessagesQuery`.

    Returns:
        Answer: 200 with a page.
    """
    query: MessagesQuery = call.query
    state = None if query.state is None else State(query.state)
    wanted = Filter(tenant=call.tenant, state=state, queue=query.queue, agent=query.agent, code=query.code, session=query.session)
    return json_answer(await page_of(call, wanted, limit=query.limit, cursor=query.cursor))


async def page_of(call: Call, wanted: Filter, *, limit: int, cursor: str | None) -> PageOf[MessageJson]:
    """Read a page in small bites, until it is full or heavy.

    Args:
        call (Call): Who asks.
        wanted (Filter): Which messages.
        limit (int): At most so many.
        cursor (str | None): Where the page before ended.

    Returns:
        PageOf[MessageJson]: Perhaps fewer than there are, with a cursor for the rest.
    """
    views: list[View] = []
    size = 0
    while True:
        page = await call.core.store.messages.list(wanted, limit=min(_AT_ONCE, limit - len(views)), cursor=cursor)
        views += page.views
        size += sum(len(view.message.body) + len(view.result or b"") for view in page.views)
        cursor = page.cursor
        if cursor is None or len(views) >= limit or size > _PAGE_BYTES:
            return PageOf(data=[MessageJson.of(view) for view in views], next_cursor=cursor)


async def cancel(call: Call) -> Answer:
    """Call a message off: at once, or by a mark that its worker sees within a moment.

    Args:
        call (Call): With a `CancelQuery`, for the message in its path.

    Returns:
        Answer: 200 with the message as it is now.
    """
    view = await call.core.store.messages.cancel(call.message_id, tenant=call.tenant, children=call.query.children, by=call.actor)
    return json_answer(MessageJson.of(view))


async def signal(call: Call) -> Answer:
    """Tell a message something.

    Args:
        call (Call): With a `Signal`, for the message in its path.

    Returns:
        Answer: 200 with the message as it is now.
    """
    said: Signal = call.body
    data = msgspec.json.encode(said.data)
    view = await call.core.store.messages.signal(call.message_id, said.name, data, tenant=call.tenant, key=said.key)
    return json_answer(MessageJson.of(view))


async def attempts(call: Call) -> Answer:
    """List what went wrong with a message so far.

    Args:
        call (Call): For the message in its path.

    Returns:
        Answer: 200 with a list, oldest first.
    """
    view = await call.core.store.messages.get(call.message_id, tenant=call.tenant)
    found = await call.core.store.messages.attempts(view.message.id)
    return json_answer(Listing(data=[AttemptJson.of(attempt) for attempt in found]))


async def _group(call: Call) -> NewGroup | GroupId | None:
    asked: PutMany = call.body
    if asked.group is not None:
        if asked.then is not None or asked.group_name is not None or asked.open:
            raise InvalidInput("`group` adds to a group that is there; `then`, `group_name` and `open` begin one", hint="Say one of both.")
        return groups.read(asked.group)
    if asked.then is None and asked.group_name is None:
        if asked.open:
            raise InvalidInput("`open` is for a group", hint="Give it a `group_name`, or say what is to run `then`.")
        return None
    then = None if asked.then is None else (await call.core.admission.admit([asked.then], key=call.key))[0]
    return NewGroup(name=asked.group_name or "", then=then, open=asked.open)


def _with_key(ask: PutMessage, key: str, *, many: bool) -> PutMessage:
    if many:
        raise InvalidInput("Idempotency-Key is for a single message", hint="Give each message of a bulk its own `dedup_key`.")
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise InvalidInput("Idempotency-Key must be 1 to 255 printable ASCII letters")
    if ask.dedup_key not in (None, key):
        raise InvalidInput(f"Idempotency-Key {key[:60]!r} and `dedup_key` {ask.dedup_key[:60]!r} differ", hint="Send one of them.")
    ask.dedup_key = key
    return ask


DOORS = (
    Door(
        "POST", "/api/v1/messages", put, "put", "Put one message, or many: all of them, or none.", _PART, "messages:write",
        bodies=(PutMessage, PutMany), answers={202: (ReceiptJson, Listing[ReceiptJson])}, refusals=(404,),
    ),
    Door(
        "GET", "/api/v1/messages", list_messages, "list_messages", "List messages, those put last first.", _PART, "messages:read",
        query=MessagesQuery, answers={200: PageOf[MessageJson]},
    ),
    Door(
        "GET", "/api/v1/messages/{id}", get, "get_message", "Show a message; with `wait`, wait for its end.", _PART, "messages:read",
        query=MessageQuery, answers={200: MessageJson}, refusals=(404,),
    ),
    Door(
        "POST", "/api/v1/messages/{id}/cancel", cancel, "cancel_message", "Call a message off, running or not.", _PART,
        "messages:write", query=CancelQuery, answers={200: MessageJson}, refusals=(404, 409),
    ),
    Door(
        "POST", "/api/v1/messages/{id}/signals", signal, "signal_message", "Tell a message what its run waits for.", _PART,
        "messages:write", bodies=(Signal,), answers={200: MessageJson}, refusals=(404, 409),
    ),
    Door(
        "GET", "/api/v1/messages/{id}/attempts", attempts, "list_attempts", "List what went wrong with a message.", _PART, "messages:read",
        answers={200: Listing[AttemptJson]}, refusals=(404,),
    ),
)  # fmt: skip
