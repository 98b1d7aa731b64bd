"""The contract of batches: a file of requests, each of them a message, and what has become of them.

Theory of operation: whoever is alive takes the batch that is due, does a little of it, and writes how far that came; while it
holds the batch nobody else gets it, and when it dies the batch is due again by itself. What somebody held too long is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from perdure.clock import Moment
from perdure.errors.base import LeaseLost, NotFound
from perdure.messages.message import GroupId

__all__ = ["ENDED", "Batch", "BatchPage", "BatchProblem", "BatchState", "BatchStore", "Taken", "batch_lost", "no_batch"]


class BatchState(StrEnum):
    """How far a batch is, in OpenAI's words."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


ENDED = frozenset({BatchState.COMPLETED, BatchState.FAILED, BatchState.EXPIRED, BatchState.CANCELLED})


class BatchProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a file of requests is none."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, and how far it is."""

    id: str
    tenant: str
    input_file: str
    endpoint: str
    window: str
    """As its caller said it."""
    expires_at: Moment
    priority: int
    by: str | None = None
    """The id of the key that ordered it."""
    metadata: Mapping[str, str] = {}
    output_expires_s: float | None = None
    created_at: Moment = 0.0
    """By the store's clock."""
    state: BatchState = BatchState.VALIDATING
    cancelling_at: Moment | None = None
    """When somebody called it off; told by the store, whatever else is written."""
    reached: Mapping[str, Moment] = {}
    """When it came into each state after the first."""
    problems: tuple[BatchProblem, ...] = ()
    model: str | None = None
    """If all lines name the same."""
    total: int = 0
    group: GroupId | None = None
    """Of its messages."""
    put: int = 0
    """So many lines are messages."""
    called_off: bool = False
    """All of them that had not ended are called off; those that run are being ended."""
    broke: int = 0
    """So often an error that nobody foresaw ended a part of the work."""
    completed: int = 0
    failed: int = 0
    output_file: str | None = None
    error_file: str | None = None


class BatchPage(msgspec.Struct, frozen=True):
    """Some batches, newest first, and whether there are more."""

    batches: Sequence[Batch]
    more: bool


class Taken(msgspec.Struct, frozen=True):
    """A batch that somebody works on, and the right to write how far it came."""

    batch: Batch
    token: int


class BatchStore(Protocol):
    """Keeps batches. Proved by `perdure.testing.BatchKit`."""

    async def add(self, batch: Batch) -> Batch:
        """Keep a new batch, which is due at once.

        Args:
            batch (Batch): With an id that nobody else has.

        Returns:
            Batch: With the moment.
        """
        ...

    async def get(self, id: str, *, tenant: str | None) -> Batch:
        """Look at a batch.

        Args:
            id (str): Which.
            tenant (str | None): Only if it is this tenant's.

        Returns:
            Batch: As it was written last.

        Raises:
            NotFound: No such batch (of this tenant).
        """
        ...

    async def list(self, *, tenant: str | None, after: str | None = None, limit: int = 20) -> BatchPage:
        """List batches.

        Args:
            tenant (str | None): Whose; None for all.
            after (str | None): The batch after which to go on.
            limit (int): At most so many.

        Returns:
            BatchPage: Newest first.

        Raises:
            NotFound: There is no batch after which to go on.
        """
        ...

    async def cancel(self, id: str, *, tenant: str | None) -> Batch:
        """Say that a batch is not wanted any more; it is due at once, and whoever works on it learns it with the next write.

        Args:
            id (str): Which.
            tenant (str | None): Only if it is this tenant's.

        Returns:
            Batch: As it is then. One that has ended, or is called off already, is left as it is.

        Raises:
            NotFound: No such batch (of this tenant).
        """
        ...

    async def take(self, *, lasts_s: float) -> Taken | None:
        """Take the batch that has been due longest.

        Args:
            lasts_s (float): For so long nobody else gets it.

        Returns:
            Taken | None: None if none is due.
        """
        ...

    async def keep(self, taken: Taken, batch: Batch, *, due_s: float) -> Batch:
        """Write how far a batch came.

        Args:
            taken (Taken): The right to it.
            batch (Batch): As it is now. With an end, it is never due again.
            due_s (float): How long from now nobody else gets it: to go on working, or until it is to be looked at again.

        Returns:
            Batch: As written, and whether it was called off meanwhile.

        Raises:
            LeaseLost: Somebody else has it.
        """
        ...

    async def finish(self, taken: Taken, batch: Batch) -> Batch:
        """End a batch, and let its files be seen, both or neither.

        Args:
            taken (Taken): The right to it.
            batch (Batch): Ended; its output and error files are written and not finished.

        Returns:
            Batch: As written.

        Raises:
            LeaseLost: Somebody else has it.
            NotFound: A file of it was given up.
        """
        ...


def no_batch(id: str) -> NotFound:
    """Say that a batch is not there.

    Args:
        id (str): As it was asked for.

    Returns:
        NotFound: To be raised.
    """
    return NotFound(f"there is no batch {id[:60]!r}", hint="Yours are listed at GET /v1/batches.")


def batch_lost(id: str) -> LeaseLost:
    """Say that somebody else works on a batch now.

    Args:
        id (str): Which.

    Returns:
        LeaseLost: To be raised.
    """
    return LeaseLost(f"the batch {id!r} was held too long: another process goes on with it")
