"""What changes about a message, a route and a worker, in memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts
from perdure.messages.dead import QUARANTINE_AT
from perdure.messages.limits import GateName
from perdure.messages.message import Attempt, Message, MessageId, State, Wait, WorkerId
from perdure.messages.registry import WorkerCard
from perdure.resources.usage import Usage

__all__ = ["GroupRow", "RouteKey", "RouteRow", "Row", "SignalRow", "WorkerRow"]

RouteKey = tuple[str, str, str | None, str | None, bool]
"""Queue, agent, version, lane, quarantine."""


@dataclass(slots=True)
class SignalRow:
    """What a message was told."""

    name: str
    data: bytes
    key: str | None
    step: int | None = None
    """That took it."""


@dataclass(slots=True)
class GroupRow:
    """Messages put together."""

    name: str
    tenant: str
    open: bool
    created_at: Moment
    then: MessageId | None = None
    ended_at: Moment | None = None
    members: list[MessageId] = field(default_factory=list)
    gone: Counter[State] = field(default_factory=Counter)
    """Members that are not kept any more, by how they ended."""


@dataclass(slots=True, eq=False)
class Row:
    """A message and all that changes about it."""

    message: Message
    state: State
    tag: int
    ready_since: Moment
    urgency: int
    """With which priority it lies ready: its own, or its session's."""
    gates: tuple[GateName, ...] = ()
    """The counts it is in while it is ready or leased."""
    held_under: GateName | None = None
    """The count that had no room; None of one that is held by its session."""
    held_since: Moment = 0.0
    wait: Wait | None = None
    waiting_since: Moment | None = None
    used: int = 0
    token: int = 0
    worker: WorkerId | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    crashes: int = 0
    results_at_crash: int = 0
    revived: int = 0
    result: bytes | None = None
    error: ErrorFacts | None = None
    usage: Usage | None = None
    code_version: str | None = None
    replayed: Usage | None = None
    origin: MessageId | None = None
    """The message it was forked from; 0 if it was imported."""
    origin_step: int | None = None
    log: list[Attempt] = field(default_factory=list)
    called_off: bool = False
    """While it runs: somebody wants it cancelled."""
    depth: int = 0
    """Senders behind it."""
    signals: list[SignalRow] = field(default_factory=list)

    @property
    def line(self) -> tuple[str, str] | None:
        """Tenant and session."""
        return None if self.message.session is None else (self.message.tenant, self.message.session)

    @property
    def route(self) -> RouteKey:
        """What it needs of a worker."""
        put = self.message
        return (put.queue, put.agent, put.version, put.lane, self.crashes >= QUARANTINE_AT)


@dataclass(slots=True)
class RouteRow:
    """A route and since when it was seen blocked."""

    id: int
    blocked_since: Moment | None = None


@dataclass(slots=True)
class WorkerRow:
    """A worker; `ended_at` is None while it lives."""

    card: WorkerCard
    started_at: Moment
    beat_at: Moment
    ended_at: Moment | None = None
