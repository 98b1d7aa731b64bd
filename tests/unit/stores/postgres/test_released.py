"""What an earlier version wrote into PostgreSQL is read by this one, and means the same.

`0007` is from before messages took turns: of its steps the second is still to be made, as it was where the versions of
two branches had met, and the rows of its backlog get their tags by it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from perdure.errors.base import ConfigError
from perdure.stores.postgres import copies
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.postgres.upkeep import PostgresUpkeep
from perdure.testing import FakeClock
from perdure.testing.given import alive, put, take
from released.keep import facts, part_of
from released.keep_postgres import FOLDER
from servers.shared import Shared

RELEASED = sorted(FOLDER.glob("*.sql"))


@pytest.fixture(autouse=True)
def programs(postgres: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump and pg_restore of the server's own version."""
    monkeypatch.setenv("PATH", f"{postgres.programs}:{os.environ['PATH']}")


@pytest.fixture(params=RELEASED, ids=lambda file: file.stem)
async def released(request: pytest.FixtureRequest, empty_postgres_url: str) -> Path:
    """A database as that version left it."""
    made = await asyncpg.connect(empty_postgres_url)
    try:
        await made.execute(request.param.read_text("utf-8"))
    finally:
        await made.close()
    return Path(request.param)


@pytest.fixture
def said(released: Path) -> dict[str, Any]:
    """What that version said of it."""
    known: dict[str, Any] = json.loads(released.with_suffix(".json").read_text("utf-8"))
    return known


@pytest.fixture
def upkeep(released: Path, empty_postgres_url: str, tmp_path: Path) -> PostgresUpkeep:
    return PostgresUpkeep(empty_postgres_url, folder=tmp_path / "data")


async def test_all_that_was_known_of_every_message_is_still_known(said: dict[str, Any], empty_postgres_url: str) -> None:
    clock = FakeClock(said.pop("now"))
    async with PostgresStore(empty_postgres_url, clock=clock) as store:
        now = await facts(store)

    assert part_of(said, now) == said


async def test_work_goes_on_where_it_was(said: dict[str, Any], empty_postgres_url: str) -> None:
    clock = FakeClock(said["now"])
    async with PostgresStore(empty_postgres_url, clock=clock) as store:
        clock.pass_by(seconds=4000)  # more than an hour: its chores are done as well
        await store.workers.reap()
        await store.messages.tend()
        new = await put(store)
        taken = await take(store, await alive(store, "mail", "other"), limit=100)

        assert new in {lease.message.id for lease in taken}
        assert len(taken) > 5
        for lease in taken:
            await store.messages.done(lease, b"null")


async def test_after_an_upgrade_it_is_sound_and_what_was_before_is_kept(upkeep: PostgresUpkeep, said: dict[str, Any]) -> None:
    steps = await upkeep.pending()

    done = await upkeep.upgrade()

    assert done.applied == steps
    assert await upkeep.pending() == []
    assert await upkeep.verify() == []
    assert (done.backup is not None) == bool(steps)
    if done.backup:  # and the way back is open
        await upkeep.restore(Path(done.backup))
        assert await upkeep.pending() == steps


async def test_without_pg_dump_nothing_is_upgraded_unless_one_says_so(upkeep: PostgresUpkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = await upkeep.pending()
    if not steps:
        return
    monkeypatch.setattr(copies.shutil, "which", lambda program: None)

    with pytest.raises(ConfigError, match="'pg_dump' is not installed") as refused:
        await upkeep.upgrade()

    assert "--no-backup" in str(refused.value.hint)
    assert await upkeep.pending() == steps
    done = await upkeep.upgrade(backup=False)
    assert (done.applied, done.backup) == (steps, None)
