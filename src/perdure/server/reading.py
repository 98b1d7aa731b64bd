"""From a request to the types a door asked for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from perdure.errors.base import InvalidInput, NotYetBuilt
from perdure.server.asks import LATER, PATTERNS, NoQuery

_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")
_PLACE = re.compile(r" - at (?P<key>`key` in )?`\$(?P<path>.*?)`$")
_MOST_FIELDS = 50

__all__ = ["read_query", "shaped"]


def read_query(query_string: bytes, kind: type | None) -> Any:
    """Read what is asked in an address.

    Args:
        query_string (bytes): As ASGI gives it.
        kind (type | None): The type it should have; None allows nothing.

    Returns:
        Any: An object of that type.

    Raises:
        InvalidInput: Something in it is unknown, twice there, or of the wrong shape.
    """
    try:
        pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise InvalidInput(f"the query cannot be read: {error}") from error
    lists: dict[str, list[str]] = {}
    for name, said in pairs:
        if name.endswith("[]"):  # so OpenAI's clients write a list
            lists.setdefault(name, []).append(said)
    single = [pair for pair in pairs if pair[0] not in lists]
    fields = dict(single)
    if len(fields) < len(single):
        twice = next(name for name, _ in single if [other for other, _ in single].count(name) > 1)
        raise InvalidInput(f"the query says {twice[:40]!r} more than once")
    read = _convert({**fields, **lists}, kind or NoQuery, strict=False, what="query")
    for name, said in fields.items():
        if getattr(read, name) is None:  # msgspec takes the word `null` for nothing, which would lift a filter
            raise InvalidInput(f"{name}: {said!r} is no value for it", hint=f"Leave {name!r} out.")
    return read


def shaped(data: Any, kinds: Sequence[type]) -> Any:
    """Give decoded JSON the type a door asked for.

    Args:
        data (Any): Plain data.
        kinds (Sequence[type]): One type, or one and that of the same in bulk, which has `messages`.

    Returns:
        Any: An object of the type that fits.

    Raises:
        NotYetBuilt: It has a field of a feature that is not built yet.
        InvalidInput: It has not that shape.
    """
    many = len(kinds) > 1 and isinstance(data, dict) and "messages" in data
    for item in data["messages"] if many and isinstance(data["messages"], list) else [data]:
        _refuse_later(item, kinds[0])
    return _convert(data, kinds[-1] if many else kinds[0], strict=True, what="body")


def _refuse_later(item: Any, kind: type) -> None:
    fields = getattr(kind, "__struct_fields__", ())
    for name in item if isinstance(item, dict) else ():
        if name in LATER and name not in fields and "agent" in fields:
            raise NotYetBuilt(f"{name!r}: {LATER[name]} are not built yet", hint=f"Leave {name!r} out.")


def _convert(data: Any, kind: type, *, strict: bool, what: str) -> Any:
    try:
        return msgspec.convert(data, kind, strict=strict)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        problem = _told(str(error), kind, what)
        raise InvalidInput(problem, problems=[problem]) from error


def _told(said: str, kind: type, what: str) -> str:
    """Say msgspec's complaint in the words of the wire: the place first, and a suggestion for a misspelt field."""
    place = _PLACE.search(said)
    path = (place.group("path") if place else "").removeprefix(".")
    complaint = _PLACE.sub("", said)
    unknown = _UNKNOWN.search(complaint)
    for pattern, meant in PATTERNS.items():
        if complaint.endswith(repr(pattern)):
            return f"{path or what}: {'a name in it ' if place and place.group('key') else ''}{meant}"
    if unknown is None:
        return f"{path or what}: {complaint[:1].lower()}{complaint[1:]}"
    name = unknown.group("name")
    known = _fields_at(kind, path)
    near = difflib.get_close_matches(name, known, n=1)
    better = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}" if known else "none is expected here"
    return f"{path or what}: there is no field {name[:60]!r}; {better}"


def _fields_at(kind: type, path: str) -> list[str]:
    fields: Mapping[str, Any] = {field.name: field.type for field in msgspec.structs.fields(kind)}
    if path.startswith("messages[") and "messages" in fields:
        from_list = msgspec.inspect.type_info(fields["messages"])
        inner = getattr(getattr(from_list, "item_type", None), "cls", None)
        return list(getattr(inner, "__struct_fields__", ()))
    return list(fields)
