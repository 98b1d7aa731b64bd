"""What a statement costs must not depend on the backlog: each is answered from an index, in its order."""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import pytest

from perdure.errors.base import Category, ErrorFacts
from perdure.messages.message import State
from perdure.messages.store import Filter
from perdure.stores.sql import statements
from perdure.stores.sql.listing import RANGES, page
from perdure.stores.sql.statements import NAMES, statement
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock
from perdure.testing.given import alive, message, put, take

SMALL = {
    "route",
    "queue",
    "lane",
    "worker",
    "worker_agent",
    "agent",
    "counter",
    "api_key",
    "lease",
    "sequence",
    "occupied",
    "json_each",
    "schedule",
    "error_line",
    "error_hour",
    "pause",
    "lane_book",
    "provider_health",
    "measure",
    "lane_spent",
    "tidying",
    "cap",
    "budget",
    "spent",
    "chore",
    "waited_for",
    "waiting_on",
    "before_it",
    "oldest",
    "pragma_page_count",
    "pragma_page_size",
    "pragma_freelist_count",
}
"""Tables that do not grow with the messages."""
HOURLY = {"gates_ready", "gate_numbers"}
"""Made once an hour, over what limits hold and no more."""


def plan(file: apsw.Connection, sql: str) -> list[str]:
    holes = max([sql.count("?"), *(int(number) for number in re.findall(r"\?(\d+)", sql))])
    numbered = re.search(r"\?\d", sql) is not None
    given = (None,) * (max(int(number) for number in re.findall(r"\?(\d+)", sql)) if numbered else holes)
    return [row[3] for row in file.execute("EXPLAIN QUERY PLAN " + sql, given)]


@pytest.mark.parametrize("name", sorted(name for name in NAMES if not name.startswith("verify_")))  # those read all, on purpose
def test_no_statement_walks_a_table_that_grows(file: apsw.Connection, name: str) -> None:
    aliases = {alias: table for table, alias in re.findall(r"\b(?:FROM|JOIN)\s+(\w+)\s+(\w)\b", statement(name))}

    for line in plan(file, statement(name)):
        scanned = re.match(r"SCAN (\w+)(.*)", line)
        if scanned is None or "CONSTANT ROW" in line or "VALUES CLAUSE" in line:
            continue
        table = aliases.get(scanned[1], scanned[1])
        bounded = "LIMIT" in statement(name) or name in {"later_next", "waiting_next", "list_all", "tend_look"}
        limited = name in HOURLY or "gate_dirty" in line
        assert table in SMALL or (bounded and table in {"change", "message", "later", "waiting", "audit"}) or limited, line


@pytest.mark.parametrize(
    "name",
    [
        *RANGES,
        "ready_most_urgent",
        "ready_earliest",
        "ready_oldest_since",
        "later_due",
        "waiting_due",
        "member_list",
        "child_list",
        "signal_first",
        "expiry_due",
        "sweep_bite",
        "ready_head_tag",
        "ready_earliest_since",
        "session_next",
        "held_head",
        "sweep_ready",
        "sweep_ready_of",
        "ready_limited",
        "fair_bite",
    ],
)
def test_nothing_is_sorted_that_is_read_only_in_part(file: apsw.Connection, name: str) -> None:
    assert not [line for line in plan(file, statement(name)) if "TEMP B-TREE" in line]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("ready_most_urgent", "PRIMARY KEY (route=?)"),
        ("ready_earliest", "ready_by_route (route=?)"),
        ("list_ready_of", "ready_by_tenant (tenant=? AND route=? AND id<?)"),
        ("list_ended", "outcome_by_route (state=? AND route=? AND id<?)"),
        ("list_ended_of", "outcome_by_tenant (state=? AND tenant=? AND route=? AND id<?)"),
        ("list_dead_code_of", "dead_by_tenant (code=? AND tenant=? AND route=? AND id<?)"),
        ("ready_routes", "ready_by_route (route>?)"),
        ("step_usages", "step_of (message=?)"),
        ("ready_leave", "ready_by_route (route=? AND id=?)"),
        ("later_due", "later_due (at<?)"),
        ("waiting_due", "waiting_due (until<?)"),
        ("waiting_next", "waiting_due"),
        ("tend_look", "waiting_due (until<?)"),
        ("signal_first", "signal_to_take (message=? AND name=? AND step=?)"),
        ("signal_of_key", "signal_of_key (message=? AND name=? AND key=?)"),
        ("child_list", "child_of (parent=?)"),
        ("member_list", "PRIMARY KEY (grp=? AND id>?)"),
        ("step_find", "step_of (message=? AND number=?)"),
        ("step_before", "step_of (message=? AND number=?)"),
        ("ready_head_tag", "PRIMARY KEY (route=? AND priority=?)"),
        ("fair_get", "PRIMARY KEY (what=? AND a=? AND b=? AND c=? AND d=?)"),
        ("fair_bite", "PRIMARY KEY (what=? AND (a,b,c,d)>(?,?,?,?))"),
        ("session_find", "session_of (tenant=? AND name=?)"),
        ("session_next", "held_session (session=?)"),
        ("session_most_urgent", "held_urgency (session=?)"),
        ("held_routes", "held_line (gate=? AND route>?)"),
        ("held_head", "held_line (gate=? AND route=?)"),
        ("held_position", "held_session (session=? AND tag<?)"),
        ("list_session", "message_by_session (session=? AND id<?)"),
        ("list_held_of", "held_by_tenant (tenant=? AND route=? AND id<?)"),
        ("sweep_ready_of", "ready_by_tenant (tenant=? AND route=? AND id>?)"),
        ("ready_get", "ready_by_route (route=? AND id=?)"),
        ("ready_limited", "ready_limited (route=? AND id>?)"),
        ("gate_dirty", "gate_dirty"),
        ("ready_take_many", "ready_by_route (route=? AND id=?)"),
        ("ready_heads", "PRIMARY KEY (route=?)"),
        ("leases_held", "l USING INTEGER PRIMARY KEY (rowid=?)"),
        ("leases_drop", "lease USING INTEGER PRIMARY KEY (rowid=?)"),
        ("outcomes_add", "l USING INTEGER PRIMARY KEY (rowid=?)"),
        ("messages_at_once", "m USING INTEGER PRIMARY KEY (rowid=?)"),
    ],
)
def test_the_index_made_for_it_is_used(file: apsw.Connection, name: str, index: str) -> None:
    assert index in " ".join(plan(file, statement(name)))


