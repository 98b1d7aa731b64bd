"""Errors as OpenAI writes them, and as everybody else does.

Reading is lenient: OpenAI nests (`{"error": {…}}`), DashScope's native API is flat, old vLLM is flat with
`"object": "error"`, Ollama sends a bare text, FastAPI calls it `detail`, proxies send pages.
Writing follows OpenAI exactly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from perdure.errors.base import Category, ErrorFacts, InputTooLarge, PerdureError

__all__ = ["ErrorSaid", "error_body", "error_in", "read_error", "status_of"]

_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s\Z")
_UPPER = re.compile(r"[A-Z][A-Z_]{2,60}\Z")

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    410: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}

_STATUS_BY_CODE = {
    "not-found": 404,
    "unknown-agent": 404,
    "unknown-model": 404,
    "conflict": 409,
    "dedup-conflict": 422,
    "call-under-way": 409,
    "not-yet-built": 422,
    "input-too-large": 413,
    "unauthenticated": 401,
    "forbidden": 403,
    "call-too-dear": 402,
    "run-ended": 410,
}

_STATUS_BY_CATEGORY = {
    Category.INPUT: 400,
    Category.RATE_LIMIT: 429,
    Category.BUDGET: 429,
    Category.CIRCUIT_OPEN: 503,
    Category.OVERLOADED: 503,
    Category.TIMEOUT: 504,
    Category.STORAGE: 503,
    Category.CONTEXT_LENGTH: 400,
    Category.CONTENT_FILTER: 400,
    Category.INVALID_REQUEST: 400,
    Category.MODEL_NOT_FOUND: 404,
    Category.BILLING: 402,
    Category.DEADLINE: 504,
    # A provider that refuses *our* key is our fault, not the caller's.
    Category.AUTH: 502,
    Category.PERMISSION: 502,
    Category.SERVER: 502,
    Category.NETWORK: 502,
    Category.STREAM_CUT: 502,
    Category.EMPTY: 502,
    Category.REFUSAL: 502,
    Category.INVALID_OUTPUT: 502,
}

_OPENAI_CODES = {
    "provider-context-length": "context_length_exceeded",
    "provider-rate-limited": "rate_limit_exceeded",
    "provider-model-not-found": "model_not_found",
    "unknown-model": "model_not_found",
    "provider-content-filter": "content_policy_violation",
    "unauthenticated": "invalid_api_key",
}


class ErrorSaid(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider said went wrong, whatever the shape."""

    message: str = ""
    code: str | None = None
    type: str | None = None
    param: str | None = None
    request_id: str | None = None
    status: int | None = None
    """A status inside the body, where the HTTP one says nothing."""
    known_shape: bool = False
    """False for pages, empty bodies and JSON that is no error."""
    wait_s: float | None = None
    """When to ask again, where the body says it in a field of its own."""

    @property
    def codes(self) -> tuple[str, ...]:
        """Its code and its type, as far as they are given."""
        return tuple(word for word in (self.code, self.type) if word)


def error_body(error: PerdureError | ErrorFacts, *, param: str | None = None) -> dict[str, Any]:
    """Write an error for a client of `/v1`.

    Args:
        error (PerdureError | ErrorFacts): What went wrong.
        param (str | None): Which field of the request is to blame.

    Returns:
        dict[str, Any]: `{"error": {"message", "type", "param", "code"}}`.
    """
    kind = _TYPES.get(status_of(error), "server_error")
    message = error.message if error.hint is None else f"{error.message}. {error.hint}"
    code = _OPENAI_CODES.get(error.code, error.code.replace("-", "_"))
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def status_of(error: PerdureError | ErrorFacts) -> int:
    """Say with which HTTP status a door answers an error.

    Args:
        error (PerdureError | ErrorFacts): What went wrong.

    Returns:
        int: 4xx where the caller can change something, 5xx otherwise.
    """
    if isinstance(error, InputTooLarge):
        return 413
    return _STATUS_BY_CODE.get(error.code) or _STATUS_BY_CATEGORY.get(error.category, 500)


def read_error(raw: bytes) -> ErrorSaid:
    """Read the body of a failed answer.

    Args:
        raw (bytes): As it came, perhaps no JSON at all.

    Returns:
        ErrorSaid: What it says; for a page or garbage the beginning of its text.
    """
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return ErrorSaid(message=_text(raw.decode("utf-8", "replace")))
    said = error_in(found)
    return said or ErrorSaid(message=_text(raw.decode("utf-8", "replace")))


def error_in(body: Any) -> ErrorSaid | None:
    """Find the error in a decoded body, also in one that came with HTTP 200.

    Args:
        body (Any): Decoded JSON.

    Returns:
        ErrorSaid | None: None if it is not an error.
    """
    if isinstance(body, list) and len(body) == 1:  # so does Gemini
        body = body[0]
    if not isinstance(body, Mapping):
        return None
    inner = body.get("error")
    if isinstance(inner, str) and inner:
        return ErrorSaid(message=_text(inner), request_id=_word(body.get("request_id")), known_shape=True)
    if isinstance(inner, Mapping):
        code, wait_s = _exact(inner.get("details"))
        return _said({"request_id": body.get("request_id"), **inner, **({"code": code} if code else {})}, wait_s)
    if body.get("object") == "error" or ("code" in body and "message" in body and "choices" not in body):
        return _said(body)
    detail = body.get("detail")
    if detail and "choices" not in body:
        return ErrorSaid(message=_text(detail if isinstance(detail, str) else str(detail)), known_shape=True)
    return None


def _said(fields: Mapping[str, Any], wait_s: float | None = None) -> ErrorSaid:
    code = _word(fields.get("code"))
    status = next((int(word) for word in (_word(fields.get("status")), code) if word and word.isdigit() and 400 <= int(word) < 600), None)
    return ErrorSaid(
        message=_text(fields.get("message") or ""),
        code=None if code is not None and code.isdigit() else code,
        type=_word(fields.get("type")) or _kind(fields.get("status")),
        param=_word(fields.get("param")),
        request_id=_word(fields.get("request_id") or fields.get("id")),
        status=status,
        known_shape=True,
        wait_s=wait_s,
    )


def _kind(status: Any) -> str | None:
    """Google's word for what others call the type: `RESOURCE_EXHAUSTED`."""
    return status if isinstance(status, str) and _UPPER.match(status) else None


def _exact(details: Any) -> tuple[str | None, float | None]:
    """What is said more exactly in `details`: Anthropic's code, Google's `retryDelay`."""
    if isinstance(details, Mapping):
        return _word(details.get("error_code")), None
    rows = [row for row in details if isinstance(row, Mapping)] if isinstance(details, list) else []
    found = next((_DELAY.match(str(row["retryDelay"])) for row in rows if row.get("retryDelay")), None)
    return None, float(found[1]) if found else None


def _word(value: Any) -> str | None:
    return str(value)[:200] if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _text(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 2000 else text[:2000] + "…"
