"""Says why an answer of a provider is judged as it is: which rule fits, what fits nearly, and what follows."""

from __future__ import annotations

import msgspec

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts
from perdure.errors.recovery import Recovery, recovery
from perdure.errors.unmapped import UNMAPPED
from perdure.providers.errors import Whence, judge, kind_by_status, rule_for, status_in
from perdure.providers.own_rules import PREFIX
from perdure.providers.rule import Rule
from perdure.providers.rules import rules_for, table_of
from perdure.wire.errors import ErrorSaid

__all__ = ["Explanation", "NearRule", "explain"]

_NEAR = 5


class NearRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was not taken."""

    rule: str
    becomes: str
    missed: list[str]
    """The conditions that did not hold; none for one that fits too, but comes later."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer means, and why."""

    said: ErrorSaid
    status: int | None
    """The one that counts."""
    dialect: str | None
    rule: str
    """`unmapped` where none fits."""
    table: str
    """Where it stands, with the version of that table; `settings` for a rule of one's own, `status` for none."""
    because: list[str]
    near: list[NearRule]
    error: ErrorFacts
    next: Recovery


def explain(said: ErrorSaid, whence: Whence, now: Moment) -> Explanation:
    """Judge an answer, and say why.

    Args:
        said (ErrorSaid): What its body says.
        whence (Whence): Who answered, with which status and headers.
        now (Moment): When.

    Returns:
        Explanation: The same judgement that a call would have met.
    """
    status = status_in(said, whence)
    rule = rule_for(said, status, whence)
    facts = judge(said, whence, now, dice=lambda: 0.0).facts()
    return Explanation(
        said=said,
        status=status,
        dialect=whence.dialect,
        rule=UNMAPPED if rule is None else rule.id,
        table=_table(rule),
        because=_because(rule, said, status),
        near=_near(rule, said, status, whence),
        error=facts,
        next=recovery(facts),
    )


def _table(rule: Rule | None) -> str:
    if rule is None:
        return "status"
    if rule.id.startswith(PREFIX):
        return "settings"
    table = table_of(rule.id)
    return "settings" if table is None else f"{table.name} {table.version}"


def _because(rule: Rule | None, said: ErrorSaid, status: int | None) -> list[str]:
    if rule is None:
        what = "an error without a status" if status is None else f"status {status}"
        return [f"no rule fits; {what} most likely means {kind_by_status(status).category.value}"]
    reasons = []
    if rule.status and status is not None:
        reasons.append(f"the status is {status}")
    if rule.code is not None:
        reasons.append(f"its code or type, {' or '.join(map(repr, dict.fromkeys(said.codes)))}, fits {_written(rule.code)!r}")
    if rule.message is not None:
        reasons.append(f"its text holds {_written(rule.message)!r}")
    if rule.bare:
        reasons.append("its body is no error of a known shape, so something in between has answered")
    return reasons


def _near(taken: Rule | None, said: ErrorSaid, status: int | None, whence: Whence) -> list[NearRule]:
    """Those that fit too, then those whose code or text fits and of which one thing alone does not."""
    others = [rule for rule in (*whence.rules, *rules_for(whence.dialect)) if rule is not taken]
    missed = [(rule, rule.misses(said, status)) for rule in others]
    close = sorted((found for found in missed if _is_near(*found)), key=lambda found: len(found[1]))
    return [NearRule(rule=rule.id, becomes=rule.error.category.value, missed=list(why)) for rule, why in close[:_NEAR]]


def _is_near(rule: Rule, missed: tuple[str, ...]) -> bool:
    held = {"code": rule.code is not None, "message": rule.message is not None}
    return not missed or (len(missed) == 1 and any(there and name not in missed for name, there in held.items()))


def _written(expression: object) -> str:
    return expression if isinstance(expression, str) else str(getattr(expression, "pattern", expression))
