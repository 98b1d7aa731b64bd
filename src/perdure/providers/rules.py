"""What providers' errors mean, as data: the first rule that fits decides.

A rule fits by status, by code (the error's `code` or `type`) and by message. Rules of a dialect are tried
first where that dialect is spoken; elsewhere they are tried too, since a gateway passes codes through -
but not those marked `only`, whose code means something else at others (`insufficient_quota` is an empty
purse at OpenAI and a busy minute at DashScope). What a good many say in the same words comes last.
"""

from __future__ import annotations

from functools import cache

from perdure.errors.base import (
    AuthenticationFailed,
    Billed,
    BillingRefused,
    ContentFiltered,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PermissionRefused,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Refused,
    ServerFailed,
)
from perdure.providers.rule import Rule, Table
from perdure.providers.rules_hosted import FIT, HOSTED, PAY, PULL
from perdure.providers.rules_local import LOCAL

__all__ = ["BY_STATUS", "TABLES", "rules_for", "table_of"]

_COMMON = (
    Rule("quota", BillingRefused, status=(402, 403, 429), code="insufficient_quota|insufficient_balance|quota_exceeded", hint=PAY),
    Rule("content", ContentFiltered, status=(400, 403), code=r"content_filter|ResponsibleAIPolicyViolation|moderation\w*"),
    Rule("refusal", Refused, code="refusal"),
    Rule(
        "context",
        ContextTooLong,
        status=(400, 413),
        message=r"context (length|window|size).{0,80}(exceed|too|larger|longer|maximum)|maximum context|prompt is too long",
        hint=FIT,
    ),
    Rule(
        "model",
        ModelNotFound,
        status=(400, 404),
        message=r"\bmodel\b.{0,200}(not found|does not exist|not exist|unknown)|(unknown|no such) model",
        hint=PULL,
    ),
    Rule("server", ServerFailed, status=(500,), code="server_error|internal_error|internal_server_error"),
    Rule(
        "request",
        InvalidRequest,
        status=(400, 422),
        code="invalid_request_error|invalid_parameter_error|InvalidParameter(\\..*)?|bad_request|BadRequestError|INVALID_ARGUMENT",
    ),
    # A page or nothing, from something in between: nobody knows whether the request had been passed on.
    Rule("page-busy", Overloaded, status=(503, 529), bare=True),
    Rule("page-late", ProviderTimeout, status=(504,), bare=True),
    Rule("page-broken", ServerFailed, status=(500, 502, 520, 521, 522, 523, 524), bare=True, billed=Billed.MAYBE),
)

TABLES: tuple[Table, ...] = (*HOSTED, *LOCAL, Table("any", 2, _COMMON))
"""Every rule there is, by provider."""

BY_STATUS: dict[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    402: BillingRefused,
    403: PermissionRefused,
    408: ProviderTimeout,
    409: ServerFailed,
    425: ServerFailed,
    429: RateLimited,
    499: ServerFailed,
    501: InvalidRequest,
    503: Overloaded,
    504: ProviderTimeout,
    529: Overloaded,
}
"""For what no rule fits; other 4xx are the request's fault, other 5xx the server's."""


@cache
def rules_for(dialect: str | None) -> tuple[Rule, ...]:
    """Say in which order rules are tried.

    Args:
        dialect (str | None): Who speaks, if that is known.

    Returns:
        tuple[Rule, ...]: The speaker's own first.
    """
    rules = [rule for table in TABLES for rule in table.rules]
    own = [rule for rule in rules if dialect in rule.dialects]
    return (*own, *(rule for rule in rules if dialect not in rule.dialects and not rule.only))


@cache
def table_of(rule: str) -> Table | None:
    """Find where a rule stands.

    Args:
        rule (str): Its id.

    Returns:
        Table | None: None if it is not one of ours.
    """
    return next((table for table in TABLES if any(one.id == rule for one in table.rules)), None)
