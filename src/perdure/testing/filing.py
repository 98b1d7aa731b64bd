"""What a store promises of files: whole or unseen, each tenant's own, and gone bite by bite."""

from __future__ import annotations

import asyncio

import pytest

from perdure.errors.base import NotFound
from perdure.messages.files import ABANDONED_S, BITE, File, FileWish, NewFile
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.kit import Kit

__all__ = ["FileKit"]

_PIECES = (b"one\x00\xff", b"two\n", b"three")


def _new(id: str = "file-1", *, tenant: str = "default", purpose: str = "batch") -> NewFile:
    return NewFile(id=id, tenant=tenant, name="../lines \N{SNOWMAN}.jsonl", purpose=purpose)


async def _kept(
    store: Store, id: str = "file-1", *, tenant: str = "default", purpose: str = "batch", expires_s: float | None = None
) -> File:
    await store.files.begin(_new(id, tenant=tenant, purpose=purpose))
    for piece in _PIECES:
        await store.files.write(id, piece)
    return await store.files.finish(id, expires_s=expires_s)


async def _ids(store: Store, wish: FileWish) -> list[str]:
    return [one.id for one in (await store.files.list(wish)).files]


class FileKit(Kit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and your store of files is proved."""

    async def test_a_file_is_read_as_it_was_written(self, store: Store, clock: FakeClock) -> None:
        kept = await _kept(store)
        assert kept == await store.files.get("file-1", tenant="default") == await store.files.get("file-1", tenant=None)
        assert (kept.name, kept.purpose, kept.tenant) == ("../lines \N{SNOWMAN}.jsonl", "batch", "default")
        assert (kept.size_bytes, kept.pieces, kept.created_at, kept.expires_at) == (14, 3, clock.now(), None)
        assert [await store.files.read("file-1", number) for number in range(kept.pieces)] == list(_PIECES)
        with pytest.raises(NotFound):
            await store.files.read("file-1", 3)

    async def test_an_empty_file_is_one_and_its_purpose_may_be_said_last(self, store: Store) -> None:
        await store.files.begin(NewFile(id="file-1", tenant="default", name="empty"))
        kept = await store.files.finish("file-1", purpose="vision")
        assert (kept.size_bytes, kept.purpose) == (0, "vision")

    async def test_pieces_that_are_written_at_once_are_all_there(self, store: Store) -> None:
        await store.files.begin(_new())
        await asyncio.gather(*(store.files.write("file-1", bytes([n]) * 3) for n in range(8)))
        kept = await store.files.finish("file-1")
        assert {await store.files.read("file-1", number) for number in range(kept.pieces)} == {bytes([n]) * 3 for n in range(8)}

    async def test_nobody_sees_a_file_before_it_is_whole(self, store: Store) -> None:
        await store.files.begin(_new())
        await store.files.write("file-1", b"half")
        assert await _ids(store, FileWish()) == []
        for look in (store.files.get, store.files.delete):
            with pytest.raises(NotFound):
                await look("file-1", tenant=None)

    async def test_nothing_is_added_to_a_file_that_is_whole_or_given_up(self, store: Store) -> None:
        await _kept(store)
        await store.files.begin(_new("file-2"))
        await store.files.give_up("file-2")
        await store.files.give_up("file-1")  # it is whole: too late
        for id in ("file-1", "file-2", "file-3"):
            with pytest.raises(NotFound):
                await store.files.write(id, b"more")
            with pytest.raises(NotFound):
                await store.files.finish(id)
        assert await _ids(store, FileWish()) == ["file-1"]

    async def test_a_tenant_has_its_own_files_alone(self, store: Store) -> None:
        await _kept(store, "file-1", tenant="acme")
        await _kept(store, "file-2", tenant="other")
        assert await _ids(store, FileWish(tenant="acme")) == ["file-1"]
        assert sorted(await _ids(store, FileWish())) == ["file-1", "file-2"]
        for look in (store.files.get, store.files.delete):
            with pytest.raises(NotFound):
                await look("file-2", tenant="acme")
        with pytest.raises(NotFound):
            await store.files.list(FileWish(tenant="acme", after="file-2"))

    async def test_files_are_listed_by_age_in_pages_either_way(self, store: Store, clock: FakeClock) -> None:
        for n in range(5):
            await _kept(store, f"file-{n}", purpose="vision" if n == 3 else "batch")
            clock.pass_by(seconds=n % 2)  # some of them of one moment
        first = await store.files.list(FileWish(limit=2))
        assert ([one.id for one in first.files], first.more) == (["file-4", "file-3"], True)
        assert await _ids(store, FileWish(after="file-3")) == ["file-2", "file-1", "file-0"]
        assert await _ids(store, FileWish(newest_first=False, after="file-1", limit=2)) == ["file-2", "file-3"]
        assert await _ids(store, FileWish(purpose="vision")) == ["file-3"]
        assert not (await store.files.list(FileWish(limit=5))).more

    async def test_a_file_that_is_deleted_is_gone(self, store: Store) -> None:
        await _kept(store)
        await store.files.delete("file-1", tenant="default")
        with pytest.raises(NotFound):
            await store.files.get("file-1", tenant="default")
        with pytest.raises(NotFound):
            await store.files.delete("file-1", tenant="default")
        assert await _ids(store, FileWish()) == []

    async def test_a_file_expires_when_its_time_is_up(self, store: Store, clock: FakeClock) -> None:
        assert (await _kept(store, expires_s=100)).expires_at == clock.now() + 100
        clock.pass_by(seconds=99)
        assert await _ids(store, FileWish()) == ["file-1"]
        clock.pass_by(seconds=2)
        assert await _ids(store, FileWish()) == []
        with pytest.raises(NotFound):
            await store.files.get("file-1", tenant=None)
        with pytest.raises(NotFound):
            await store.files.delete("file-1", tenant=None)

    async def test_what_is_gone_is_forgotten_bite_by_bite_and_what_is_not_stays(self, store: Store, clock: FakeClock) -> None:
        await _kept(store, "kept")
        await _kept(store, "expired", expires_s=1)
        await store.files.begin(_new("abandoned"))
        await store.files.begin(_new("large"))
        for _ in range(BITE + 1):
            await store.files.write("large", b"x")
        await store.files.finish("large")
        await store.files.delete("large", tenant=None)
        clock.pass_by(seconds=ABANDONED_S - 1)
        await store.files.begin(_new("written"))
        clock.pass_by(seconds=2)
        bites = 0
        while await store.files.forget():
            bites += 1
            assert bites < 20
        assert not await store.files.forget()
        for gone in ("expired", "large", "abandoned"):
            with pytest.raises(NotFound):
                await store.files.read(gone, 0)
        with pytest.raises(NotFound):
            await store.files.write("abandoned", b"late")
        await store.files.write("written", b"in time")
        assert await store.files.read("kept", 0) == _PIECES[0]
