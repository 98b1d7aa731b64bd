"""From what a provider answered to one of our errors, with the five facts that decide what follows.

Nothing here knows a provider: the knowledge is the table in `rules.py`. An answer that no rule fits is
judged by its status alone and carries the rule `unmapped`, so that it can be counted and a rule written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from perdure.clock import Moment, chance
from perdure.errors.base import (
    AccountError,
    Billed,
    Evidence,
    InvalidRequest,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    ServerFailed,
)
from perdure.errors.unmapped import UNMAPPED
from perdure.providers.retry_after import moment_in, next_month, retry_moment
from perdure.providers.rule import Rule
from perdure.providers.rules import BY_STATUS, rules_for
from perdure.wire.errors import ErrorSaid

__all__ = ["UNMAPPED", "Whence", "judge", "kind_by_status", "rule_for", "status_in"]

_DEFAULT_WAIT_S = 20.0
_LONGEST_SIGN = 200
_LONGEST_SAID = 2000
_HTTP_STATUS = re.compile(r"HTTP_STATUS/(\d{3})")
_SECRETS = re.compile(r"\b(sk-|pdr_|Bearer )[\w*\-]{6,}")


class Whence(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer came from and how."""

    provider: str
    dialect: str | None = None
    model: str | None = None
    status: int | None = None
    headers: Mapping[str, str] = {}
    request_id: str | None = None
    secret: str | None = None
    """Our key: taken out of whatever is repeated."""
    partly: bool = False
    """A part of the answer had come already."""
    rules: tuple[Rule, ...] = ()
    """The user's own rules, tried first."""

    def clean(self, text: str) -> str:
        """Take our key, and what looks like one, out of what is repeated.

        Args:
            text (str): As the provider said it.

        Returns:
            str: The same without keys.
        """
        if self.secret:
            text = text.replace(self.secret, "***")
        return _SECRETS.sub(r"\1***", text)

    def sign(self, text: str | None) -> str | None:
        """Keep a code or an id, which anybody in between may have written.

        Args:
            text (str | None): As it was said.

        Returns:
            str | None: Without keys, and short.
        """
        return None if text is None else self.clean(text)[:_LONGEST_SIGN]


def judge(said: ErrorSaid, whence: Whence, now: Moment, *, dice: Callable[[], float] = chance) -> ProviderError:
    """Make our error of a provider's.

    Args:
        said (ErrorSaid): What its body says.
        whence (Whence): Who answered, with which status and headers.
        now (Moment): When.
        dice (Callable[[], float]): Spreads a default wait, so that many do not come back at once.

    Returns:
        ProviderError: To be raised by the caller.
    """
    status = status_in(said, whence)
    rule = rule_for(said, status, whence)
    kind = rule.error if rule is not None else kind_by_status(status)
    return kind(
        _sentence(said, whence, status),
        hint=_hint(rule, kind, status, said),
        retryable=_retryable(rule, kind, whence),
        retry_at=_when(rule, kind, said, whence, now) or _otherwise(rule, kind, now, dice),
        scope=None if rule is None else rule.scope,
        billed=_billed(rule, kind, said, status, whence),
        evidence=Evidence(
            status=status,
            provider=whence.provider,
            model=whence.model,
            provider_code=whence.sign(said.code or said.type),
            request_id=whence.sign(said.request_id or whence.request_id),
            rule=UNMAPPED if rule is None else rule.id,
            said=None if rule is not None else whence.clean(_again(said))[:_LONGEST_SAID],
        ),
    )


def rule_for(said: ErrorSaid, status: int | None, whence: Whence) -> Rule | None:
    """Find the rule that decides.

    Args:
        said (ErrorSaid): What the body says.
        status (int | None): With which status.
        whence (Whence): Who said it.

    Returns:
        Rule | None: None if there is none: the status alone has to do.
    """
    return next((rule for rule in (*whence.rules, *rules_for(whence.dialect)) if rule.fits(said, status)), None)


