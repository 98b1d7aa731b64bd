"""A file gives room back once much of it is free, a little at a time."""

from __future__ import annotations

from pathlib import Path

from perdure.messages.dead_letters import DeadFilter
from perdure.messages.retention import Keep
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock
from perdure.testing.letters import dead


async def test_a_file_that_is_mostly_free_becomes_smaller_in_bites(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "perdure.db", clock=FakeClock()) as store:
        await dead(store, 100, body=b'"' + b"x" * 100_000 + b'"')
        full = (await store.retention.sizes())["bytes"]
        await store.dead_letters.discard_all(DeadFilter(), limit=1000)
        store.retention.much_bytes = 100_000
        bites = 1
        while (await store.retention.tidy(Keep())).more:
            bites += 1
        sizes = await store.retention.sizes()

        assert full > 10_000_000
        assert bites > 3
        assert sizes["bytes"] < full / 10
        assert sizes["free_bytes"] <= 110_000


async def test_a_file_in_use_keeps_its_free_pages(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "perdure.db", clock=FakeClock()) as store:
        await dead(store, 50, body=b'"' + b"x" * 100_000 + b'"')
        await store.dead_letters.discard_all(DeadFilter(), limit=1000)
        before = await store.retention.sizes()

        assert not (await store.retention.tidy(Keep())).more
        assert await store.retention.sizes() == before
