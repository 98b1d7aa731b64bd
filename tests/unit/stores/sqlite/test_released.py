"""What a released version wrote is read by this one, and means the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.stores.sqlite.migrate import LATEST
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock
from perdure.testing.given import alive, put, take
from released.keep import FOLDER, facts, part_of

RELEASED = sorted(FOLDER.glob("*.sql"))


@pytest.fixture(params=RELEASED, ids=lambda file: file.stem)
def released(request: pytest.FixtureRequest, path: Path) -> Path:
    """A file as that version left it."""
    made = apsw.Connection(str(path))
    made.execute(request.param.read_text("utf-8"))
    assert made.pragma("user_version") == int(request.param.stem)
    made.close()
    return Path(request.param)


@pytest.fixture
def said(released: Path) -> dict[str, Any]:
    """What that version said of it."""
    known: dict[str, Any] = json.loads(released.with_suffix(".json").read_text("utf-8"))
    return known


async def test_all_that_was_known_of_every_message_is_still_known(said: dict[str, Any], path: Path) -> None:
    clock = FakeClock(said.pop("now"))
    async with SqliteStore(path, clock=clock) as store:
        now = await facts(store)

    assert part_of(said, now) == said


async def test_it_has_the_newest_schema_and_is_sound(released: Path, path: Path) -> None:
    async with SqliteStore(path):
        pass

    upgraded = apsw.Connection(str(path))
    assert upgraded.pragma("user_version") == LATEST
    assert upgraded.pragma("integrity_check") == "ok"
    upgraded.close()


async def test_work_goes_on_where_it_was(said: dict[str, Any], path: Path) -> None:
    clock = FakeClock(said["now"])
    async with SqliteStore(path, clock=clock) as store:
        clock.pass_by(seconds=4000)
        await store.workers.reap()
        await store.messages.tend()
        new = await put(store)
        taken = await take(store, await alive(store, "mail", "other"), limit=100)

        assert new in {lease.message.id for lease in taken}
        assert len(taken) > 5
        for lease in taken:
            await store.messages.done(lease, b"null")
