"""What a key allows: scopes, and whose messages.

A scope is `resource:action`. `resource:*` allows every action on a resource, `*` everything. A key
belongs to a tenant and sees nothing of any other; a key of tenant `*` is an operator's and sees all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

OPERATOR = "*"
"""The tenant of a key that sees all tenants."""

SCOPES: Mapping[str, str] = {
    "messages:read": "see messages, their results and attempts",
    "messages:write": "put and cancel messages",
    "dead-letters:read": "see dead letters",
    "dead-letters:write": "edit, revive and discard dead letters",
    "errors:read": "see patterns among errors (operators)",
    "steps:read": "see what a run did, with prompts and answers",
    "steps:decide": "say what became of a call whose outcome is unknown",
    "runs:fork": "let a run go on anew from one of its steps; approvals recorded before it count, also for another body",
    "runs:import": "bring runs from elsewhere; what their journals say is taken at its word",
    "queues:read": "see queues and their counts (operators)",
    "queues:write": "pause and resume queues (operators)",
    "schedules:read": "see schedules",
    "schedules:write": "put, pause, run and remove schedules",
    "audit:read": "see who did what (operators)",
    "usage:read": "see what was used and what it cost",
    "budgets:read": "see budgets (operators)",
    "budgets:write": "set budgets (operators)",
    "keys:read": "see keys, never the keys themselves",
    "keys:write": "make and revoke keys",
    "chat:write": "ask a model directly",
    "models:read": "see which models there are",
    "files:read": "see files, and what is in them",
    "files:write": "hand in and delete files",
    "batches:read": "see batches, and how far they are",
    "batches:write": "order batches, and call them off",
    "agents:read": "see which agents there are, with their schemas",
    "workers:read": "see who works here (operators)",
    "metrics:read": "read the metrics (operators)",
    "changes:read": "follow what happens to messages",
}

PROGRAM_SCOPES = (
    "messages:read",
    "messages:write",
    "dead-letters:read",
    "steps:read",
    "chat:write",
    "models:read",
    "files:read",
    "files:write",
    "batches:read",
    "batches:write",
    "agents:read",
    "changes:read",
)
"""What a program needs that puts messages, waits for their results and asks models."""

__all__ = ["OPERATOR", "PROGRAM_SCOPES", "SCOPES", "allows", "covers", "scope_problems", "tenant_of"]


def allows(scopes: Iterable[str], needed: str) -> bool:
    """Tell whether some scopes allow something.

    Args:
        scopes (Iterable[str]): What a key has.
        needed (str): `resource:action`.

    Returns:
        bool: True if one of them is it, or a wildcard of it.
    """
    resource, _, _ = needed.partition(":")
    return not {needed, f"{resource}:*", "*"}.isdisjoint(scopes)


def covers(scopes: Iterable[str], others: Iterable[str]) -> bool:
    """Tell whether some scopes allow all that others allow; nobody hands out more than they have.

    Args:
        scopes (Iterable[str]): What a key has.
        others (Iterable[str]): What another one is to have.

    Returns:
        bool: True if nothing in `others` goes beyond `scopes`.
    """
    mine = set(scopes)
    return all(allows(mine, meant) for other in others for meant in _spelled_out(other))


def tenant_of(tenant: str) -> str | None:
    """Say to whose messages a key of a tenant is held, in the words of a store.

    Args:
        tenant (str): The key's tenant.

    Returns:
        str | None: The tenant; None for an operator, who is held to none.
    """
    return None if tenant == OPERATOR else tenant


def scope_problems(scopes: Sequence[str]) -> list[str]:
    """Find scopes that do not exist.

    Args:
        scopes (Sequence[str]): As somebody wrote them.

    Returns:
        list[str]: One line for each, with the nearest that does exist.
    """
    known = [*SCOPES, *sorted({f"{scope.partition(':')[0]}:*" for scope in SCOPES}), "*"]
    problems = []
    for scope in scopes:
        if scope not in known:
            near = difflib.get_close_matches(scope, known, n=1)
            problems.append(f"there is no scope {scope!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return problems


def _spelled_out(scope: str) -> list[str]:
    if scope == "*":
        return ["*"]
    resource, _, action = scope.partition(":")
    return [scope] if action != "*" else [known for known in SCOPES if known.startswith(f"{resource}:")]
