"""A door: one verb on one path, said as data.

Routing, authorisation, reading, the refusals a caller may meet and the OpenAPI page are all made from
these rows, so that none of them can say something else than another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.datastructures import Headers
from starlette.types import Receive

from perdure.errors.base import NotFound
from perdure.messages import ids
from perdure.messages.message import MessageId
from perdure.security.access import tenant_of
from perdure.security.audit import Actor
from perdure.security.keys import Key
from perdure.server.answer import Answer, Streamed
from perdure.server.core import Core

__all__ = ["Call", "Door", "Handler"]


@dataclass
class Call:
    """One request that was let in and read."""

    core: Core
    key: Key
    request_id: str
    headers: Headers
    path: Mapping[str, str]
    receive: Receive
    query: Any = None
    """As the door's `query` type."""
    body: Any = None
    """As one of the door's `bodies`."""
    says: list[tuple[str, str]] = field(default_factory=list)
    """Headers that go with whatever is answered, errors among it."""
    again: bool = False
    """It was made before, and nobody knows whether that was paid for."""
    paid: bool = False
    """A try of it may have been paid for, whatever came of the others."""

    @property
    def tenant(self) -> str | None:
        """Whose messages this caller sees; None for all."""
        return tenant_of(self.key.tenant)

    @property
    def actor(self) -> Actor:
        """Who acts, for the audit log."""
        return Actor(self.key.id, self.request_id)

    @property
    def message_id(self) -> MessageId:
        """The id in the path.

        Raises:
            NotFound: It is none.
        """
        return ids.read(self.path["id"])

    def number(self, name: str) -> int:
        """Read a number in the path.

        Args:
            name (str): What the path calls it.

        Returns:
            int: 1 to 10^9.

        Raises:
            NotFound: There can be no such thing.
        """
        written = self.path[name]
        if not (written.isascii() and written.isdigit() and len(written) < 10 and int(written) > 0):
            raise NotFound(f"{written[:40]!r} is no {name}", hint="It is a whole number from 1 on.")
        return int(written)


Handler: TypeAlias = Callable[[Call], Awaitable[Answer | Streamed]]


@dataclass(frozen=True)
class Door:
    """One verb on one path."""

    method: str
    path: str
    handle: Handler
    name: str
    """What clients made from the OpenAPI page call it."""
    says: str
    """One line for people."""
    part: str
    """Under which heading it stands."""
    scope: str | None
    """What a key needs; None for any good key."""
    operator: bool = False
    """Whether it concerns all tenants at once."""
    query: type | None = None
    bodies: tuple[type, ...] = ()
    """One type, or one and the type of the same in bulk, which has the field `messages`."""
    optional: bool = False
    """Whether nothing may be said at all; the body is then None."""
    upload: bool = False
    """Whether the handler reads the body itself, a form with a file, piece by piece; `bodies` then only documents it."""
    raw: bool = False
    """Whether the handler checks the decoded body itself; `bodies` then only documents it."""
    answers: Mapping[int, Any] = field(default_factory=dict)
    """Status to type, or to a tuple of the types it may be."""
    refusals: tuple[int, ...] = ()
    """Statuses beyond those that every door or its kind of reading can give."""
    streams: bool = False
    """Whether the answer may also be a stream of events."""
    once: bool = False
    """Whether a caller may give a call a key, `Idempotency-Key`, by which it is made once."""
