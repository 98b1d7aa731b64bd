"""An error the server told of, as the same error here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from perdure.client.answers import ErrorJson
from perdure.clock import Moment, now
from perdure.errors.base import Billed, Category, ErrorFacts, Evidence, InvalidInput, PerdureError, Scope, ServerUnreachable, ToolFailed
from perdure.errors.report import error_from

__all__ = ["error_of_answer", "error_of_message"]

_CODES = {400: "invalid-input", 401: "unauthenticated", 403: "forbidden", 404: "not-found", 409: "conflict", 413: "input-too-large"}


def error_of_answer(status: int, body: bytes, *, url: str, retry_after: str | None = None) -> PerdureError:
    """Read an answer that is an error.

    Args:
        status (int): Of HTTP, 300 or more.
        body (bytes): A problem (RFC 9457), an error as OpenAI writes it, or anything.
        url (str): Who answered, for the message.
        retry_after (str | None): The header of that name.

    Returns:
        PerdureError: Of the class that the code names, with its hint.
    """
    told = _object(body)
    inner = told.get("error")
    problem: dict[str, Any] = inner if isinstance(inner, dict) else told
    message = problem.get("detail") or problem.get("message") or problem.get("title")
    if not isinstance(message, str) or not ("code" in problem or "type" in problem):
        return ServerUnreachable(
            f"{url} answered {status}, but not as Perdure does", hint="Check the address: PERDURE_URL, or --url.", retryable=False
        )
    code = problem.get("code") or _CODES.get(status, "internal-error")
    request_id = problem.get("request_id")
    facts = ErrorFacts(
        code=str(code),
        category=Category.STORAGE if status == 503 else Category.INTERNAL if status >= 500 else Category.INPUT,
        message=message,
        hint=problem.get("hint"),
        retryable=status == 503,
        retry_at=_after(retry_after),
        evidence=Evidence(status=status, request_id=request_id if isinstance(request_id, str) else None),
    )
    error = _raisable(facts)
    if isinstance(error, InvalidInput):
        error.problems = [_line(one) for one in problem.get("errors") or []]
    return error


def error_of_message(error: ErrorJson) -> PerdureError:
    """Read the error a message died of.

    Args:
        error (ErrorJson): As the message has it.

    Returns:
        PerdureError: Of the class that its code names.
    """
    facts = ErrorFacts(
        code=error["code"],
        category=Category(error["category"]) if error["category"] in set(Category) else Category.INTERNAL,
        message=error["message"],
        hint=error.get("hint"),
        retryable=bool(error.get("retryable")),
        retry_at=_moment(error.get("retry_at")),
        scope=Scope(error["scope"]) if error.get("scope") in set(Scope) else Scope.REQUEST,
        billed=Billed(error["billed"]) if error.get("billed") in set(Billed) else Billed.NO,
        evidence=msgspec.convert(error.get("evidence") or {}, Evidence),
        causes=list(error.get("causes") or []),
    )
    return _raisable(facts)


def _raisable(facts: ErrorFacts) -> PerdureError:
    error = error_from(facts)
    if isinstance(error, PerdureError) and (facts.code == error.code or not isinstance(error, ToolFailed)):
        return error
    return PerdureError(f"{facts.message} ({facts.code})", hint=facts.hint, retryable=facts.retryable, evidence=facts.evidence)


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _line(problem: Any) -> str:
    if not isinstance(problem, dict):
        return str(problem)
    where = problem.get("path") or problem.get("pointer") or problem.get("param")
    said = str(problem.get("message") or problem.get("detail") or problem)
    return f"{where}: {said}" if where else said


def _after(header: str | None) -> Moment | None:
    return now() + float(header) if header and header.isdecimal() else None


def _moment(text: str | None) -> Moment | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()
