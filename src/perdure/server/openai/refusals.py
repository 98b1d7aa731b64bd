"""Errors on `/v1`, as OpenAI writes them."""

from __future__ import annotations

import math

import msgspec

from perdure.clock import Moment
from perdure.errors.base import (
    AccountError,
    BudgetReached,
    Conflict,
    ErrorFacts,
    InvalidInput,
    PerdureError,
    ProviderError,
    WrongMediaType,
    WrongMethod,
)
from perdure.security.secrets import redact
from perdure.server.answer import Answer, json_answer
from perdure.server.refusals import headers_for
from perdure.wire.errors import error_body, status_of
from perdure.wire.requests import param_of

__all__ = ["OpenAIError", "refuse", "said", "without_secrets"]


class ErrorBody(msgspec.Struct, kw_only=True):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(msgspec.Struct, kw_only=True):
    """An error in OpenAI's shape."""

    error: ErrorBody


def refuse(error: PerdureError, request_id: str, now: Moment) -> Answer:  # noqa: ARG001 - the frame sends it as a header
    """Make an answer of an error.

    Args:
        error (PerdureError): What went wrong.
        request_id (str): By which the log finds the request; not in the body on this wire.
        now (Moment): The time, for `Retry-After`.

    Returns:
        Answer: In OpenAI's shape, without secrets.
    """
    status = 415 if isinstance(error, WrongMediaType) else 405 if isinstance(error, WrongMethod) else status_of(error)
    headers = headers_for(error, status, now)
    if error.retry_at is not None and status in (429, 503):
        headers += (("retry-after-ms", str(max(1, math.ceil((error.retry_at - now) * 1000)))),)
    if isinstance(error, ProviderError | BudgetReached):
        # OpenAI's clients would otherwise try an account that needs a person again and again.
        again = error.retryable and not isinstance(error, AccountError | BudgetReached)
        headers += (("x-should-retry", "true" if again else "false"),)
    elif isinstance(error, Conflict):
        headers += (("x-should-retry", "true" if error.retryable else "false"),)  # or else the clients ask again whatever it is
    return json_answer(said(error), status, headers=headers)


def without_secrets(error: PerdureError) -> ErrorFacts:
    """Say of an error what a caller may know.

    Args:
        error (PerdureError): What went wrong.

    Returns:
        ErrorFacts: Its facts.
    """
    facts: ErrorFacts = error.facts()
    return msgspec.structs.replace(facts, message=redact(facts.message), hint=facts.hint and redact(facts.hint))


def said(error: PerdureError) -> dict[str, object]:
    """Write an error as OpenAI does.

    Args:
        error (PerdureError): What went wrong.

    Returns:
        dict[str, object]: `{"error": …}`, without secrets.
    """
    return error_body(without_secrets(error), param=param_of(error) if isinstance(error, InvalidInput) else None)
