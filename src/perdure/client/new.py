"""A message to be put, as it goes over the wire."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perdure.messages.written import Named, NewMessageJson, PutOptions, as_json, written

CHUNK_MESSAGES = 500
CHUNK_BYTES = 1024 * 1024
OWN_KEY = "client:"
"""How the keys begin that the client makes up."""

__all__ = ["OWN_KEY", "Named", "NewMessageJson", "PutOptions", "as_json", "brought_own_key", "chunks", "new_message"]


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
    message = written(agent, body, options)
    message.setdefault("dedup_key", f"{OWN_KEY}{uuid.uuid4().hex}")
    return message


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
