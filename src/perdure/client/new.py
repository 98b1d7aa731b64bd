"""A message to be put, as it goes over the wire."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol, TypedDict

import msgspec

from perdure.errors.base import InvalidInput

CHUNK_MESSAGES = 500
CHUNK_BYTES = 1024 * 1024
OWN_KEY = "client:"
"""How the keys begin that the client makes up."""

__all__ = ["OWN_KEY", "Named", "NewMessageJson", "PutOptions", "as_json", "brought_own_key", "chunks", "new_message"]


class Named(Protocol):
    """Anything with a name, an `Agent` for one."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...


class PutOptions(TypedDict, total=False):
    """What a message may say besides its agent and its body; what is left out, the server decides."""

    queue: str
    priority: int
    """0 (most urgent) to 9."""
    delay_s: float
    due_at: datetime | str
    dedup_key: str
    """A second put under the same key brings the first one's id."""
    attempts: int
    timeout_s: float
    """For one attempt."""
    deadline: datetime | str
    max_wait_s: float
    version: str
    metadata: dict[str, str]
    tenant: str


class NewMessageJson(PutOptions, total=False):
    """A message for `send_many`: `agent`, `body`, and what `PutOptions` has."""

    agent: str | Named
    body: Any


def new_message(agent: str | Named, body: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Write a message as the server takes it.

    Args:
        agent (str | Named): Its name, or the agent itself.
        body (Any): Anything that JSON can say: plain data, dataclasses, pydantic models, msgspec structs.
        options (Mapping[str, Any]): As `PutOptions`; None counts as left out.

    Returns:
        dict[str, Any]: With a `dedup_key` of its own where none is given, so that asking again after a lost answer puts nothing twice.

    Raises:
        InvalidInput: JSON cannot say the body or an option.
    """
    said = {name: _moment(value) for name, value in options.items() if value is not None}
    said.setdefault("dedup_key", f"{OWN_KEY}{uuid.uuid4().hex}")
    name = agent if isinstance(agent, str) else agent.name
    return {"agent": name, "body": msgspec.Raw(as_json(body, "the body")), **said}


def as_json(value: Any, what: str) -> bytes:
    """Write anything as JSON.

    Args:
        value (Any): Plain data, dataclasses, pydantic models, msgspec structs.
        what (str): What to call it in the error.

    Returns:
        bytes: UTF-8.

    Raises:
        InvalidInput: JSON cannot say it.
    """
    try:
        written = msgspec.json.encode(value, enc_hook=_plain)
        if b"null" in written:  # also what NaN and the infinities are written as, without a word
            _check_numbers(value)
        return written
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidInput(f"{what} cannot be written as JSON: {reason}") from error


def brought_own_key(message: Mapping[str, Any]) -> bool:
    """Tell whether the caller gave the key.

    Args:
        message (Mapping[str, Any]): From `new_message`.

    Returns:
        bool: False where the client made one up.
    """
    return not str(message["dedup_key"]).startswith(OWN_KEY)


def chunks(messages: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Divide many messages into requests that a server takes.

    Args:
        messages (Iterable[dict[str, Any]]): From `new_message`.

    Yields:
        list[dict[str, Any]]: At most 500 messages and, unless one alone is larger, about 1 MiB of bodies.
    """
    chunk: list[dict[str, Any]] = []
    size_bytes = 0
    for message in messages:
        own_bytes = len(bytes(message["body"]))
        if chunk and (len(chunk) == CHUNK_MESSAGES or size_bytes + own_bytes > CHUNK_BYTES):
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(message)
        size_bytes += own_bytes
    if chunk:
        yield chunk


def _moment(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise InvalidInput(f"{value!r} says no time zone", hint="Use datetime.now(UTC), or an RFC 3339 text.")
    return value.isoformat()


def _check_numbers(value: Any) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no number that JSON has")
    elif isinstance(value, Mapping):
        for item in value.values():
            _check_numbers(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            _check_numbers(item)
    elif not isinstance(value, (str, bytes, int, msgspec.Raw, type(None))):
        _check_numbers(msgspec.to_builtins(value, enc_hook=_plain))


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not plain data")
