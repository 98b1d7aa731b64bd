"""Files and pictures of `/v1/files` that a request names: a chat has to bring them along."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any

from perdure.errors.base import InputTooLarge, NotFound
from perdure.messages.files import File
from perdure.server.auth import check_access
from perdure.server.door import Call
from perdure.wire.requests import wrong

_FIELDS = {"input_image": "image_url", "input_file": "file_data"}
_LISTS = ("content", "output")

__all__ = ["attached"]


async def attached(call: Call, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put into items what they name by `file_id`.

    Args:
        call (Call): Whose files are seen.
        items (Sequence[Mapping[str, Any]]): As they were asked.

    Returns:
        list[dict[str, Any]]: The same, with the files themselves.

    Raises:
        InvalidInput: There is no such file.
        InputTooLarge: They are larger than a request may be.
        Forbidden: The key may read no files.
    """
    attaching = _Attaching(call)
    return [await attaching.item(item, f"input[{at}]") for at, item in enumerate(items)]


class _Attaching:
    def __init__(self, call: Call) -> None:
        self._call = call
        self._left_bytes = call.core.settings.max_body_bytes

    async def item(self, item: Mapping[str, Any], place: str) -> dict[str, Any]:
        found = dict(item)
        for name in _LISTS:
            if isinstance(parts := item.get(name), list):
                found[name] = [await self._part(part, f"{place}.{name}[{at}]") for at, part in enumerate(parts)]
        return found

    async def _part(self, part: Any, place: str) -> Any:
        field = _FIELDS.get(str(part.get("type"))) if isinstance(part, Mapping) else None
        if field is None or not isinstance(part.get("file_id"), str) or part.get(field):
            return part
        check_access(self._call.key, scope="files:read")
        try:
            file = await self._call.core.store.files.get(part["file_id"], tenant=self._call.tenant)
        except NotFound as error:
            raise wrong(f"{place}.file_id", error.message) from error
        rest = {name: value for name, value in part.items() if name != "file_id"}
        named = {"filename": file.name} if field == "file_data" else {}
        return {**named, **rest, field: await self._data(file, place)}

    async def _data(self, file: File, place: str) -> str:
        self._left_bytes -= file.size_bytes
        if self._left_bytes < 0:
            problem = f"{place}.file_id: the files of a request are larger than a request may be"
            raise InputTooLarge(problem, problems=[problem], hint="See `server.max_body_bytes`.")
        content = b"".join([await self._call.core.store.files.read(file.id, number) for number in range(file.pieces)])
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"
