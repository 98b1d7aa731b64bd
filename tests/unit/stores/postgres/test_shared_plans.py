"""What the statements that both engines share cost on PostgreSQL, with every table filled."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from backlog import BIG, HOT, filling
from perdure.stores.postgres.connection import Address, Connection, connect
from perdure.stores.postgres.dialect import OWN_NAMES, own, paging_of, text_of
from perdure.stores.postgres.flags import Flags
from perdure.stores.sql.statements import NAMES, Statement, statement

_FEW, _ROWS, _PAGES = 1000, 600, 600
_CHANGES = "INSERT INTO change (seq, id, route, at, state) SELECT id, id, route, 0, 'ready' FROM message"
_READ_ALL = re.compile("^verify_")
_SELDOM = {"gates_ready", "gates_held"}
"""Once an hour, over what limits hold."""
_WHOLE = {
    "sweep_leased": "lease", "gates_leased": "lease", "list_leased": "lease", "lease_take_all": "lease",
    "worker_shown": "lease", "inbox_there": "inbox",
}  # fmt: skip
"""Read whole, on purpose: never more rows than workers have slots; or no more than the first."""
Node = dict[str, Any]


def series(n: int) -> str:
    return f"generate_series(1, {n}) AS s (g)"


async def filled(url: str, n: int) -> Connection:
    connection = await connect(Address(url, "perdure", Flags(), 5.0))
    await connection.execute(f"{filling(n, series, postgres=True)} {_CHANGES}")
    return connection


@pytest.fixture
async def few(postgres_url: str) -> AsyncIterator[Connection]:
    connection = await filled(postgres_url, _FEW)
    yield connection
    await connection.close()


@pytest.fixture
async def million(postgres_url: str) -> AsyncIterator[Connection]:
    connection = await filled(postgres_url, 200_000)
    yield connection
    await connection.close()


def scans(node: Node, *, first: bool = False) -> Iterator[tuple[Node, bool]]:
    """All scans of a plan, and whether no more of each is read than its first rows."""
    first = first or node["Node Type"] == "Limit"
    if "Relation Name" in node and "Scan" in node["Node Type"]:
        yield node, first
    for below in node.get("Plans", ()):
        yield from scans(below, first=first)


def text(said: Statement) -> str:
    paging = paging_of(said)
    return text_of(said).text if paging is None else paging.text


async def test_no_shared_statement_walks_a_table_that_grows(few: Connection) -> None:
    walks, foreign = [], set()
    for name in sorted(NAMES | OWN_NAMES):
        asked = text(own(name) if name in OWN_NAMES else statement(name))
        if _READ_ALL.match(name) or name in _SELDOM or re.match(r"\s*(DROP|EXPLAIN)", asked):
            continue
        try:
            prepared = await few.prepare(asked)
        except asyncpg.PostgresError:
            foreign.add(name)
            continue
        given = ", ".join("'{}'" if one.name.endswith("[]") else "NULL" for one in prepared.get_parameters())
        await few.execute(f"PREPARE asked AS {asked}")
        [[plan]] = await few.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE asked{f'({given})' if given else ''}")
        await few.execute("DEALLOCATE asked")
        for scan, first in scans(json.loads(plan)[0]["Plan"]):
            table, bounded = scan["Relation Name"], "Index Cond" in scan or "TID Cond" in scan
            if table in BIG and not bounded and not first and _WHOLE.get(name) != table:
                walks.append((name, table, scan["Node Type"]))
    assert walks == []
    assert len(foreign) < 20, foreign  # SQLite's own: in its dialect, or of tables that only it has


async def costs_what_it_returns(connection: Connection, n: int) -> None:
    dear = {}
    for name, given_of in HOT.items():
        said = statement(name)
        given = (*given_of(n), 1 << 62) if text_of(said).reaches else given_of(n)
        if name == "tend_look":  # here it begins at a moment
            given = (*given, 0.0)
        [[plan]] = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text(said)}", *given)
        root = json.loads(plan)[0]["Plan"]
        pages = root["Shared Hit Blocks"] + root["Shared Read Blocks"]
        rows = [
            (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"]
            for scan, _ in scans(root)
            if scan["Relation Name"] in BIG
        ]
        if pages > _PAGES or max(rows, default=0) > _ROWS:
            dear[name] = (pages, rows)
    assert dear == {}


async def test_no_shared_hot_statement_reads_the_backlog(few: Connection) -> None:
    await costs_what_it_returns(few, _FEW)


@pytest.mark.slow
async def test_no_shared_hot_statement_reads_a_backlog_of_a_million(million: Connection) -> None:
    await costs_what_it_returns(million, 200_000)
