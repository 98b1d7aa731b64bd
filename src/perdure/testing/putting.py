"""What a store promises of putting (SEMANTICS 1, 4, 9)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from perdure.errors.base import DedupConflict
from perdure.messages.message import Receipt, State, Wait
from perdure.messages.store import Filter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, alive, leased, message, put, runs, soon, state, take
from perdure.testing.kit import Kit

__all__ = ["PuttingKit"]


class PuttingKit(Kit, standard=True):
    """Puts messages and looks whether they are what was put."""

    async def test_a_message_is_kept_with_all_that_was_said_of_it(self, store: Store, clock: FakeClock) -> None:
        parent = await put(store)
        new = message(
            agent="triage",
            body='{"text":"Grüße, 猫 🐈 \\u0000"}'.encode(),
            queue="support",
            tenant="acme",
            priority=2,
            dedup_key="order 17",
            attempts=3,
            timeout_s=1.5,
            deadline=soon(clock, 600),
            max_wait_s=900.0,
            version="v7",
            lane="qwen/qwen3",
            parent=parent,
            metadata={"trace": "ä/1"},
        )
        [receipt] = await store.messages.put([new])
        kept = (await store.messages.get(receipt.id)).message
        said = msgspec.structs.asdict(new)
        said.pop("due_at")
        assert msgspec.structs.asdict(kept) == said | {"group": None, "id": receipt.id, "created_at": clock.now()}

    async def test_a_new_message_is_ready_and_has_used_nothing(self, store: Store) -> None:
        view = await store.messages.get(await put(store))
        assert (view.state, view.attempt, view.crashes, view.revived) == (State.READY, 0, 0, 0)
        assert (view.wait, view.worker, view.started_at, view.ended_at) == (None, None, None, None)
        assert (view.result, view.error, view.usage) == (None, None, None)

    async def test_many_messages_are_put_in_their_order(self, store: Store) -> None:
        receipts = await store.messages.put([message(body=str(n).encode()) for n in range(1000)])
        ids = [receipt.id for receipt in receipts]
        assert ids == sorted(set(ids))
        bodies = [(await store.messages.get(id)).message.body for id in (ids[0], ids[499], ids[999])]
        assert bodies == [b"0", b"499", b"999"]

    async def test_ids_grow_with_every_put(self, store: Store, clock: FakeClock) -> None:
        ids = []
        for seconds in (0, 0, 5, 0):
            clock.pass_by(seconds=seconds)
            ids.append(await put(store))
        assert ids == sorted(set(ids))

    async def test_a_message_due_later_waits_until_then(self, store: Store, clock: FakeClock) -> None:
        due = soon(clock, 60)
        id = await put(store, due_at=due)
        view = await store.messages.get(id)
        assert (view.state, view.wait) == (State.LATER, Wait(why="delay", until=due))
        assert await take(store, await alive(store)) == []

    async def test_a_message_due_in_the_past_is_ready(self, store: Store, clock: FakeClock) -> None:
        assert await state(store, await put(store, due_at=clock.now() - 1)) is State.READY

    async def test_the_same_key_and_body_bring_the_same_message(self, store: Store) -> None:
        id = await put(store, dedup_key="k")
        assert await store.messages.put([message(dedup_key="k")]) == [Receipt(id, duplicate=True)]

    async def test_a_repeated_put_moves_nothing(self, store: Store) -> None:
        await put(store, dedup_key="k")
        before = await store.messages.last_change()
        await put(store, dedup_key="k")
        [queue] = await store.messages.queues()
        assert (await store.messages.last_change(), queue.totals["put"]) == (before, 1)

    async def test_a_key_twice_in_one_put_is_one_message(self, store: Store) -> None:
        first, second, other = await store.messages.put([message(dedup_key="k"), message(dedup_key="k"), message()])
        assert (first.duplicate, second, other.duplicate) == (False, Receipt(first.id, duplicate=True), False)
        assert len((await store.messages.list(Filter())).views) == 2

    @pytest.mark.parametrize("other", [{"body": b'{"n":2}'}, {"agent": "other"}], ids=["another-body", "another-agent"])
    async def test_the_same_key_with_something_else_is_refused(self, store: Store, other: dict[str, object]) -> None:
        await put(store, dedup_key="k")
        with pytest.raises(DedupConflict):
            await put(store, dedup_key="k", **other)

    @pytest.mark.parametrize("inside", [True, False], ids=["within-the-put", "with-an-older-one"])
    async def test_one_conflict_refuses_the_whole_put(self, store: Store, inside: bool) -> None:
        await put(store, dedup_key="old")
        before = await store.messages.last_change()
        bad = [message(dedup_key="new"), message(dedup_key="new", body=b"2")] if inside else [message(dedup_key="old", body=b"2")]
        with pytest.raises(DedupConflict):
            await store.messages.put([message(), *bad, message()])
        assert len((await store.messages.list(Filter())).views) == 1
        assert await store.messages.last_change() == before
        [receipt] = await store.messages.put([message(dedup_key="new", body=b"3")])
        assert not receipt.duplicate, "a refused put leaves no key behind"

    @pytest.mark.parametrize("end", ["done", "dead", "cancelled"])
    async def test_a_key_is_known_after_its_message_has_ended(self, store: Store, end: str) -> None:
        id = await put(store, dedup_key="k")
        if end == "cancelled":
            await store.messages.cancel(id)
        elif end == "done":
            await store.messages.done(await leased(store, id), b"1")
        else:
            await store.messages.bury(await leased(store, id), BROKE)
        assert await store.messages.put([message(dedup_key="k")]) == [Receipt(id, duplicate=True)]

    async def test_a_key_belongs_to_its_tenant(self, store: Store) -> None:
        mine = await put(store, dedup_key="k", tenant="one")
        yours = await put(store, dedup_key="k", tenant="two", body=b"2")
        assert mine != yours

    async def test_concurrent_puts_are_all_kept(self, store: Store) -> None:
        ids = await asyncio.gather(*(put(store, body=str(n).encode()) for n in range(50)))
        assert len(set(ids)) == 50
        bodies = {view.message.body for view in (await store.messages.list(Filter(), limit=100)).views}
        assert bodies == {str(n).encode() for n in range(50)}

    async def test_concurrent_puts_with_one_key_are_one_message(self, store: Store) -> None:
        receipts = await asyncio.gather(*(store.messages.put([message(dedup_key="k")]) for _ in range(20)))
        assert len({receipt.id for [receipt] in receipts}) == 1
        assert sum(not receipt.duplicate for [receipt] in receipts) == 1

    async def test_one_refused_put_does_not_hurt_those_beside_it(self, store: Store) -> None:
        await put(store, dedup_key="k")
        puts = [store.messages.put([message(dedup_key="k", body=b"2")]) if n == 7 else store.messages.put([message()]) for n in range(20)]
        answers = await asyncio.gather(*puts, return_exceptions=True)
        assert [isinstance(answer, DedupConflict) for answer in answers] == [n == 7 for n in range(20)]
        assert len((await store.messages.list(Filter(), limit=100)).views) == 20

    async def test_a_running_message_keeps_its_key(self, store: Store) -> None:
        lease = await runs(store, dedup_key="k")
        assert await put(store, dedup_key="k") == lease.message.id
