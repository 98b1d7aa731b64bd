"""What `/api/v1` says of everything around messages: receipts, queues, keys, agents, workers, changes."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

import msgspec

from perdure.clock import iso
from perdure.messages import groups, ids
from perdure.messages.limits import LimitStatus
from perdure.messages.message import Receipt
from perdure.messages.registry import AgentCard, WorkerStatus
from perdure.messages.store import Change, QueueStatus
from perdure.security.keys import Key
from perdure.server.answers import Time
from perdure.server.reports import PauseJson

T = TypeVar("T")

__all__ = [
    "AgentJson",
    "ChangeJson",
    "Changes",
    "KeyJson",
    "LimitJson",
    "Listing",
    "NewKeyJson",
    "PageOf",
    "PausedJson",
    "QueueJson",
    "ReceiptJson",
    "WorkerJson",
]


class Listing(msgspec.Struct, Generic[T], kw_only=True):
    """All there is."""

    object: Literal["list"] = "list"
    data: list[T]


class PageOf(msgspec.Struct, Generic[T], kw_only=True):
    """Some of what there is; `next_cursor` brings more, null is the end."""

    object: Literal["list"] = "list"
    data: list[T]
    next_cursor: str | None


class ReceiptJson(msgspec.Struct, kw_only=True):
    """The answer to a put. `duplicate` is true where the key had brought this message before."""

    object: Literal["receipt"] = "receipt"
    id: str
    duplicate: bool
    group: str | None
    """The group it was put into."""

    @classmethod
    def of(cls, receipt: Receipt) -> ReceiptJson:
        """Write a receipt.

        Args:
            receipt (Receipt): As the store gave it.

        Returns:
            ReceiptJson: For the wire.
        """
        group = None if receipt.group is None else groups.write(receipt.group)
        return cls(id=ids.write(receipt.id), duplicate=receipt.duplicate, group=group)


class QueueJson(msgspec.Struct, kw_only=True):
    """A queue in numbers."""

    object: Literal["queue"] = "queue"
    name: str
    paused: bool
    counts: dict[str, int]
    totals: dict[str, int]
    oldest_ready_at: Time | None
    pause: PauseJson | None
    """Who paused it, when, and why."""

    @classmethod
    def of(cls, queue: QueueStatus) -> QueueJson:
        """Write a queue.

        Args:
            queue (QueueStatus): As the store sees it.

        Returns:
            QueueJson: For the wire.
        """
        return cls(
            name=queue.name,
            paused=queue.paused,
            counts=dict(queue.counts),
            totals=dict(queue.totals),
            oldest_ready_at=iso(queue.oldest_ready_at),
            pause=PauseJson.of(queue.pause),
        )


class PausedJson(msgspec.Struct, kw_only=True):
    """Whether everything is paused."""

    object: Literal["pause"] = "pause"
    paused: bool
    pause: PauseJson | None


class LimitJson(msgspec.Struct, kw_only=True):
    """A limit and how full it is; of scope `key` the sums over all keys."""

    object: Literal["limit"] = "limit"
    scope: str
    name: str
    at_once: int
    used: int
    held: int

    @classmethod
    def of(cls, status: LimitStatus) -> LimitJson:
        """Write a limit.

        Args:
            status (LimitStatus): As the store keeps it.

        Returns:
            LimitJson: For the wire.
        """
        limit = status.limit
        return cls(scope=limit.scope.value, name=limit.name, at_once=limit.at_once, used=status.used, held=status.held)


class KeyJson(msgspec.Struct, kw_only=True):
    """A key: never the key itself."""

    object: Literal["key"] = "key"
    id: str
    name: str
    tenant: str
    scopes: list[str]
    last4: str
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None

    @classmethod
    def of(cls, kept: Key, /, **more: Any) -> Any:
        """Write a key.

        Args:
            kept (Key): As the store keeps it.
            **more (Any): Fields of a class below this one.

        Returns:
            Any: An object of this class.
        """
        return cls(
            id=kept.id,
            name=kept.name,
            tenant=kept.tenant,
            scopes=list(kept.scopes),
            last4=kept.last4,
            created_at=iso(kept.created_at) or "",
            expires_at=iso(kept.expires_at),
            revoked_at=iso(kept.revoked_at),
            **more,
        )


class NewKeyJson(KeyJson, kw_only=True):
    """A key just made, with the key itself, which nobody can show again."""

    key: str


class AgentJson(msgspec.Struct, kw_only=True):
    """An agent as its workers registered it last."""

    object: Literal["agent"] = "agent"
    name: str
    version: str
    queue: str
    lane: str | None
    description: str
    attempts: int | None
    timeout_s: float | None
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None

    @classmethod
    def of(cls, card: AgentCard) -> AgentJson:
        """Write an agent.

        Args:
            card (AgentCard): As registered last.

        Returns:
            AgentJson: For the wire.
        """
        return cls(**{name: getattr(card, name) for name in cls.__struct_fields__ if name != "object"})


class WorkerJson(msgspec.Struct, kw_only=True):
    """A worker as others see it."""

    object: Literal["worker"] = "worker"
    id: int
    host: str
    pid: int
    alive: bool
    slots: int
    leases: int
    quarantine: bool
    queues: list[str] | None
    agents: dict[str, str]
    """Name to code version."""
    started_at: Time
    beat_at: Time

    @classmethod
    def of(cls, worker: WorkerStatus) -> WorkerJson:
        """Write a worker.

        Args:
            worker (WorkerStatus): As the registry sees it.

        Returns:
            WorkerJson: For the wire.
        """
        card = worker.card
        return cls(
            id=worker.id,
            host=card.host,
            pid=card.pid,
            alive=worker.alive,
            slots=card.slots,
            leases=worker.leases,
            quarantine=card.quarantine,
            queues=None if card.queues is None else list(card.queues),
            agents={agent.name: agent.version for agent in card.agents},
            started_at=iso(worker.started_at) or "",
            beat_at=iso(worker.beat_at) or "",
        )


class ChangeJson(msgspec.Struct, kw_only=True):
    """One move of one message."""

    seq: int
    id: str
    queue: str
    agent: str
    state: str
    at: Time

    @classmethod
    def of(cls, change: Change) -> ChangeJson:
        """Write a change.

        Args:
            change (Change): As the store tells it.

        Returns:
            ChangeJson: For the wire.
        """
        return cls(
            seq=change.seq,
            id=ids.write(change.id),
            queue=change.queue,
            agent=change.agent,
            state=change.state.value,
            at=iso(change.at) or "",
        )


class Changes(msgspec.Struct, kw_only=True):
    """Changes in order; go on with `after=last`."""

    object: Literal["list"] = "list"
    data: list[ChangeJson]
    last: int
