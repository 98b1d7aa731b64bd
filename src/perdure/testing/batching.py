"""What a store promises of batches: taken by one, never lost, each tenant's own."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from perdure.errors.base import LeaseLost, NotFound
from perdure.messages.batches import Batch, BatchState, Taken
from perdure.messages.files import NewFile
from perdure.messages.retention import Keep
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.kit import Kit

__all__ = ["BatchKit"]


def _new(id: str = "batch_1", *, tenant: str = "default") -> Batch:
    return Batch(
        id=id, tenant=tenant, input_file="file-1", endpoint="/v1/chat/completions", window="24h", expires_at=2e9, priority=7,
        metadata={"of": "\N{SNOWMAN}"},
    )  # fmt: skip


async def _taken(store: Store) -> Taken:
    taken = await store.batches.take(lasts_s=60)
    assert taken is not None
    return taken


class BatchKit(Kit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and your store of batches is proved."""

    async def test_a_batch_is_kept_as_it_was_given_and_written(self, store: Store, clock: FakeClock) -> None:
        added = await store.batches.add(_new())
        assert added == msgspec.structs.replace(_new(), created_at=clock.now()) == await store.batches.get("batch_1", tenant="default")
        taken = await _taken(store)
        assert taken.batch == added
        further = msgspec.structs.replace(added, state=BatchState.IN_PROGRESS, total=3, reached={"in_progress": 5.0})
        assert await store.batches.keep(taken, further, due_s=1) == further == await store.batches.get("batch_1", tenant=None)

    async def test_one_of_those_who_look_gets_a_batch_until_its_time_is_up(self, store: Store, clock: FakeClock) -> None:
        await store.batches.add(_new())
        looks = await asyncio.gather(*(store.batches.take(lasts_s=60) for _ in range(4)))
        [first] = [look for look in looks if look is not None]
        clock.pass_by(seconds=59)
        assert await store.batches.take(lasts_s=60) is None
        await store.batches.keep(first, first.batch, due_s=60)
        clock.pass_by(seconds=61)
        second = await _taken(store)
        for late in (store.batches.keep(first, first.batch, due_s=1), store.batches.finish(first, first.batch)):
            with pytest.raises(LeaseLost):
                await late
        await store.batches.keep(second, second.batch, due_s=0)
        assert await store.batches.take(lasts_s=60) is not None

    async def test_a_batch_that_is_called_off_is_due_at_once_and_stays_called_off(self, store: Store, clock: FakeClock) -> None:
        await store.batches.add(_new())
        taken = await _taken(store)
        called = await store.batches.cancel("batch_1", tenant="default")
        assert called.cancelling_at == clock.now()
        clock.pass_by(seconds=1)
        assert await store.batches.cancel("batch_1", tenant=None) == called
        assert (await store.batches.keep(taken, taken.batch, due_s=9)).cancelling_at == called.cancelling_at

    async def test_a_batch_ends_with_its_files_or_not_at_all(self, store: Store) -> None:
        await store.batches.add(_new())
        taken = await _taken(store)
        await store.files.begin(NewFile(id="file-2", tenant="default", name="output", purpose="batch_output"))
        ended = msgspec.structs.replace(taken.batch, state=BatchState.COMPLETED, output_file="file-2", error_file="file-3")
        with pytest.raises(NotFound):
            await store.batches.finish(taken, ended)
        with pytest.raises(NotFound):
            await store.files.get("file-2", tenant="default")
        assert (await store.batches.get("batch_1", tenant=None)).state is BatchState.VALIDATING
        ended = msgspec.structs.replace(ended, error_file=None)
        assert await store.batches.finish(taken, ended) == ended
        assert (await store.files.get("file-2", tenant="default")).purpose == "batch_output"
        assert await store.batches.take(lasts_s=60) is None
        assert await store.batches.cancel("batch_1", tenant=None) == ended
        with pytest.raises(LeaseLost):
            await store.batches.keep(taken, ended, due_s=0)

    async def test_batches_that_have_ended_are_forgotten_in_time(self, store: Store, clock: FakeClock) -> None:
        for n in range(4):
            await store.batches.add(_new(f"batch_{n}"))
        for _ in range(3):
            taken = await _taken(store)
            await store.batches.keep(taken, msgspec.structs.replace(taken.batch, state=BatchState.FAILED), due_s=0.0)
        clock.pass_by(seconds=101)
        assert (await store.retention.tidy(Keep(batches_s=None), limit=2)).batches == 0
        first = await store.retention.tidy(Keep(batches_s=100.0), limit=2)
        assert (first.batches, first.more) == (2, True)
        assert (await store.retention.tidy(Keep(batches_s=100.0), limit=2)).batches == 1
        assert [one.state for one in (await store.batches.list(tenant=None)).batches] == [BatchState.VALIDATING]

    async def test_a_tenant_has_its_own_batches_alone_newest_first(self, store: Store, clock: FakeClock) -> None:
        for n, tenant in enumerate(("acme", "other", "acme", "acme")):
            await store.batches.add(_new(f"batch_{n}", tenant=tenant))
            clock.pass_by(seconds=n % 2)
        page = await store.batches.list(tenant="acme", limit=2)
        assert ([one.id for one in page.batches], page.more) == (["batch_3", "batch_2"], True)
        page = await store.batches.list(tenant="acme", after="batch_2")
        assert ([one.id for one in page.batches], page.more) == (["batch_0"], False)
        assert len((await store.batches.list(tenant=None)).batches) == 4
        for look in (store.batches.get, store.batches.cancel):
            with pytest.raises(NotFound):
                await look("batch_1", tenant="acme")
        with pytest.raises(NotFound):
            await store.batches.list(tenant="acme", after="batch_1")
