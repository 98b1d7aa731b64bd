"""`/v1/files`: what callers hand in to be worked on, and what is handed back to them.

A file goes into the store piece by piece as it comes over the wire, and out of it the same way. Nobody sees it before it is
whole; one whose sender hangs up is given up.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from perdure.errors.base import InvalidInput
from perdure.messages.files import PIECE_BYTES, File, FileStore, FileWish, NewFile, no_file
from perdure.server.answer import Answer, Streamed, json_answer
from perdure.server.asks import Name
from perdure.server.door import Call, Door
from perdure.server.form import read_form
from perdure.wire.files import FileDeleted, FileForm, FileJson, PageJson, read_file_form

_ID = re.compile(r"[A-Za-z0-9_\-]{1,64}")

__all__ = ["DOORS"]


class FilesQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which files, in which order."""

    purpose: Name | None = None
    order: Literal["asc", "desc"] = "desc"
    after: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 10_000


async def upload(call: Call) -> Answer:
    """Take in a file.

    Args:
        call (Call): Whose body is a form.

    Returns:
        Answer: 200 with the file.

    Raises:
        InvalidInput: There is no file in the form.
    """
    taking = _Taking(call.core.store.files, call.tenant or "default")
    try:
        fields = await read_form(call.headers, call.receive, taking, limit=call.core.settings.max_file_bytes)
        form = read_file_form(fields)
        return json_answer(_shown(await taking.finish(form)))
    finally:
        await asyncio.shield(taking.end())


async def list_files(call: Call) -> Answer:
    """List files.

    Args:
        call (Call): With a `FilesQuery`.

    Returns:
        Answer: 200 with a page.
    """
    query: FilesQuery = call.query
    wish = FileWish(
        tenant=call.tenant, purpose=query.purpose, newest_first=query.order == "desc", after=query.after, limit=query.limit
    )  # fmt: skip
    page = await call.core.store.files.list(wish)
    rows = [_shown(one) for one in page.files]
    first, last = (rows[0].id, rows[-1].id) if rows else (None, None)
    return json_answer(PageJson(data=rows, first_id=first, last_id=last, has_more=page.more))


async def get_file(call: Call) -> Answer:
    """Show a file.

    Args:
        call (Call): With its id.

    Returns:
        Answer: 200 with it.
    """
    return json_answer(_shown(await call.core.store.files.get(_id(call), tenant=call.tenant)))


async def get_content(call: Call) -> Streamed:
    """Give a file back as it came.

    Args:
        call (Call): With its id.

    Returns:
        Streamed: 200 with its bytes.
    """
    file = await call.core.store.files.get(_id(call), tenant=call.tenant)
    headers = (("content-length", str(file.size_bytes)), ("cache-control", "no-store"), ("content-disposition", "attachment"))
    return Streamed(_content(call.core.store.files, file), media_type="application/octet-stream", headers=headers)


async def delete_file(call: Call) -> Answer:
    """Delete a file.

    Args:
        call (Call): With its id.

    Returns:
        Answer: 200 with its end.
    """
    await call.core.store.files.delete(_id(call), tenant=call.tenant)
    return json_answer(FileDeleted(id=_id(call)))


def _id(call: Call) -> str:
    if not _ID.fullmatch(call.path["id"]):
        raise no_file(call.path["id"])
    return call.path["id"]


async def _content(files: FileStore, file: File) -> AsyncGenerator[bytes, None]:
    for number in range(file.pieces):
        yield await files.read(file.id, number)


def _shown(file: File) -> FileJson:
    return FileJson(
        id=file.id,
        object="file",
        bytes=file.size_bytes,
        created_at=int(file.created_at),
        expires_at=None if file.expires_at is None else int(file.expires_at),
        filename=file.name,
        purpose=file.purpose,
        status="processed",
    )


class _Taking:
    """A file on its way into the store."""

    def __init__(self, files: FileStore, tenant: str) -> None:
        self._files, self._tenant = files, tenant
        self._id: str | None = None
        self._held = bytearray()

    async def begin(self, name: str) -> None:
        self._id = "file-" + secrets.token_hex(12)
        await self._files.begin(NewFile(id=self._id, tenant=self._tenant, name=name))

    async def write(self, data: bytes) -> None:
        self._held += data
        while len(self._held) >= PIECE_BYTES:
            await self._put(PIECE_BYTES)

    async def finish(self, form: FileForm) -> File:
        if self._id is None:
            raise InvalidInput("file: the form has no file", problems=["file: missing"])
        if self._held:
            await self._put(len(self._held))
        return await self._files.finish(self._id, purpose=form.purpose, expires_s=form.expires_s)

    async def end(self) -> None:
        """Give up what is not finished."""
        if self._id is not None:
            await self._files.give_up(self._id)

    async def _put(self, size: int) -> None:
        assert self._id is not None
        await self._files.write(self._id, bytes(self._held[:size]))
        del self._held[:size]


_PAGE: Any = PageJson[FileJson]
DOORS = (
    Door(
        "POST", "/v1/files", upload, "upload_file", "Hand in a file.", "OpenAI", "files:write", bodies=(FileForm,), upload=True,
        answers={200: FileJson},
    ),
    Door(
        "GET", "/v1/files", list_files, "list_files", "List files, newest first or last.", "OpenAI", "files:read", query=FilesQuery,
        answers={200: _PAGE}, refusals=(400, 404),
    ),
    Door(
        "GET", "/v1/files/{id}", get_file, "get_file", "Show a file.", "OpenAI", "files:read", answers={200: FileJson}, refusals=(400, 404),
    ),
    Door(
        "GET", "/v1/files/{id}/content", get_content, "get_file_content", "Give a file back as it came.", "OpenAI", "files:read",
        answers={200: bytes}, refusals=(400, 404),
    ),
    Door(
        "DELETE", "/v1/files/{id}", delete_file, "delete_file", "Delete a file.", "OpenAI", "files:write", answers={200: FileDeleted},
        refusals=(400, 404),
    ),
)  # fmt: skip
