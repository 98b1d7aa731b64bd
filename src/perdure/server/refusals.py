"""Errors on `/api/v1`: RFC 9457 problems."""

from __future__ import annotations

import math

import msgspec

from perdure.clock import Moment
from perdure.errors.base import (
    Conflict,
    DedupConflict,
    Forbidden,
    InputError,
    InputTooLarge,
    Malformed,
    NotFound,
    PerdureError,
    StoreBusy,
    StoreError,
    Unauthenticated,
    WrongMediaType,
    WrongMethod,
)
from perdure.security.secrets import redact
from perdure.server.answer import PROBLEM, Answer, json_answer

STATUS: tuple[tuple[type[PerdureError], int], ...] = (
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (WrongMethod, 405),
    (DedupConflict, 422),
    (Conflict, 409),
    (InputTooLarge, 413),
    (WrongMediaType, 415),
    (Malformed, 400),
    (InputError, 422),
    (StoreError, 503),
)
"""The first row whose class fits decides; anything else is 500."""

_TITLES = {
    400: "Malformed request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Wrong media type",
    422: "Cannot be done as asked",
    500: "Internal error",
    503: "Storage does not answer",
}

__all__ = ["STATUS", "Problem", "headers_for", "problem", "status_of"]


class Problem(msgspec.Struct, kw_only=True):
    """What went wrong, as RFC 9457 has it, with a code to match on and a hint to read."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str | None = None
    request_id: str
    errors: list[str] = []
    """One line for each single thing that is wrong, with its place."""


def status_of(error: PerdureError) -> int:
    """Say with which status `/api/v1` answers an error.

    Args:
        error (PerdureError): What went wrong.

    Returns:
        int: 4xx where the caller can change something, 5xx otherwise.
    """
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def problem(error: PerdureError, *, request_id: str, now: Moment) -> Answer:
    """Make an answer of an error.

    Args:
        error (PerdureError): What went wrong.
        request_id (str): By which the log finds the request.
        now (Moment): The time, for `Retry-After`.

    Returns:
        Answer: An RFC 9457 problem without secrets.
    """
    status = status_of(error)
    said = Problem(
        type=f"urn:perdure:error:{error.code}",
        title=_TITLES.get(status, "Error"),
        status=status,
        detail=redact(error.message),
        code=error.code,
        hint=error.hint and redact(error.hint),
        request_id=request_id,
        errors=[redact(line) for line in getattr(error, "problems", [])],
    )
    return json_answer(said, status, media_type=PROBLEM, headers=headers_for(error, status, now))


def headers_for(error: PerdureError, status: int, now: Moment) -> tuple[tuple[str, str], ...]:
    """Say what else a refusal tells its caller's HTTP client.

    Args:
        error (PerdureError): What went wrong.
        status (int): The status it is answered with.
        now (Moment): The time.

    Returns:
        tuple[tuple[str, str], ...]: `WWW-Authenticate`, `Retry-After` and `Connection`, where they belong.
    """
    headers: list[tuple[str, str]] = []
    if status == 401:
        headers.append(("www-authenticate", 'Bearer realm="perdure"'))
    if status == 413:
        headers.append(("connection", "close"))
    if error.retry_at is not None and status in (429, 503):
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_at - now)))))
    elif status == 503:
        headers.append(("retry-after", "1" if isinstance(error, StoreBusy) else "5"))
    return tuple(headers)
