"""What a run is told of the messages that it has sent: rules, the same on every engine."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure.errors.base import ChildCancelled, ChildFailed, ErrorFacts, NotFound, RunLimit
from perdure.messages.ids import write
from perdure.messages.message import MessageId, State

__all__ = ["MOST_AWAITED", "MOST_SIGNALS", "Outcome", "failure_of", "not_sent", "outcomes_as_json", "too_deep"]

MOST_AWAITED = 1000
"""Messages that one `results_of` may wait for; a group has no such limit."""
MOST_SIGNALS = 250
"""Signals of one message that nobody has taken yet."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a message that a run had sent."""

    id: str
    state: State
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: ErrorFacts | None = None


def outcomes_as_json(outcomes: Sequence[Outcome]) -> bytes:
    """Write outcomes as the result of the step that waited for them.

    Args:
        outcomes (Sequence[Outcome]): In the order asked for.

    Returns:
        bytes: JSON.
    """
    return msgspec.json.encode(outcomes)


def failure_of(outcomes: Sequence[Outcome]) -> ErrorFacts | None:
    """Say whether what became of some messages is an error for who waited for them.

    Args:
        outcomes (Sequence[Outcome]): In the order asked for.

    Returns:
        ErrorFacts | None: Of the first that did not end well; another attempt would only see it again, so it is permanent.
    """
    bad = [one for one in outcomes if one.state is not State.DONE]
    if not bad:
        return None
    others = [f"{one.id} is {one.state.value}" for one in bad[1:10]]
    first = bad[0]
    if first.error is None:
        facts = ChildCancelled(f"message {first.id!r} was cancelled", hint="Send another, or catch `ChildCancelled`.").facts()
        return msgspec.structs.replace(facts, causes=others)
    facts = ChildFailed(
        f"message {first.id!r} is dead: {first.error.message}", hint="Revive it first, then this one; or catch `ChildFailed`."
    ).facts()
    return msgspec.structs.replace(facts, causes=[f"{first.error.code}: {first.error.message}", *first.error.causes[:5], *others])


def not_sent(id: MessageId) -> NotFound:
    """Say that a run cannot wait for a message.

    Args:
        id (MessageId): Which.

    Returns:
        NotFound: It was not sent by this run.
    """
    return NotFound(
        f"this run has sent no message {write(id)!r}",
        hint="Give `result_of` what `run.send` returned; it may have been discarded.",
    )


def too_deep(depth: int, max_depth: int) -> RunLimit:
    """Say that a run may send nothing.

    Args:
        depth (int): How many senders stand behind it.
        max_depth (int): How many may.

    Returns:
        RunLimit: Permanent.
    """
    return RunLimit(
        "depth", f"{depth} senders stand behind this run and {max_depth} may", hint="An agent that sends to itself needs an end."
    )
