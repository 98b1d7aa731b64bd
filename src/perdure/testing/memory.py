"""The kit that proves a store's memory: by tenant and space, and committed with its step or not at all (SEMANTICS 13)."""

from __future__ import annotations

import pytest

from perdure.agents.journal import MemoryWrite, StepKind
from perdure.errors.base import Conflict, LeaseLost
from perdure.stores.store import Store
from perdure.testing.given import intent, runs
from perdure.testing.kit import Kit

__all__ = ["MemoryKit"]


class MemoryKit(Kit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and your memory is proved."""

    async def test_nothing_is_remembered_at_first(self, store: Store) -> None:
        assert await store.memory.read("t", "notes", "k") is None
        assert dict(await store.memory.stats("t", "notes")) == {"entries": 0, "size_bytes": 0}

    async def test_what_was_written_last_is_read(self, store: Store) -> None:
        for value in (b"1", b'"two"', b"null"):
            await store.memory.write("t", "notes", "k", value)
            assert await store.memory.read("t", "notes", "k") == value

    async def test_tenants_and_spaces_are_strangers(self, store: Store) -> None:
        places = [("one", "notes"), ("two", "notes"), ("one", "other")]
        for tenant, space in places:
            await store.memory.write(tenant, space, "k", f'"{tenant} {space}"'.encode())
        await store.memory.clear("two", "notes")
        values = [await store.memory.read(tenant, space, "k") for tenant, space in places]
        assert values == [b'"one notes"', None, b'"one other"']

    async def test_one_thing_is_forgotten_alone(self, store: Store) -> None:
        for key in ("a", "b"):
            await store.memory.write("t", "notes", key, b"1")
        await store.memory.clear("t", "notes", "a")
        assert [await store.memory.read("t", "notes", key) for key in ("a", "b")] == [None, b"1"]

    async def test_forgetting_what_was_never_known_is_no_error(self, store: Store) -> None:
        await store.memory.clear("t", "notes", "k")
        await store.memory.clear("t", "notes")

    async def test_how_much_is_kept_is_told(self, store: Store) -> None:
        await store.memory.write("t", "notes", "a", b"12345")
        await store.memory.write("t", "notes", "b", b"123")
        await store.memory.write("t", "notes", "b", b"1234567")
        await store.memory.write("t", "other", "c", b"1")
        stats = await store.memory.stats("t", "notes")
        assert stats["entries"] == 2
        assert stats["size_bytes"] >= 12
        await store.memory.clear("t", "notes")
        assert dict(await store.memory.stats("t", "notes")) == {"entries": 0, "size_bytes": 0}

    @pytest.mark.parametrize("key", ["", "clé", "猫", "a/b", "a\x00b", " ", "%", "'; --", "k" * 1000])
    async def test_any_text_is_a_key(self, store: Store, key: str) -> None:
        await store.memory.write("t", "notes", key, b"1")
        await store.memory.write("t", "notes", key + "x", b"2")
        assert await store.memory.read("t", "notes", key) == b"1"

    async def test_large_values_are_kept_whole(self, store: Store) -> None:
        value = b'"' + b"x" * 1_000_000 + b'"'
        await store.memory.write("t", "notes", "k", value)
        assert await store.memory.read("t", "notes", "k") == value

    @pytest.mark.parametrize("way", ["record", "settle"])
    async def test_a_runs_write_comes_with_its_step(self, store: Store, way: str) -> None:
        lease = await runs(store, tenant="t")
        write = MemoryWrite(space="notes", key="k", value=b'"from a run"')
        if way == "settle":
            await store.journal.settle(lease, intent(1, kind=StepKind.MEMORY), b"null", memory=write)
        else:
            await store.journal.intend(lease, intent(1, kind=StepKind.MEMORY))
            assert await store.memory.read("t", "notes", "k") is None, "not before it is recorded"
            await store.journal.record(lease, 1, b"null", memory=write)
        assert await store.memory.read("t", "notes", "k") == b'"from a run"'
        assert await store.memory.read("default", "notes", "k") is None, "it belongs to the message's tenant"

    async def test_a_run_can_forget(self, store: Store) -> None:
        lease = await runs(store, tenant="t")
        for key in ("a", "b", "c"):
            await store.memory.write("t", "notes", key, b"1")
        await store.journal.settle(lease, intent(1, kind=StepKind.MEMORY), b"null", memory=MemoryWrite(space="notes", key="a"))
        assert (await store.memory.stats("t", "notes"))["entries"] == 2
        await store.journal.settle(lease, intent(2, kind=StepKind.MEMORY), b"null", memory=MemoryWrite(space="notes", key=None))
        assert (await store.memory.stats("t", "notes"))["entries"] == 0

    async def test_a_refused_step_changes_no_memory(self, store: Store) -> None:
        lease = await runs(store, tenant="t")
        write = MemoryWrite(space="notes", key="k", value=b'"late"')
        with pytest.raises(Conflict):
            await store.journal.record(lease, 1, b"null", memory=write)
        await store.messages.release(lease)
        with pytest.raises(LeaseLost):
            await store.journal.settle(lease, intent(1, kind=StepKind.MEMORY), b"null", memory=write)
        assert await store.memory.read("t", "notes", "k") is None
