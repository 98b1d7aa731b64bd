"""A store in which every table that grows with the messages is filled, on either engine; and the shared statements of the hot path.

Written with SQL, since what is asked here is what a statement costs beside so much, not how it came to be there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["BIG", "HOT", "filling"]

_GROWING = """
ready message outcome later waiting held lease step request said body body_use change progress attempt edit audit
expiry dedup bound fair kept session signal mail child awaited awaits grp member run inbox memory
"""
BIG = frozenset(_GROWING.split())
"""They grow with the messages."""
_FILL = """
INSERT INTO tenant (id, name) SELECT g, 't' || g FROM {20};
INSERT INTO route (id, queue, agent, quarantine, patience_s) SELECT g, 'q' || g, 'a', 0, 1e6 FROM {4};
INSERT INTO message (id, tenant, route, priority, attempts, created_at, max_wait_s, body, dedup_key, session, parent, grp)
SELECT g, 1 + g % 20, 1 + g % 4, g % 10, 5, 0, 1e6, {data}, 'k' || g, 's' || g % 100, g / 2, g % 20 FROM {all};
INSERT INTO ready (route, priority, tag, id, tenant, since) SELECT route, priority, id, id, tenant, 0 FROM message WHERE id <= {n};
INSERT INTO later (id, route, tenant, at, wait) SELECT id, route, tenant, 1e9 + id, NULL FROM message WHERE id > {n} AND id <= 2 * {n};
INSERT INTO waiting (id, route, tenant, wait, until)
SELECT id, route, tenant, {data}, 1e9 + id FROM message WHERE id > 2 * {n} AND id <= 3 * {n};
INSERT INTO held (id, route, tenant, priority, tag, since, gate, session)
SELECT id, route, tenant, priority, id, 0, CASE WHEN id % 2 = 0 THEN 1 END, CASE WHEN id % 2 = 1 THEN 1 + id % 100 END
  FROM message WHERE id > 3 * {n} AND id <= 4 * {n};
INSERT INTO outcome (id, state, route, tenant, code, used, started_at, ended_at)
SELECT id, CASE id % 3 WHEN 0 THEN 'dead' ELSE 'done' END, route, tenant, CASE id % 3 WHEN 0 THEN 'c' END, 1, 0, 0
  FROM message WHERE id > 4 * {n} AND id <= 5 * {n};
