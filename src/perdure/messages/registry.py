"""The contract of who works here: workers, their agents and schemas, and whether they live.

Liveness belongs to the worker, one row each, never to its messages. A worker beats every 2 s from a
thread and a connection of its own and is dead 10 s after its last committed beat; on the same host the
kernel shows its death at once, by the lock it held. Whoever declares it dead raises its epoch, so that
everything it still writes is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from perdure.clock import Moment
from perdure.messages.message import MessageId, WorkerId

BEAT_S = 2.0
DEAD_AFTER_S = 10.0
STALE_AFTER_S = 6.0
"""A worker whose own last beat is older starts no effect outside the store."""

__all__ = ["BEAT_S", "DEAD_AFTER_S", "STALE_AFTER_S", "AgentCard", "Heart", "Reaped", "WorkerCard", "WorkerRegistry", "WorkerStatus"]


class AgentCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of one of its agents, so that a server needs none of its code."""

    name: str
    version: str
    queue: str = "default"
    lane: str | None = None
    """The lane of its declared model; for `chat` the body's model decides instead."""
    description: str = ""
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    attempts: int | None = None
    timeout_s: float | None = None


class WorkerCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of itself."""

    host: str
    pid: int
    slots: int
    agents: Sequence[AgentCard] = ()
    queues: Sequence[str] | None = None
    quarantine: bool = False


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as others see it."""

    id: WorkerId
    card: WorkerCard
    started_at: Moment
    beat_at: Moment
    alive: bool
    leases: int = 0


class Reaped(msgspec.Struct, frozen=True, kw_only=True):
    """What a dead worker left behind."""

    worker: WorkerId
    released: Sequence[MessageId]
    """Ready again."""
    quarantined: Sequence[MessageId]
    """Ready again, but only alone in a process of their own."""
    buried: Sequence[MessageId]
    """Dead as `poison`."""
    cancelled: Sequence[MessageId] = ()
    """Called off before it died."""


class Heart(Protocol):
    """Beats for one worker, called from the worker's own heartbeat thread. Not async, not shared."""

    def beat(self) -> None:
        """Say that the worker lives.

        Raises:
            WorkerFenced: It was declared dead meanwhile; it must stop at once.
            StoreError: The beat was not committed.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class WorkerRegistry(Protocol):
    """Knows the workers and what they can do. Proved by `perdure.testing.WorkerRegistryKit`."""

    async def register(self, card: WorkerCard) -> WorkerId:
        """Begin to live. Its agents' schemas are from now on the ones that puts are checked against.

        On the same host the store also takes a kernel lock for the worker, held until it bows out or
        dies.

        Args:
            card (WorkerCard): Who it is.

        Returns:
            WorkerId: Never used before.
        """
        ...

    def heart(self, worker: WorkerId) -> Heart:
        """Give the heartbeat thread what it needs.

        Args:
            worker (WorkerId): A registered worker of this process.

        Returns:
            Heart: With a connection of its own.
        """
        ...

    async def bow_out(self, worker: WorkerId) -> None:
        """Stop living in good order. What it still holds is ready again, no crash counted.

        It can neither beat nor lease any more. Doing it twice changes nothing.

        Args:
            worker (WorkerId): Who.
        """
        ...

    async def reap(self, *, dead_after_s: float = DEAD_AFTER_S) -> Sequence[Reaped]:
        """Declare the dead dead and take back what they held. Any living worker may call it.

        A worker is dead when its last beat is older than `dead_after_s`, or when the kernel lock of a
        worker of this host is free. A crash counts against a message only if its journal gained no
        result since the crash before: 1 and 2 make it ready again (from 2 on in quarantine), 3 makes
        it a dead letter `poison`. No attempt is used. Each crash is kept among the attempts as
        `worker-died`. After an outage of the store itself, reaping by age waits a full
        `dead_after_s`.

        Args:
            dead_after_s (float): Age of the last beat at which a worker counts as dead.

        Returns:
            Sequence[Reaped]: One for each worker that died.
        """
        ...

    async def workers(self) -> Sequence[WorkerStatus]:
        """List living workers, and the dead of the last hour.

        Returns:
            Sequence[WorkerStatus]: Newest first.
        """
        ...

    async def agents(self) -> Sequence[AgentCard]:
        """List every agent as registered last.

        Returns:
            Sequence[AgentCard]: By name.
        """
        ...

    async def agent(self, name: str) -> AgentCard | None:
        """Look an agent up as registered last. Cached; cheap enough for every put.

        Args:
            name (str): Its name.

        Returns:
            AgentCard | None: None if no worker ever registered it.
        """
        ...
