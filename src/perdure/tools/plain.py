"""What JSON can say of a value, and one canonical way to write it.

`plain` turns what people pass around (dataclasses, pydantic models, TypedDicts, msgspec structs, enums,
dates, UUIDs, decimals, sets) into dicts, lists, texts and numbers, and says clearly where it cannot.
`canonical` writes equal values as equal bytes: what a step is found again by must not depend on the
order of a dict's keys or on which process wrote it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import msgspec

from perdure.errors.base import InvalidInput

__all__ = ["canonical", "dump", "dump_plain", "fingerprint", "load", "plain"]


_decoded, _quickly_decoded = json.JSONDecoder().decode, msgspec.json.Decoder().decode
_as_it_is = msgspec.json.Encoder().encode
# Kept as it was: what a step was recorded by must be found by the same bytes. Made once, `json.dumps` makes one each time.
_sorted = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def plain(value: Any, *, what: str = "the value") -> Any:
    """Say a value in JSON's own words.

    Args:
        value (Any): Anything.
        what (str): What it is, for the error.

    Returns:
        Any: Dicts with text keys, lists, texts, numbers, booleans and None only.

    Raises:
        InvalidInput: JSON cannot say it; the message names the place and the type.
    """
    try:
        return _plain(value, what)
    except RecursionError:
        raise InvalidInput(f"{what} refers to itself, or is nested too deeply for JSON") from None


def dump(value: Any, *, what: str = "the value") -> bytes:
    """Write a value as JSON, keys in their own order.

    Args:
        value (Any): Anything that `plain` takes.
        what (str): What it is, for the error.

    Returns:
        bytes: UTF-8.

    Raises:
        InvalidInput: JSON cannot say it.
    """
    return _encode(plain(value, what=what), sort=False)


def dump_plain(value: Any) -> bytes:
    """Write what `plain` made as JSON, keys in their own order.

    Args:
        value (Any): Plain data.

    Returns:
        bytes: UTF-8.

    Raises:
        InvalidInput: JSON cannot say it: an integer of too many digits.
    """
    return _encode(value, sort=False)


def load(text: bytes) -> Any:
    """Read JSON.

    Args:
        text (bytes): UTF-8.

    Returns:
        Any: What it says.

    Raises:
        InvalidInput: It is no JSON.
    """
    try:
        return _quickly_decoded(text)
    except (msgspec.MsgspecError, RecursionError):
        pass  # the slower one knows numbers that this one does not, and says better what is wrong
    try:
        return _decoded(text.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"this is no JSON: {error}") from error


def canonical(value: Any, *, what: str = "the value") -> bytes:
    """Write a value as JSON so that equal values are equal bytes.

    Args:
        value (Any): Anything that `plain` takes.
        what (str): What it is, for the error.

    Returns:
        bytes: UTF-8, keys sorted, no spaces.

    Raises:
        InvalidInput: JSON cannot say it.
    """
    return _encode(plain(value, what=what), sort=True)


def fingerprint(value: Any, *, what: str = "the arguments") -> str:
    """Digest a value: equal values, equal digests, on every machine and in every process.

    Args:
        value (Any): Anything that `plain` takes.
        what (str): What it is, for the error.

    Returns:
        str: 32 hex digits.

    Raises:
        InvalidInput: JSON cannot say it.
    """
    return hashlib.sha256(canonical(value, what=what)).hexdigest()[:32]


def _encode(value: Any, *, sort: bool) -> bytes:
    try:
        return _sorted(value).encode() if sort else _as_it_is(value)
    except ValueError as error:  # an integer of more digits than Python writes
        raise InvalidInput(f"this cannot be written as JSON: {error}") from error


def _plain(value: Any, path: str) -> Any:
    kind = type(value)
    if kind is str:
        return _text(value, path)
    if value is None or kind is bool or kind is int:
        return value
    if kind is float:
        return _finite(value, path)
    if kind is dict:
        return _mapping(value, path)
    if kind is list or kind is tuple:
        return [_plain(one, f"{path}[{place}]") for place, one in enumerate(value)]
    return _plain_rare(value, path)


def _plain_rare(value: Any, path: str) -> Any:  # noqa: PLR0911 - one line for each kind of value
    if isinstance(value, Enum):
        return _plain(value.value, path)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (UUID, Decimal, PurePath)):
        return str(value)
    if isinstance(value, msgspec.Struct):
        return _struct(value, path)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name), f"{path}.{field.name}") for field in dataclasses.fields(value)}
    as_json = getattr(value, "model_dump", None)
    if callable(as_json) and not isinstance(value, type):  # a pydantic model, without importing pydantic
        return _plain(as_json(mode="json"), path)
    return _plain_like(value, path)


def _plain_like(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        return _mapping(value, path)
    if isinstance(value, str):
        return _text(str.__str__(value), path)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _finite(float(value), path)
    if isinstance(value, Set):
        return sorted((_plain(one, path) for one in value), key=lambda one: _encode(one, sort=True))
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_plain(one, f"{path}[{place}]") for place, one in enumerate(value)]
    raise InvalidInput(
        f"{path} is a {type(value).__name__}, which JSON cannot say",
        hint="Pass texts, numbers, lists, dicts, dataclasses, pydantic models, enums or dates; turn anything else into one of these first.",
    )


def _mapping(value: Mapping[Any, Any], path: str) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for key, one in value.items():
        name = key if type(key) is str and key.isascii() else _key(key, path)
        if name in said:
            raise InvalidInput(f"{path} has two keys that are both {name!r} in JSON")
        kind = type(one)
        if one is None or kind is bool or kind is int or (kind is str and one.isascii()):
            said[name] = one  # nearly all: not even the name of the place is made
        else:
            said[name] = _plain(one, f"{path}.{name}")
    return said


def _key(key: Any, path: str) -> str:
    name = _plain(key, f"a key of {path}")
    if isinstance(name, str):
        return name
    if type(name) is int:
        return str(name)
    raise InvalidInput(f"{path} has the key {key!r}: keys in JSON are texts")


def _struct(value: msgspec.Struct, path: str) -> dict[str, Any] | list[Any]:
    fields = {
        said: _plain(getattr(value, name), f"{path}.{name}")
        for name, said in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        if getattr(value, name) is not msgspec.UNSET
    }
    settings = value.__struct_config__
    if settings.tag is not None and settings.tag_field is not None:
        fields = {settings.tag_field: settings.tag, **fields}
    return list(fields.values()) if settings.array_like else fields


def _finite(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise InvalidInput(f"{path} is {value!r}, which JSON cannot say", hint="Use None for a number that is not there.")
    return value


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{path} contains a lone surrogate, which is no text: {value[:60]!r}") from None
    return value
