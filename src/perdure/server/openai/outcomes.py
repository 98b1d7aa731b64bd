"""What is said of a batch and of its lines, as OpenAI writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from perdure.errors.base import PerdureError
from perdure.messages.batches import Batch, BatchProblem, BatchState
from perdure.messages.groups import Member
from perdure.messages.ids import PREFIX, write
from perdure.messages.message import State
from perdure.wire.complete import complete_answer, complete_text
from perdure.wire.errors import error_body, status_of

_STATES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelled")
_EXPIRED = {"code": "batch_expired", "message": "This request could not be executed before the completion window expired."}
_CALLED_OFF = {"code": "batch_cancelled", "message": "This request was called off before it was executed."}
_DELETED = {
    "code": "response_deleted",
    "message": "The response was deleted, or kept too briefly (`retention`), before the batch had ended.",
}

__all__ = ["BatchJson", "outcome_line"]


class CountsJson(msgspec.Struct, kw_only=True):
    """How many lines have ended, and how."""

    total: int
    completed: int
    failed: int


class ProblemsJson(msgspec.Struct, kw_only=True):
    """What is wrong with the file of lines."""

    object: str = "list"
    data: list[BatchProblem]


class BatchJson(msgspec.Struct, kw_only=True):
    """A batch."""

    id: str
    object: Annotated[str, Meta(pattern="^batch$")]
    endpoint: str
    model: str | None
    errors: ProblemsJson | None
    input_file_id: str
    completion_window: str
    status: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: CountsJson
    metadata: dict[str, str] | None

    @classmethod
    def of(cls, batch: Batch, *, completed: int, failed: int) -> BatchJson:
        """Write a batch.

        Args:
            batch (Batch): As the store has it.
            completed (int): So many lines have an answer.
            failed (int): So many have none and get none.

        Returns:
            BatchJson: For the wire.
        """
        at = {f"{state}_at": int(batch.reached[state]) if state in batch.reached else None for state in _STATES}
        calling_off = batch.cancelling_at is not None and batch.state in (BatchState.VALIDATING, BatchState.IN_PROGRESS)
        return cls(
            id=batch.id,
            object="batch",
            endpoint=batch.endpoint,
            model=batch.model,
            errors=ProblemsJson(data=list(batch.problems)) if batch.problems else None,
            input_file_id=batch.input_file,
            completion_window=batch.window,
            status="cancelling" if calling_off else batch.state.value,
            output_file_id=batch.output_file,
            error_file_id=batch.error_file,
            created_at=int(batch.created_at),
            expires_at=int(batch.expires_at),
            cancelling_at=None if batch.cancelling_at is None else int(batch.cancelling_at),
            request_counts=CountsJson(total=batch.total, completed=completed, failed=failed),
            metadata=dict(batch.metadata) or None,
            **at,
        )


def outcome_line(member: Member, endpoint: str, *, expired: bool, response: Mapping[str, Any] | None = None) -> tuple[bytes, bool]:
    """Write what came of a line.

    Args:
        member (Member): Its message, which has ended.
        endpoint (str): Of the batch.
        expired (bool): Why it was called off, if it was: its time was up, or nobody wanted it any more.
        response (Mapping[str, Any] | None): What a line for `/v1/responses` has got; None if it is deleted.

    Returns:
        tuple[bytes, bool]: A line of OpenAI's output, and whether it is an answer.
    """
    name = write(member.id)
    answered: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    if member.state is State.DONE and endpoint == "/v1/responses":
        answered = None if response is None else {"status_code": 200, "request_id": name, "body": response}
        error = _DELETED if response is None else None
    elif member.state is State.DONE:
        answered = {"status_code": 200, "request_id": name, "body": _whole(member.result or b"null", endpoint)}
    elif member.state is State.CANCELLED:
        error = _EXPIRED if expired else _CALLED_OFF
    else:
        facts = member.error or PerdureError(f"the message {name!r} failed").facts()
        answered = {"status_code": status_of(facts), "request_id": name, "body": error_body(facts)}
    said = {
        "id": f"batch_req_{name.removeprefix(PREFIX)}",
        "custom_id": member.metadata.get("custom_id", ""),
        "response": answered,
        "error": error,
    }
    return msgspec.json.encode(said) + b"\n", member.state is State.DONE and error is None


def _whole(result: bytes, endpoint: str) -> Any:
    """A whole answer of the endpoint; what an app's own `chat` says instead goes as it is."""
    answer = msgspec.json.decode(result)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        return Raw(result)
    return complete_text(answer, model="") if endpoint == "/v1/completions" else complete_answer(answer, model="")
