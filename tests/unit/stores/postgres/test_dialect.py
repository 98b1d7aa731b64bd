"""Every statement of the shared logic is one that PostgreSQL understands, and finds its rows by an index."""

from __future__ import annotations

import asyncpg
import pytest

from perdure.stores.postgres.connection import Address, connect
from perdure.stores.postgres.dialect import OWN_NAMES, own, paging_of, text_of
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql.statements import NAMES, Statement, statement

SQLITES_OWN = {
    "fair_drop",
    "fair_get",
    "kept_set",
    "kept_set_three",
    "changes_add",
    "leases_add",
    "leases_drop",
    "leases_held",
    "messages_at_once",
    "outcomes_add",
    "ready_heads",
    "ready_take_many",
    "sequence_get",
    "sequence_set",
    "verify_numbers",
}
"""What PostgreSQL never executes: its numbers lie elsewhere."""


def test_marks_become_numbers() -> None:
    assert text_of(Statement("x", "SELECT ? + ? FROM t WHERE a = ?")).text == "SELECT $1 + $2 FROM t WHERE a = $3"
    assert text_of(Statement("x", "SELECT ?2, ?1, ?2")).text == "SELECT $2, $1, $2"


def test_words_of_sqlite_become_postgresqls() -> None:
    said = (
        "SELECT ifnull(a, 0) FROM t INDEXED BY t_a WHERE a IS ?1 AND b IS NOT NULL AND c IS NULL"
        " AND id IN (SELECT value FROM json_each(?2))"
    )
    assert text_of(Statement("x", said)).text == (
        "SELECT coalesce(a, 0) FROM t WHERE a IS NOT DISTINCT FROM $1 AND b IS NOT NULL AND c IS NULL"
        " AND id IN (SELECT jsonb_array_elements_text($2::text::jsonb)::bigint)"
    )
    said = "INSERT OR IGNORE INTO t (a) VALUES (?)"
    assert text_of(Statement("x", said)).text == "INSERT INTO t (a) VALUES ($1) ON CONFLICT DO NOTHING"


@pytest.mark.parametrize(
    ("text", "reads", "returns"),
    [
        ("SELECT 1", True, False),
        ("DELETE FROM t", False, False),
        ("DELETE FROM t\nRETURNING a", False, True),
        ("WITH RECURSIVE r AS (SELECT 1) SELECT 1", True, False),
    ],
)
def test_a_statement_that_changes_something_is_known(text: str, reads: bool, returns: bool) -> None:
    found = text_of(Statement("x", text))
    assert (found.reads, found.returns) == (reads, returns)


@pytest.fixture
async def connection(store: PostgresStore, address: Address) -> asyncpg.Connection:
    connection = await connect(address)
    yield connection
    await connection.close()


async def test_postgresql_understands_every_statement(connection: asyncpg.Connection) -> None:
    for name in sorted(NAMES - SQLITES_OWN | OWN_NAMES):
        said = statement(name) if name in NAMES else own(name)
        paging = paging_of(said)
        try:
            await connection.prepare(text_of(said).text if paging is None else paging.text)
        except asyncpg.PostgresError as error:
            pytest.fail(f"{name}: {error}")