def status_in(said: ErrorSaid, whence: Whence) -> int | None:
    """Find the status that counts: a 200 says nothing about an error in its body, so the one inside does then.

    Args:
        said (ErrorSaid): What the body says.
        whence (Whence): With which status it came.

    Returns:
        int | None: None if there is none.
    """
    if whence.status is not None and whence.status >= 300:
        return whence.status
    hidden = _HTTP_STATUS.search(said.message)
    return said.status or (int(hidden[1]) if hidden else None)


def kind_by_status(status: int | None) -> type[ProviderError]:
    """Judge by the status alone.

    Args:
        status (int | None): It, if there is one.

    Returns:
        type[ProviderError]: What it most likely means.
    """
    if status is None:
        return ServerFailed
    return BY_STATUS.get(status) or (InvalidRequest if status < 500 else ServerFailed)


def _sentence(said: ErrorSaid, whence: Whence, status: int | None) -> str:
    text = whence.clean(said.message or "no reason given")
    signs = ", ".join(str(sign) for sign in (status and f"HTTP {status}", whence.sign(said.code or said.type)) if sign)
    return f"{whence.provider!r} answered {signs or 'an error'}: {text}"


def _again(said: ErrorSaid) -> str:
    """The answer as it may be given to `perdure errors explain`."""
    if not said.known_shape:
        return said.message
    body = {name: value for name in ("message", "type", "code", "param") if (value := getattr(said, name)) is not None}
    return msgspec.json.encode({"error": body}).decode()


def _hint(rule: Rule | None, kind: type[ProviderError], status: int | None, said: ErrorSaid) -> str | None:
    if rule is not None and rule.hint is not None:
        return rule.hint
    if status is not None and 300 <= status < 400:
        return "Is `base_url` right? It redirects, and a key is not sent on to another place."
    if status in {404, 405} and not said.known_shape:
        return "Is `base_url` right? It usually ends in `/v1`."
    return "Check the key and the account of this provider." if issubclass(kind, AccountError) else None


def _retryable(rule: Rule | None, kind: type[ProviderError], whence: Whence) -> bool | None:
    """The header `x-should-retry` is obeyed, but cannot turn a wait into a failure."""
    if rule is not None and rule.retryable is not None:
        return rule.retryable
    wish = {name.lower(): value for name, value in whence.headers.items()}.get("x-should-retry")
    if wish not in {"true", "false"} or issubclass(kind, RateLimited | AccountError):
        return None
    return wish == "true"


def _when(rule: Rule | None, kind: type[ProviderError], said: ErrorSaid, whence: Whence, now: Moment) -> Moment | None:
    """What the provider says, in its headers or its words; an account heeds no header, what is permanent nothing."""
    account = issubclass(kind, AccountError)
    if not account:
        if not _may_come_again(rule, kind, whence):
            return None
        moment = retry_moment(whence.headers, now)
        if moment is not None or said.wait_s is not None:
            return moment or now + (said.wait_s or 0.0)
    return moment_in(said.message, now)


def _otherwise(rule: Rule | None, kind: type[ProviderError], now: Moment, dice: Callable[[], float]) -> Moment | None:
    """What the rule says, where the provider says nothing."""
    if rule is not None and rule.until is not None:
        return next_month(now)
    wait = rule.wait_s if rule is not None else None
    if wait is None and issubclass(kind, RateLimited):
        wait = _DEFAULT_WAIT_S
    return None if wait is None else now + wait * (1 + 0.2 * dice())


def _may_come_again(rule: Rule | None, kind: type[ProviderError], whence: Whence) -> bool:
    wish = _retryable(rule, kind, whence)
    return kind.default_retryable if wish is None else wish


def _billed(rule: Rule | None, kind: type[ProviderError], said: ErrorSaid, status: int | None, whence: Whence) -> Billed | None:
    if whence.partly:
        return Billed.PARTIAL
    if rule is not None and rule.billed is not None:
        return rule.billed
    refused_at_the_door = issubclass(kind, RateLimited | AccountError | Overloaded)
    from_between = not said.known_shape and status in {200, 502, 503, 504}
    if issubclass(kind, ProviderTimeout) or (from_between and not refused_at_the_door):
        return Billed.MAYBE
    return None
