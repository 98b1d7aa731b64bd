"""How far a message has come: kept only for those that came back from a worker, or were revived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from perdure.agents.journal import FailedTry
from perdure.clock import Moment
from perdure.resources.usage import Usage
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["Progress", "failed_text", "failed_tries", "keep_progress", "progress_of", "usage_of_steps", "usage_text"]

_PROGRESS, _KEEP, _USAGES = statement("progress_get"), statement("progress_set"), statement("step_usages")
_decode_usage = msgspec.json.Decoder(Usage).decode
_decode_failed = msgspec.json.Decoder(tuple[FailedTry, ...]).decode


class Progress(NamedTuple):
    """How far a message has come, if it ever came back from a worker."""

    used: int = 0
    crashes: int = 0
    results: int = 0
    revived: int = 0
    started_at: Moment | None = None
    waiting_since: Moment | None = None
    usage: bytes | None = None


def progress_of(run: Run, id: int) -> Progress:
    """Read how far a message has come.

    Args:
        run (Run): Of a reader or a transaction.
        id (int): Which.

    Returns:
        Progress: All zero if it never came back from a worker.
    """
    row = run(_PROGRESS, (id,)).fetchone()
    return Progress() if row is None else Progress(*row)


def keep_progress(tx: Transaction, id: int, progress: Progress) -> None:
    """Write down how far a message has come.

    Args:
        tx (Transaction): What is being committed.
        id (int): Which.
        progress (Progress): All of it.
    """
    tx.run(_KEEP, (id, *progress))


def usage_of_steps(run: Run, id: int) -> bytes | None:
    """Add up what a run used, as its journal says.

    Args:
        run (Run): Of a reader or a transaction.
        id (int): Whose.

    Returns:
        bytes | None: JSON; None if no step used anything.
    """
    found = [(_decode_usage(usage) if usage else Usage()) + Usage(paid_again=again) for usage, again in run(_USAGES, (id,))]
    return usage_text(sum(found[1:], found[0])) if found else None


def usage_text(usage: Usage | None) -> bytes | None:
    """Write usage as it is kept.

    Args:
        usage (Usage | None): What was used.

    Returns:
        bytes | None: JSON.
    """
    return None if usage is None else msgspec.json.encode(usage)


def failed_text(tries: Sequence[FailedTry]) -> bytes | None:
    """Write the tries of a step that got no answer.

    Args:
        tries (Sequence[FailedTry]): Which.

    Returns:
        bytes | None: JSON; None if there were none.
    """
    return msgspec.json.encode(tries) if tries else None


def failed_tries(kept: bytes | None) -> tuple[FailedTry, ...]:
    """Read the tries of a step that got no answer.

    Args:
        kept (bytes | None): As written.

    Returns:
        tuple[FailedTry, ...]: The earliest first.
    """
    return () if kept is None else _decode_failed(kept)
