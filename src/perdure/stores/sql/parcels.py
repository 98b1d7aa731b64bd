"""What a run's steps write, made small: packed, each message of a conversation once, and large bodies by what they are.

Theory of operation: the columns `step.result` and `request.data` hold packed bytes (`packing.py`). What is
larger than `BODY_BYTES` lies in `body`, once for all runs that have it, and the column holds its digest.
An LLM call's request lies in `said`, message by message (`talk.py`), and its column holds names. All of
this is worked out before the writer is asked, so that a transaction only writes; what the store has of a
conversation already is remembered while the lease lasts, so that a call writes only what is new in it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Container, Iterable, Sequence
from typing import Any, NamedTuple

from perdure.agents.journal import Intent, StepKind
from perdure.agents.talk import Ref, chain, name_of_head, split
from perdure.messages.message import Lease
from perdure.resources.packing import Mark, pack

__all__ = ["BODY_BYTES", "Body", "Parcel", "Parcels", "Said", "parcel", "said_rows", "talk_parcel", "talk_ref"]

BODY_BYTES = 64 * 1024
_KNOWN_RUNS = 2048
_KNOWN_NAMES = 64
"""Of one run: the conversations it holds at the same time, and their heads."""


class Body(NamedTuple):
    """A row of `body`."""

    hash: bytes
    size: int
    data: bytes


class Said(NamedTuple):
    """A row of `said`."""

    hash: bytes
    before: bytes
    data: bytes


class Parcel(NamedTuple):
    """What goes into a column, and the rows it refers to."""

    data: bytes
    said: Sequence[Said] = ()
    bodies: Sequence[Body] = ()
    talk: Ref | None = None
    """The conversation that the store knows, once it is committed."""

    @property
    def size_bytes(self) -> int:
        """Roughly how much it writes."""
        return len(self.data) + sum(len(one.data) for one in self.said) + sum(len(one.data) for one in self.bodies)


def parcel(data: bytes) -> Parcel:
    """Pack what is no conversation.

    Args:
        data (bytes): JSON.

    Returns:
        Parcel: With one body at most.
    """
    if len(data) <= BODY_BYTES:
        return Parcel(pack(data))
    digest = hashlib.sha256(data).digest()
    return Parcel(b"%c%b" % (Mark.BODY, digest), bodies=(Body(digest, len(data), pack(data)),))


class Parcels:
    """Makes parcels for the runs of one process."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], dict[bytes, None]] = {}
        """By run and lease: names of heads and of last messages that are in the store, the newest at the end."""

    async def of_request(self, lease: Lease, intent: Intent) -> Parcel | None:
        """Pack what a step asks.

        Args:
            lease (Lease): The right to the run.
            intent (Intent): The step.

        Returns:
            Parcel | None: None if there is nothing to show.
        """
        if intent.request is None:
            return None
        if len(intent.request) <= BODY_BYTES:
            return self._request(lease, intent)
        return await asyncio.to_thread(self._request, lease, intent)

    async def of_result(self, result: bytes) -> Parcel:
        """Pack what a step returned.

        Args:
            result (bytes): JSON.

        Returns:
            Parcel: With one body at most.
        """
        return parcel(result) if len(result) <= BODY_BYTES else await asyncio.to_thread(parcel, result)

    def stored(self, lease: Lease, made: Parcel | None) -> None:
        """Remember what is in the store now.

        Args:
            lease (Lease): The right to the run.
            made (Parcel | None): What was committed.
        """
        if made is None or made.talk is None:
            return
        run = (lease.message.id, lease.token)
        names = self._known.pop(run, None) or {}
        for name in (made.talk.head, made.talk.last):
            names.pop(name, None)
            names[name] = None
        _shorten(names, _KNOWN_NAMES)
        self._known[run] = names
        _shorten(self._known, _KNOWN_RUNS)

    def _request(self, lease: Lease, intent: Intent) -> Parcel:
        assert intent.request is not None
        if intent.key.kind is not StepKind.LLM:
            return parcel(intent.request)
        return talk_parcel(intent.request, self._known.get((lease.message.id, lease.token), {}))


def talk_parcel(request: bytes, known: Container[bytes]) -> Parcel:
    """Pack what a model is asked.

    Args:
        request (bytes): JSON.
        known (Container[bytes]): Names of heads and last messages that the store has of this run.

    Returns:
        Parcel: With what is new in the conversation.
    """
    talk = split(request)
    if talk is None:
        return parcel(request)
    names = chain(talk.messages)
    head = name_of_head(talk.head)
    shared = next((at for at in range(len(names), 0, -1) if names[at - 1] in known), 0)
    new = [] if head in known else [(head, b"", talk.head)]
    befores = [b"", *names]
    new += zip(names[shared:], befores[shared:-1], talk.messages[shared:], strict=True)
    said, bodies = said_rows(new)
    ref = Ref(head, names[-1], len(names))
    return Parcel(talk_ref(ref), said, bodies, ref)


def talk_ref(ref: Ref) -> bytes:
    """Write down which conversation a request is.

    Args:
        ref (Ref): Its names.

    Returns:
        bytes: For the column.
    """
    return b"%c%b" % (Mark.TALK, ref.written())


def said_rows(new: Iterable[tuple[bytes, bytes, bytes]]) -> tuple[list[Said], list[Body]]:
    """Pack parts of a conversation.

    Args:
        new (Iterable[tuple[bytes, bytes, bytes]]): Name, name before, and the part.

    Returns:
        tuple[list[Said], list[Body]]: Rows, and the bodies of those that are large.
    """
    said: list[Said] = []
    bodies: list[Body] = []
    for name, before, data in new:
        packed = parcel(data)
        said.append(Said(name, before, packed.data))
        bodies += packed.bodies
    return said, bodies


def _shorten(known: dict[Any, Any], most: int) -> None:
    while len(known) > most:
        del known[next(iter(known))]
