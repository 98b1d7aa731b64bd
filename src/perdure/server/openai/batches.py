"""`/v1/batches`: files of requests, each line of them a message, and files of what came of them.

The doors only order, show and call off; `advancing.py` does the work.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from perdure.errors.base import InvalidInput, NotFound
from perdure.messages.batches import ENDED, Batch, no_batch
from perdure.messages.groups import Group
from perdure.server.answer import Answer, json_answer
from perdure.server.asks import Name
from perdure.server.auth import check_access
from perdure.server.door import Call, Door
from perdure.server.once import HEADER
from perdure.server.openai.outcomes import BatchJson
from perdure.wire.batches import BatchRequest, priority_of, window_s
from perdure.wire.files import PageJson
from perdure.wire.requests import read_request

_ID = re.compile(r"[A-Za-z0-9_\-]{1,64}")

__all__ = ["DOORS"]


class BatchesQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which batches, newest first."""

    after: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


async def create(call: Call) -> Answer:
    """Order a batch.

    Args:
        call (Call): With a `BatchRequest`.

    Returns:
        Answer: 200 with the batch, which is looked at from now on.

    Raises:
        InvalidInput: There is no such file, or it is for something else.
    """
    check_access(call.key, scope="chat:write")
    asked = read_request(call.body, BatchRequest)
    tenant = await _whose(call, asked.input_file_id)
    name = _name(call)
    with suppress(NotFound):  # ordered by the same call, which was cut off before that was kept
        return json_answer(await _look(call, await call.core.store.batches.get(name, tenant=tenant)))
    metadata = asked.metadata or {}
    batch = Batch(
        id=name,
        tenant=tenant,
        input_file=asked.input_file_id,
        endpoint=asked.endpoint,
        window=asked.completion_window,
        expires_at=call.core.clock.now() + window_s(asked.completion_window),
        priority=priority_of(metadata),
        by=call.key.id,
        metadata=metadata,
        output_expires_s=None if asked.output_expires_after is None else float(asked.output_expires_after.seconds),
    )
    return json_answer(_shown(await call.core.store.batches.add(batch), None))


async def list_batches(call: Call) -> Answer:
    """List batches.

    Args:
        call (Call): With a `BatchesQuery`.

    Returns:
        Answer: 200 with a page.
    """
    query: BatchesQuery = call.query
    page = await call.core.store.batches.list(tenant=call.tenant, after=query.after, limit=query.limit)
    rows = await asyncio.gather(*(_look(call, one) for one in page.batches))
    first, last = (rows[0].id, rows[-1].id) if rows else (None, None)
    return json_answer(PageJson(data=list(rows), first_id=first, last_id=last, has_more=page.more))


async def get_batch(call: Call) -> Answer:
    """Show a batch.

    Args:
        call (Call): With its id.

    Returns:
        Answer: 200 with it.
    """
    return json_answer(await _look(call, await call.core.store.batches.get(_id(call), tenant=call.tenant)))


async def cancel_batch(call: Call) -> Answer:
    """Call a batch off: what has been answered stays.

    Args:
        call (Call): With its id.

    Returns:
        Answer: 200 with it; one that has ended is left as it is.
    """
    return json_answer(await _look(call, await call.core.store.batches.cancel(_id(call), tenant=call.tenant)))


def _name(call: Call) -> str:
    """Of a call with a key always the same, so that one begun again after a crash finds the batch, and orders no second one."""
    key = call.headers.get(HEADER)
    if key is None:
        return "batch_" + secrets.token_hex(12)
    said = msgspec.json.encode([call.tenant, key, call.body], order="sorted")
    return "batch_" + hashlib.sha256(said).hexdigest()[:24]


async def _whose(call: Call, file: str) -> str:
    try:
        found = await call.core.store.files.get(file if _ID.fullmatch(file) else "", tenant=call.tenant)
    except NotFound as error:
        raise InvalidInput(error.message, problems=[f"input_file_id: {error.message}"], hint=error.hint) from error
    if found.purpose != "batch":
        said = f"the file {file!r} is for {found.purpose!r}"
        raise InvalidInput(said, problems=[f"input_file_id: {said}"], hint="Hand it in with the purpose `batch`.")
    return found.tenant


async def _look(call: Call, batch: Batch) -> BatchJson:
    if batch.group is None or batch.state in ENDED:
        return _shown(batch, None)
    try:
        return _shown(batch, await call.core.store.messages.group(batch.group))
    except NotFound:  # what was done is forgotten already
        return _shown(batch, None)


def _shown(batch: Batch, group: Group | None) -> BatchJson:
    if group is None:
        return BatchJson.of(batch, completed=batch.completed, failed=batch.failed)
    return BatchJson.of(batch, completed=group.done, failed=group.dead + group.cancelled)


def _id(call: Call) -> str:
    if not _ID.fullmatch(call.path["id"]):
        raise no_batch(call.path["id"])
    return call.path["id"]


_PAGE: Any = PageJson[BatchJson]
DOORS = (
    Door(
        "POST", "/v1/batches", create, "create_batch", "Order what is in a file, line by line.", "OpenAI", "batches:write",
        bodies=(BatchRequest,), raw=True, answers={200: BatchJson}, refusals=(409,), once=True,
    ),
    Door(
        "GET", "/v1/batches", list_batches, "list_batches", "List batches, newest first.", "OpenAI", "batches:read", query=BatchesQuery,
        answers={200: _PAGE}, refusals=(400, 404),
    ),
    Door(
        "GET", "/v1/batches/{id}", get_batch, "get_batch", "Show a batch.", "OpenAI", "batches:read", answers={200: BatchJson},
        refusals=(400, 404),
    ),
    Door(
        "POST", "/v1/batches/{id}/cancel", cancel_batch, "cancel_batch", "Call a batch off; what has been answered stays.", "OpenAI",
        "batches:write", answers={200: BatchJson}, refusals=(400, 404),
    ),
)  # fmt: skip