@pytest.mark.parametrize("name", sorted(RANGES.keys() - {"list_all", "list_leased", "list_session"}))
def test_a_range_is_one_stretch_of_an_index(file: apsw.Connection, name: str) -> None:
    [line] = plan(file, statement(name))

    assert "route=? AND id<?)" in line
    assert "COVERING INDEX" in line


def test_every_statement_is_used_and_stands_once() -> None:
    package = Path(statements.__file__).parent.parent
    code = "\n".join(path.read_text() for path in package.glob("*/*.py"))
    fstrings = {
        "worker": ("add", "end", "shown", "forget"),
        "memory": ("read", "write", "drop", "clear", "stats"),
        "key": ("add", "find", "by_id", "set", "list"),
        "lease": ("check", "claim"),
        "book": ("get", "add", "set", "list"),
        "health": ("list", "take", "set", "get", "forget"),
        "call": ("get", "add", "begin", "renew", "record", "free", "drop"),
        "response": ("add", "get", "drop"),
        "file": ("due", "gone", "forget", "drop"),
        "batch": ("add", "get", "list", "cancel", "due", "look", "take", "keep"),
        "measure": ("known", "series", "add", "list"),
    }
    made = {f"{noun}_{verb}" for noun, verbs in fstrings.items() for verb in verbs} | {
        f"{n}_add" for n in ("ready", "later", "waiting", "outcome")
    }

    assert {name for name in NAMES if f'"{name}"' not in code} <= made


def steps_of(file: apsw.Connection, filter: Filter, clock: FakeClock) -> int:
    """How many instructions of SQLite's machine a page takes."""
    count = 0

    def tick() -> bool:
        nonlocal count
        count += 1
        return False

    file.set_progress_handler(tick, 1)
    page(file.execute, filter, 5, None, clock.now())
    file.set_progress_handler(None, 1)
    return count


FILTERS = [
    Filter(),
    Filter(tenant="rare"),
    *(Filter(state=state) for state in State),
    *(Filter(state=state, tenant="rare") for state in State),
    Filter(state=State.DEAD, code="other"),
    Filter(code="other", tenant="rare"),
    Filter(queue="rare"),
    Filter(agent="rare", state=State.READY),
    Filter(queue="rare", tenant="rare", state=State.DONE),
]


async def fill(store: SqliteStore, clock: FakeClock, n: int, tenant: str) -> None:
    """So many of a tenant's messages in every place that messages can lie in."""
    worker = await alive(store)
    await store.messages.put([message(tenant=tenant) for _ in range(5 * n)])
    await store.messages.put([message(tenant=tenant, due_at=clock.now() + 100) for _ in range(n)])
    leases = [lease for _ in range(4) for lease in await take(store, worker, n)]
    for place, lease in enumerate(leases):
        if place % 4 == 0:
            await store.messages.done(lease, b"1")
        elif place % 4 == 1:
            await store.messages.bury(lease, ErrorFacts(code="usual", category=Category.AGENT, message="x"))
        elif place % 4 == 2:
            await store.messages.cancel((await store.messages.put([message(tenant=tenant)]))[0].id)
        await store.messages.tend()


async def test_a_page_costs_what_it_returns_whatever_the_backlog(store: SqliteStore, file: apsw.Connection, clock: FakeClock) -> None:
    await put(store, tenant="rare", queue="rare", agent="rare")
    await fill(store, clock, 6, "rare")
    before = [steps_of(file, chosen, clock) for chosen in FILTERS]

    await fill(store, clock, 60, "common")
    afterwards = [steps_of(file, chosen, clock) for chosen in FILTERS]

    grown = {repr(chosen): (few, many) for chosen, few, many in zip(FILTERS, before, afterwards, strict=True) if many > 2 * few + 200}
    assert grown == {}
