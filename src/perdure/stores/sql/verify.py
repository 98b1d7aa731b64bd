"""Looking a whole store over: what must always be true of its rows, said as statements that find what is not.

A rule is a statement `verify_…` that returns what breaks it, and a sentence here. It reads everything, as
of one moment, and holds nobody up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from perdure.stores.sql.queues import statuses
from perdure.stores.sql.statements import Run, statement
from perdure.stores.upkeep import Fault

__all__ = ["RULES", "verify"]

_AT_MOST = 1000
_SHOWN = 10
RULES: Mapping[str, str] = {
    "verify_places": "messages that are in no place, or in more than one",
    "verify_strays": "places that hold a message which is not there",
    "verify_routes": "messages that lie with another tenant, queue or agent than their own",
    "verify_priorities": "ready messages with another priority than their own",
    "verify_held": "messages that are held by nothing, or by something that is not there",
    "verify_lines": "sessions whose head is not there, or has ended",
    "verify_sessions": "messages that are neither at the head of their session nor in its line",
    "verify_gates": "limits whose numbers are not what can be counted",
    "verify_tenants": "messages of a tenant that is not there",
    "verify_leases": "messages leased to a worker that does not live",
    "verify_dedup": "dedup keys that lead to a wrong message, or to none",
    "verify_deadlines": "messages whose deadline nobody would notice",
    "verify_steps": "steps of a message that is not there",
    "verify_requests": "requests of a step that is not there",
    "verify_logs": "attempts and progress of a message that is not there",
    "verify_edits": "edits of a message that is not there",
    "verify_numbers": "numbers above the last one drawn",
}
"""A statement, and what its rows are."""
_STATEMENTS = {rule: statement(rule) for rule in RULES}
_COUNTED = statement("verify_counted")


def verify(run: Run) -> list[Fault]:
    """Find what cannot be.

    Args:
        run (Run): Of a reader.

    Returns:
        list[Fault]: Empty if all is sound.
    """
    return [*_broken(run), *_miscounted(run)]


def _broken(run: Run) -> Iterator[Fault]:
    for rule, what in RULES.items():
        if found := run(_STATEMENTS[rule], (_AT_MOST,)).fetchall():
            yield Fault(check=rule.removeprefix("verify_"), what=what, n=len(found), examples=[str(row[0]) for row in found[:_SHOWN]])


def _miscounted(run: Run) -> Iterator[Fault]:
    counted = {(queue, state): n for queue, state, n in run(_COUNTED)}
    kept = {(queue.name, state): n for queue in statuses(run) for state, n in queue.counts.items()}
    wrong = [
        f"{queue} {state}: kept {kept.get((queue, state), 0)}, counted {counted.get((queue, state), 0)}"
        for queue, state in sorted(counted | kept)
        if kept.get((queue, state), 0) != counted.get((queue, state), 0)
    ]
    if wrong:
        yield Fault(check="counts", what="kept numbers of a queue that are not what is there", n=len(wrong), examples=wrong[:_SHOWN])