INSERT INTO lease (id, token, worker, route, tenant, attempt, crashes, leased_at, started_at)
SELECT id, id, 1 + id % 10, route, tenant, 1, 0, 0, 0 FROM message WHERE id > 5 * {n};
INSERT INTO expiry (kind, at, id) SELECT 'deadline', 1e9 + id, id FROM message WHERE id <= {n};
INSERT INTO expiry (kind, at, id) SELECT 'patience', 1e9 + id, id FROM message WHERE id > {n} AND id <= 3 * {n};
INSERT INTO progress (id, used, crashes, results, revived) SELECT id, 1, 0, 0, 0 FROM message;
INSERT INTO attempt (message, n, kind, at, worker, error) SELECT id, 1, 'retry', 0, 1, {data} FROM message WHERE id > 4 * {n};
INSERT INTO dedup (tenant, key, id) SELECT tenant, dedup_key, id FROM message;
INSERT INTO bound (id, on_dead, cost) SELECT id, 'continue', 2 FROM message WHERE id % 3 = 0;
INSERT INTO session (id, tenant, name, head, urgency) SELECT g, 1, 's' || g, g, 0 FROM {100};
INSERT INTO cap (id, scope, name, at_once, swept, settled_at) VALUES (1, 'queue', 'q1', 5, NULL, 0);
INSERT INTO gate (id, cap, key, used, held, dirty) VALUES (1, 1, '', 5, {n} / 2, 0);
{fair}
INSERT INTO step (id, message, number, scope, kind, name, fingerprint, n, tries, state, attempt, ambiguous, began_at, idempotent, diverged)
SELECT id, id, 1, '', 'llm', 'ask', 'f', 1, 1, 'intent', 1, 0, 0, 0, 0 FROM message;
INSERT INTO request (step, data) SELECT id, {data} FROM message;
INSERT INTO signal (message, name, key, at, data) SELECT id, 'n', 'k' || id, 0, {data} FROM message WHERE id > 2 * {n} AND id <= 3 * {n};
INSERT INTO mail (message, sent, taken) SELECT id, 1, 0 FROM message WHERE id > 2 * {n} AND id <= 3 * {n};
INSERT INTO child (id, parent, depth) SELECT id, parent, 1 FROM message;
INSERT INTO awaits (child, parent, step) SELECT id, parent, 1 FROM message WHERE id <= {n};
INSERT INTO awaited (message, step, left_over) SELECT id, 1, 2 FROM message WHERE id <= {n};
INSERT INTO grp (id, tenant, name, open, total, done, dead, cancelled, created_at) SELECT g, 1, 'g', 0, 9, 0, 0, 0, 0 FROM {1000};
INSERT INTO member (grp, id) SELECT grp, id FROM message;
INSERT INTO worker (id, epoch, quarantine, card, started_at, beat_at) SELECT g, 1, 0, {data}, 0, 0 FROM {10};
"""
_DATA = ("X'22'", "'data'")
"""A few bytes, as each engine says that."""
_FAIR = (
    "INSERT INTO kept (what, a, b, c, d, n) SELECT DISTINCT 'fair', route, tenant, priority, 0, 9 FROM message;",
    "INSERT INTO fair (route, tenant, priority, again, last, cost) SELECT DISTINCT route, tenant, priority, 0, 9, 1 FROM message;",
)
"""The last tag of each tenant, where each engine keeps it."""
HOT: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "later_next": lambda n: (),
    "waiting_next": lambda n: (),
    "later_due": lambda n: (1e9 + n + 50.0, 50),
    "waiting_due": lambda n: (1e9 + 2 * n + 50.0, 50),
    "expiry_due": lambda n: ("deadline", 1e9 + 50.0, 50),
    "tend_look": lambda n: (1e6,),
    "sweep_bite": lambda n: (1, 0, 50),
    "lease_called_off": lambda n: (3,),
    "change_list": lambda n: (0, None, 50),
    "ready_routes": lambda n: (),
    "ready_oldest_since": lambda n: (1, 0),
    "ready_earliest_since": lambda n: (1,),
    "held_routes": lambda n: (1,),
    "held_head": lambda n: (1, 1),
    "held_occupied": lambda n: (1,),
    "gate_waited_for": lambda n: (1,),
    "session_next": lambda n: (2,),
    "session_most_urgent": lambda n: (2,),
    "signal_first": lambda n: (2 * n + 5, "n"),
    "signal_of_key": lambda n: (2 * n + 5, "n", f"k{2 * n + 5}"),
    "child_list": lambda n: (n,),
    "member_list": lambda n: (7, 0, 50),
    "state_get": lambda n: (n + 5,),
    "place_get": lambda n: (n + 5,),
    "progress_get": lambda n: (n + 5,),
    "view_message": lambda n: (n + 5,),
    "dedup_find": lambda n: (6, "k5"),
    "step_find": lambda n: (n + 5, 1),
    "step_usages": lambda n: (n + 5,),
    "step_list": lambda n: (n + 5, 0),
    "attempt_list": lambda n: (4 * n + 5,),
    "fair_bite": lambda n: (-1, -1, -1, -1, 50),
    "tidying_walk": lambda n: (0, 50),
    "tidying_look": lambda n: (1e6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "change_old": lambda n: (1e6, 50),
}
"""Statements of both engines that are asked all the time, by how they are asked beside so much; each reads fifty rows at most."""


def filling(n: int, series: Callable[[int], str], *, postgres: bool) -> str:
    """Say it in SQL: `n` messages in every place.

    Args:
        n (int): How many.
        series (Callable[[int], str]): The engine's way to count, as the column `g` of what stands behind FROM.
        postgres (bool): Whether it is for PostgreSQL.

    Returns:
        str: Several statements.
    """
    counted = {
        "{all}": series(5 * n + 100),
        "{n}": str(n),
        "{data}": _DATA[postgres],
        "{fair}": _FAIR[postgres],
    }
    return _replaced(_FILL, {**counted, **{f"{{{few}}}": series(few) for few in (4, 10, 20, 100, 1000)}})


def _replaced(text: str, values: dict[str, str]) -> str:
    for hole, value in values.items():
        text = text.replace(hole, value)
    return text
