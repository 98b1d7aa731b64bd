"""A message in a program's own words, written as JSON: what clients send, and what a user's own transaction takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, TypedDict

import msgspec

from perdure.errors.base import InvalidInput
from perdure.messages.message import OnDead

__all__ = ["Named", "NewMessageJson", "PutOptions", "as_json", "written"]


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
    session: str
    """Its messages run one at a time, in the order of putting."""
    on_dead: OnDead
    key: str
    """For limits of scope `key`."""
    cost: int
    metadata: dict[str, str]
    tenant: str


class NewMessageJson(PutOptions, total=False):
    """A message for `send_many`: `agent`, `body`, and what `PutOptions` has."""

    agent: str | Named
    body: Any


def written(agent: str | Named, body: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Write a message down.

    Args:
        agent (str | Named): Its name, or the agent itself.
        body (Any): Anything that JSON can say: plain data, dataclasses, pydantic models, msgspec structs.
        options (Mapping[str, Any]): As `PutOptions`; None counts as left out.

    Returns:
        dict[str, Any]: Its body is JSON already.

    Raises:
        InvalidInput: JSON cannot say the body or an option.
    """
    said = {name: _moment(value) for name, value in options.items() if value is not None}
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
