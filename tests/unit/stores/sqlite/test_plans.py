"""What a hot statement costs on SQLite, in steps of its machine, with every table filled: the same at a thousand as at a million."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from backlog import HOT, filling
from perdure.stores.sql.statements import statement
from perdure.stores.sqlite.store import SqliteStore

_FEW = 1000
_CHANGES = "INSERT INTO change (seq, id, state, at) SELECT id, id, 'ready', 0 FROM message"


def series(n: int) -> str:
    return f"(WITH RECURSIVE s (g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM s WHERE g < {n}) SELECT g FROM s)"


async def filled(path: Path, n: int) -> apsw.Connection:
    async with SqliteStore(path):
        pass
    file = apsw.Connection(str(path))
    file.execute(f"BEGIN; {filling(n, series, postgres=False)} {_CHANGES}; COMMIT")
    return file


def steps_of(file: apsw.Connection, name: str, n: int) -> int:
    """How many steps of SQLite's machine the statement takes."""
    seen: list[int] = []
    file.trace_v2(apsw.SQLITE_TRACE_PROFILE, lambda event: seen.append(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]))
    file.execute(statement(name), HOT[name](n)).fetchall()
    file.trace_v2(0, None)
    return seen[-1]


async def costs_the_same(tmp_path: Path, n: int) -> None:
    few, many = await filled(tmp_path / "few.db", _FEW), await filled(tmp_path / "many.db", n)
    cost = {name: (steps_of(few, name, _FEW), steps_of(many, name, n)) for name in HOT}
    few.close()
    many.close()
    assert {name: seen for name, seen in cost.items() if seen[1] > 1.2 * seen[0] + 20} == {}
    assert {name: seen for name, seen in cost.items() if seen[1] > 3000} == {}


async def test_no_hot_statement_costs_more_beside_a_backlog(tmp_path: Path) -> None:
    await costs_the_same(tmp_path, 10 * _FEW)


@pytest.mark.slow
async def test_no_hot_statement_costs_more_beside_a_million(tmp_path: Path) -> None:
    await costs_the_same(tmp_path, 200_000)
