"""Keep a store in PostgreSQL as this version writes it: `PYTHONPATH=src:tests python tests/released/keep_postgres.py`.

As `keep.py` does it for a file: `postgres/<schema>.sql` by pg_dump, and beside it what the store said. Use the oldest
server there is (`SUITE_POSTGRES`): newer ones read what it writes down.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import asyncpg

from perdure.stores.postgres.migrate import LATEST
from perdure.stores.postgres.store import PostgresStore
from perdure.testing import FakeClock
from released.keep import facts, live
from servers.shared import Shared, shared

FOLDER = Path(__file__).parent / "postgres"


async def lived(url: str, name: str) -> None:
    """Let it live, and write down what it says."""
    clock = FakeClock()
    async with PostgresStore(url, clock=clock) as store:
        await live(store, clock)
        said = await facts(store)
    connection = await asyncpg.connect(url)
    tables = [row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'perdure'")]
    empty = [table for table in tables if not await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM perdure.{table})")]
    await connection.close()
    print(f"no rows in {sorted(empty)}: let something happen to those that are not emptied as a matter of course")
    (FOLDER / f"{name}.json").write_text(json.dumps({"now": clock.now(), **said}, indent=1, ensure_ascii=False) + "\n", "utf-8")


def written(server: Shared, url: str) -> str:
    """Write its schema down as text that makes it again, with nothing in it that only psql or one version understands."""
    how = ["--inserts", "--no-owner", "--no-privileges", "--no-comments", "--schema=perdure", f"--dbname={url}"]
    text = subprocess.run([server.programs / "pg_dump", *how], capture_output=True, check=True, text=True).stdout
    lines = [line for line in text.splitlines() if line and not line.startswith(("--", "\\", "SET "))]
    return "\n".join(["SET check_function_bodies = false;", *lines, ""])


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    name = f"{LATEST:04}"
    if (FOLDER / f"{name}.sql").exists():
        print(f"{name}.sql is there: what has been released does not change. Remove it yourself if that was never released.")
        return 1
    with shared() as server:
        database = server.create()
        asyncio.run(lived(server.url(database), name))
        (FOLDER / f"{name}.sql").write_text(written(server, server.url(database)), "utf-8")
        server.drop(database)
    return 0


if __name__ == "__main__":
    sys.exit(main())
