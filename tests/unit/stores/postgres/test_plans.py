"""Hot statements cost what they return, whatever lies behind it, and whatever was known when they were planned."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from perdure.stores.postgres.connection import Address, Connection, connect
from perdure.stores.postgres.flags import Flags
from perdure.stores.postgres.hot import _STATEMENTS, hot
from perdure.stores.postgres.store import PostgresStore

K = 100
BIG = {
    "ready",
    "message",
    "outcome",
    "later",
    "waiting",
    "lease",
    "step",
    "request",
    "change",
    "progress",
    "attempt",
    "expiry",
    "dedup",
    "bound",
    "fair",
    "held",
    "session",
    "grp",
}
CONSTANT = {"origin", "taken"}
FILL = """
INSERT INTO tenant (id, name) SELECT g, 't' || g FROM generate_series(1, 20) g;
INSERT INTO route (id, queue, agent, quarantine, patience_s) SELECT g, 'q' || g, 'a', 0, 1e6 FROM generate_series(1, 40) g;
INSERT INTO message (id, tenant, route, priority, attempts, created_at, max_wait_s, body)
SELECT g, 1 + g % 20, 1 + g % 4, g % 10, 5, 0, 1e6, '"x"' FROM generate_series(1, {n}) g;
INSERT INTO ready (route, priority, tag, id, tenant, since)
SELECT route, priority, id, id, tenant, 0 FROM message WHERE id <= {n} - 1000;
INSERT INTO progress (id, used) SELECT g, 1 FROM generate_series(1, {n}, 7) g;
INSERT INTO lease (id, token, worker, route, tenant, attempt, crashes, leased_at, started_at)
SELECT id, id, 1, route, tenant, 1, 0, 0, 0 FROM message WHERE id > {n} - 1000;
INSERT INTO step (message, number, scope, kind, name, fingerprint, n, tries, state, attempt, ambiguous, began_at, idempotent, diverged)
SELECT id, s, '', 'llm', 'ask', 'f', s, 1, 'intent', 1, 0, 0, 0, 0 FROM message, generate_series(1, 2) s WHERE id > {n} - 20000;
INSERT INTO bound (id, on_dead, cost) SELECT g, 'continue', 2 FROM generate_series(1, {n}, 11) g;
INSERT INTO fair (route, tenant, priority, again, last, cost) SELECT DISTINCT route, tenant, priority, 0, {n}, 1 FROM message;
INSERT INTO clock (priority, tag) SELECT g, 10 FROM generate_series(0, 9) g;
INSERT INTO dedup (tenant, key, id) SELECT tenant, 'k' || id, id FROM message WHERE id % 5 = 0;
INSERT INTO session (tenant, name, head, urgency) SELECT 2, 's' || g, g, 9 FROM generate_series(1, {n}, 3) g;
INSERT INTO held (id, route, tenant, priority, tag, since, session)
SELECT {n} + g, 1, 2, 9, g, 0, 1 + g / 5 FROM generate_series(1, {n}) g;
INSERT INTO grp (id, tenant, name, open, total, done, dead, cancelled, created_at)
SELECT g, 2, '', 1, 9, 0, 0, 0, 0 FROM generate_series(1, {n}, 3) g;
INSERT INTO worker (id, started_at, beat_at, epoch, quarantine, card) VALUES (1, 0, 0, 1, 0, '');
"""
Node = dict[str, Any]


@dataclass
class Plan:
    """What a statement did."""

    root: Node
    nodes: list[Node] = field(default_factory=list)

    @property
    def buffers(self) -> int:
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])

    def read(self) -> Iterator[tuple[str, float]]:
        """Tables and how many of their rows each node looked at, those thrown away included."""
        for node in self.nodes:
            table = node.get("Relation Name")
            if table in BIG and node["Node Type"] != "ModifyTable":
                seen = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
                yield table, seen * node["Actual Loops"]


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for below in node.get("Plans", ()):
        yield from nodes(below)


@dataclass
class Hand:
    """Executes hot statements as the store does, and looks at how."""

    connection: Connection
    n: int

    async def prepare(self, names: list[str]) -> None:
        for name in names:
            await self.connection.execute(f"PREPARE {name} AS {hot(name)}")
            asked = await self.connection.prepare(hot(name))
            empty = ", ".join("'{}'" if one.name.endswith("[]") else "NULL" for one in asked.get_parameters())
            await self.connection.fetch(f"EXPLAIN EXECUTE {name}({empty})")  # the generic plan is made here, and kept

    async def run(self, name: str, *given: str) -> Plan:
        [[text]] = await self.connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {name}({', '.join(given)})")
        [found] = json.loads(text)
        return Plan(found["Plan"], list(nodes(found["Plan"])))


def array(values: Any, kind: str = "bigint") -> str:
    return f"ARRAY[{', '.join('NULL' if value is None else str(value) for value in values)}]::{kind}[]"


def every(value: str, kind: str, n: int = K) -> str:
    return f"array_fill({value}::{kind}, ARRAY[{n}])"


MARKED = (
    "put_one",
    "put_ready",
    "put_plain",
    "put_keyed",
    "put_bound",
    "done_bound",
    "done_many",
    "leave_many",
    "begin_steps",
    "end_steps",
)
NAMES = [
    "put_one",
    "put_ready",
    "put_plain",
    "put_keyed",
    "keys_known",
    "lines_there",
    "put_bound",
    "reserve",
    "look",
    "take",
    "sweep",
    "done_many",
    "leave_many",
]
NAMES += ["begin_steps", "end_steps", "usages_of", "lines_next", "done_bound"]


async def filled(url: str, n: int, *, analysed_empty: bool) -> Hand:
    async with PostgresStore(url):
        pass
    connection = await connect(Address(url, "perdure", Flags(), 5.0))
    if analysed_empty:
        await connection.execute("ANALYZE")
    hand = Hand(connection, n)
    await hand.prepare(NAMES)
    await connection.execute(FILL.format(n=n))
    return hand


@pytest.fixture(params=["never-analysed", "analysed-while-empty"])
async def hand(request: pytest.FixtureRequest, empty_postgres_url: str) -> AsyncIterator[Hand]:
    hand = await filled(empty_postgres_url, 50_000, analysed_empty=request.param == "analysed-while-empty")
    yield hand
    await hand.connection.close()


@pytest.fixture
async def million(empty_postgres_url: str) -> AsyncIterator[Hand]:
    hand = await filled(empty_postgres_url, 1_000_000, analysed_empty=True)
    yield hand
    await hand.connection.close()


def looks(hand: Hand) -> dict[str, tuple[str, ...]]:
    """Each statement for a hundred messages, in an order in which one leaves the others what they need."""
    n, now = hand.n, f"{time.time()}"
    leased = array(range(n - 999, n - 999 + K))
    talking = array(range(n - 599, n - 599 + K))
    parked = array(range(n - 799, n - 799 + K))
    one = {"bigint": array([1]), "int": array([5], "int"), "float8": array([1e6], "float8")}
    puts = (now, one["bigint"], one["bigint"], one["int"], one["int"], one["float8"], array([2]))
    puts += (every("1", "int"), array(range(K)), every("'x'", "bytea"), *["'{}'"] * 4, every("'k'", "text"))
    keys = array([f"'new{at}'" for at in range(K)], "text")
    routes = array(range(1, 41))
    none, texts = every("0", "bigint", 40), every("NULL", "text")
    return {
        "put_one": (now, "1", "1", "5", "5", "NULL", "1e6", "NULL", "'x'", "2"),
        "put_ready": (*puts[:6], *puts[7:10], "'{}'", "'{}'"),
        "put_plain": puts,
        "put_keyed": (*puts, keys, array(range(K), "int")),
        "keys_known": (every("'t1'", "text"), array([f"'k{20 * at}'" for at in range(1, K + 1)], "text"), texts, every("NULL", "bytea")),
        "lines_there": (every("1", "bigint"), array([f"'s{at}'" for at in range(K)], "text")),
        "put_bound": (
            *puts, "'{}'", array(range(K), "int"), array([f"'s{at}'" for at in range(K)], "text"), texts, array([*range(1, 51)] * 2),
            every("NULL", "bytea"), array(range(50, K), "int"), array(range(1, 51)), every("2", "bigint", 50),
            every("NULL", "text", 50), every("NULL", "int", 50), every("1", "int", 50),
        ),
        "look": (routes, now, str(K), every("0", "bigint", 400), none, "1", "false", "0"),
        "take": (
            "1", now, str(1 << 40), *["'{}'"] * 4, array([1, 2]), array([0, 1], "int"), array([0, 0]), array([50, 50])
        ),
        "reserve": (array([1, 2]), array([1, 2]), array([0, 1], "int"), array([0, 0], "int"), *[array([0, 0])] * 2, array([9, 9])),
        "sweep": (array([1, 2, 3]), array([5, 6, 10], "int"), array([100, 100, 100])),
        "begin_steps": (
            now, leased, leased, every("3", "int"), texts.replace("NULL", "''"), every("'llm'", "text"), every("'ask'", "text"),
            every("'f'", "text"), every("3", "int"), every("'intent'", "text"), every("1", "int"), every("NULL", "float8"),
            every("0", "smallint"), texts, every("NULL", "bytea"), every("'r'", "bytea"),
            every("'p/m'", "text"), *["'{}'"] * 10,
        ),
        "end_steps": (
            now, leased, leased, every("1", "int"), every("'done'", "text"), every("'u'", "bytea"), every("NULL", "bytea"),
            every("'r'", "bytea"), *[every("1", "bigint")] * 5,
            array(range(1, K + 1)), *[every("'d'", "text")] * 5, *[every("1", "bigint")] * 10,
        ),
        "usages_of": (leased,),
        "done_many": (now, leased, leased, texts, every("'u'", "bytea"), every("'r'", "bytea")),
        "lines_next": (talking, talking, array([f"'s{at}'" for at in range(K)], "text")),
        "done_bound": (
            now, talking, talking, texts, every("'u'", "bytea"), every("'r'", "bytea"), every("NULL", "bigint"),
            array(range(1, K + 1)), array(range(n + 1, n + 1 + 5 * K, 5)), every("9", "int"), array(range(K)),
        ),
        "leave_many": (
            now, parked, parked, every("'retry'", "text"), every("'later'", "text"), every("'retried'", "text"), every("0", "int"),
            every("9e9", "float8"), every("'w'", "bytea"), every("false", "bool"), every("'code'", "text"), every("'e'", "bytea"),
            every("1", "int"), every("NULL", "bytea"), every("NULL", "float8"), every("1e6", "float8"),
        ),
    }  # fmt: skip


async def costs_what_it_returns(hand: Hand) -> None:
    for at, (name, given) in enumerate(looks(hand).items()):
        plan = await hand.run(name, *given, *([str(at)] if name in MARKED else []))
        for node in plan.nodes:
            if node["Node Type"] == "Seq Scan":
                assert node["Relation Name"] in CONSTANT, f"{name} reads all of {node['Relation Name']}"
        for table, rows in plan.read():
            assert rows <= 5 * K, f"{name} looks at {rows:.0f} rows of {table}"
        assert plan.buffers < 90 * K, f"{name} touches {plan.buffers} pages"


async def test_no_hot_statement_walks_the_backlog(hand: Hand) -> None:
    await costs_what_it_returns(hand)


@pytest.mark.slow
async def test_no_hot_statement_walks_a_backlog_of_a_million(million: Hand) -> None:
    await costs_what_it_returns(million)


def test_every_hot_statement_that_meets_large_tables_is_looked_at() -> None:
    seldom = {"strays", "know_route", "make_route", "know_route_by_id", "lower_patience", "know_tenant", "make_tenant", "know_tenant_by_id"}
    assert set(NAMES) | seldom | {"route_marks", "caps_now", "raise_clock", "groups_drawn", "pages_at_heads"} == set(_STATEMENTS)
