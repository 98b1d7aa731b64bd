"""The kit that proves retention: what has ended goes in time with all it owned, and nothing that lives ever does."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from perdure.errors.base import NotFound, WorkerFenced
from perdure.messages.message import MessageId, State, Wait
from perdure.messages.retention import CHANGES_EACH, Keep, Tidied
from perdure.messages.store import Filter
from perdure.security.audit import Actor, DeedFilter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, alive, intent, leased, message, put, runs, soon, state, take
from perdure.testing.kit import Kit

__all__ = ["RetentionKit"]

DAY_S = 24 * 3600.0
KEEP = Keep()


def days(clock: FakeClock, n: float) -> None:
    """Let days pass.

    Args:
        clock (FakeClock): The store's time.
        n (float): How many.
    """
    clock.pass_by(seconds=n * DAY_S)


async def tidy(store: Store, keep: Keep = KEEP, *, limit: int = 500) -> Tidied:
    """Tidy until there is nothing to do.

    Args:
        store (Store): Where.
        keep (Keep): How long what is kept.
        limit (int): In one bite.

    Returns:
        Tidied: What went in all.
    """
    gone = Counter[str]()
    while True:
        bite = await store.retention.tidy(keep, limit=limit)
        gone.update({name: n for name, n in msgspec.structs.asdict(bite).items() if name != "more"})
        if not bite.more:
            return msgspec.structs.replace(bite, **gone)


async def there(store: Store) -> list[MessageId]:
    """List the messages there are.

    Args:
        store (Store): Where.

    Returns:
        list[MessageId]: Oldest first.
    """
    return [view.message.id for view in reversed((await store.messages.list(Filter(), limit=1000)).views)]


async def ended(store: Store, how: str) -> MessageId:
    """Let a message end, with a step in its journal.

    Args:
        store (Store): Where.
        how (str): `done`, `dead` or `cancelled`.

    Returns:
        MessageId: Which.
    """
    lease = await runs(store)
    await store.journal.settle(lease, intent(1), b"1")
    if how == "done":
        await store.messages.done(lease, b'"result"')
    elif how == "dead":
        await store.messages.bury(lease, BROKE)
    else:
        await store.messages.park(lease, Wait(why="delay"))
        await store.messages.cancel(lease.message.id)
    return lease.message.id


class RetentionKit(Kit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and what your store forgets is proved."""

    @pytest.mark.parametrize("how", ["done", "cancelled"])
    async def test_what_has_ended_goes_after_its_time_and_not_before(self, store: Store, clock: FakeClock, how: str) -> None:
        id = await ended(store, how)
        days(clock, 29.9)
        assert (await tidy(store)).messages == 0
        assert await state(store, id) == how
        days(clock, 0.2)
        assert (await tidy(store)).messages == 1
        for look in (store.messages.get, store.messages.attempts, store.messages.revive):
            with pytest.raises(NotFound):
                await look(id)
        [status] = await store.messages.queues()
        assert ({name: n for name, n in status.counts.items() if n}, status.totals["put"]) == ({}, 1)
        assert await there(store) == []

    async def test_dead_letters_stay_until_somebody_discards_them(self, store: Store, clock: FakeClock) -> None:
        id = await ended(store, "dead")
        days(clock, 4000)
        assert (await tidy(store)).messages == 0
        assert await state(store, id) is State.DEAD
        assert len(await store.journal.steps(id)) == 1

    async def test_dead_letters_go_where_that_is_wanted(self, store: Store, clock: FakeClock) -> None:
        id = await ended(store, "dead")
        days(clock, 10.5)
        assert (await tidy(store, Keep(dead_s=10 * DAY_S))).messages == 1
        with pytest.raises(NotFound):
            await store.messages.get(id)
        assert list(await store.journal.steps(id)) == []

    async def test_the_journal_goes_before_the_result(self, store: Store, clock: FakeClock) -> None:
        id = await ended(store, "done")
        days(clock, 6.9)
        assert (await tidy(store)).journals == 0
        assert len(await store.journal.steps(id)) == 1
        days(clock, 0.2)
        assert (await tidy(store)).journals == 1
        assert list(await store.journal.steps(id)) == []
        view = await store.messages.get(id)
        assert (view.state, view.result) == (State.DONE, b'"result"')

    async def test_nothing_that_lives_ever_goes(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await store.journal.settle(lease, intent(1), b"1")
        parked = await runs(store)
        await store.messages.park(parked, Wait(why="approval"))
        ready, later = await put(store), await put(store, due_at=soon(clock, 9000 * DAY_S))
        for _ in range(5):
            days(clock, 100)
            tidied = await tidy(store)
            assert (tidied.messages, tidied.journals) == (0, 0)
        assert await there(store) == [lease.message.id, parked.message.id, ready, later]
        assert len(await store.journal.steps(lease.message.id)) == 1

    async def test_what_lived_long_is_kept_its_whole_time_after_its_end(self, store: Store, clock: FakeClock) -> None:
        old = await put(store)
        for _ in range(20):
            days(clock, 5)
            await tidy(store)
        await store.messages.done(await leased(store, old), b"1")
        days(clock, 29.9)
        await tidy(store)
        assert await state(store, old) is State.DONE
        days(clock, 0.2)
        assert (await tidy(store)).messages == 1

    async def test_a_letter_revived_after_years_goes_like_any_other(self, store: Store, clock: FakeClock) -> None:
        id = await ended(store, "dead")
        for _ in range(4):
            days(clock, 100)
            await tidy(store)
        await store.messages.revive(id)
        await store.messages.done(await leased(store, id), b"1")
        days(clock, 29)
        await tidy(store)
        assert await state(store, id) is State.DONE
        days(clock, 1.1)
        assert (await tidy(store)).messages == 1

    async def test_a_child_stays_while_its_parent_lives(self, store: Store, clock: FakeClock) -> None:
        parent = await put(store, agent="boss")
        child = await put(store, parent=parent)
        await store.messages.cancel(child)
        for _ in range(4):
            days(clock, 20)
            await tidy(store)
        assert await state(store, child) is State.CANCELLED
        await store.messages.cancel(parent)
        days(clock, 1.1)
        assert (await tidy(store)).messages == 1
        assert await there(store) == [parent]

    async def test_many_go_in_bites_and_none_is_passed_over(self, store: Store, clock: FakeClock) -> None:
        ids = [receipt.id for receipt in await store.messages.put([message()] * 23)]
        worker = await alive(store)
        stays = ids[::5]
        for lease in await take(store, worker, 23):
            if lease.message.id in stays:
                await store.messages.park(lease, Wait(why="approval"))
            else:
                await store.messages.done(lease, b"1")
        days(clock, 31)
        bite = await store.retention.tidy(KEEP, limit=4)
        assert (bite.more, bite.messages <= 4) == (True, True)
        await tidy(store, limit=4)
        assert await there(store) == stays
        [status] = await store.messages.queues()
        assert {name: n for name, n in status.counts.items() if n} == {"waiting": 5}

    async def test_the_dedup_key_goes_with_its_message(self, store: Store, clock: FakeClock) -> None:
        id = await put(store, dedup_key="once")
        await store.messages.cancel(id)
        days(clock, 29)
        await tidy(store)
        assert (await store.messages.put([message(dedup_key="once")]))[0].id == id
        days(clock, 2)
        await tidy(store)
        [receipt] = await store.messages.put([message(dedup_key="once", body=b"2")])
        assert (receipt.duplicate, receipt.id != id) == (False, True)

    async def test_the_audit_log_goes_after_a_year(self, store: Store, clock: FakeClock) -> None:
        for _ in range(3):
            await store.audit.note(Actor("anna"), "queue.pause", "mail")
            days(clock, 200)
        assert (await tidy(store, limit=1)).deeds == 2
        assert len((await store.audit.list(DeedFilter())).deeds) == 1

    async def test_changes_go_after_an_hour_and_their_numbers_stay(self, store: Store, clock: FakeClock) -> None:
        old = [await put(store) for _ in range(3)]
        clock.pass_by(seconds=3500)
        new = await put(store)
        await store.messages.tend()  # it also counts them, where they are not counted at once
        assert (await tidy(store)).changes == 0
        last = await store.messages.last_change()
        clock.pass_by(seconds=200)
        assert (await tidy(store)).changes == 3
        assert [change.id for change in await store.messages.changes(0)] == [new]
        assert await store.messages.last_change() == last
        assert (await store.messages.queues())[0].counts["ready"] == len([*old, new])

    async def test_many_changes_go_in_bites(self, store: Store, clock: FakeClock) -> None:
        await store.messages.put([message()] * 2 * CHANGES_EACH)
        await store.messages.tend()
        clock.pass_by(seconds=3700)
        bite = await store.retention.tidy(KEEP, limit=1)
        assert (bite.changes, bite.more) == (CHANGES_EACH, True)
        assert (await tidy(store, limit=1)).changes == CHANGES_EACH
        assert await store.messages.changes(0) == []

    async def test_workers_that_have_ended_go_after_a_day_and_stay_fenced(self, store: Store, clock: FakeClock) -> None:
        gone = await alive(store)
        await store.workers.bow_out(gone)
        days(clock, 0.9)
        lives = await alive(store)
        assert (await tidy(store)).workers == 0
        days(clock, 0.2)
        assert (await tidy(store, limit=1)).workers == 1
        assert [worker.id for worker in await store.workers.workers()] == [lives]
        heart = store.workers.heart(gone)
        with pytest.raises(WorkerFenced):
            heart.beat()
        heart.close()
        assert await alive(store) not in (gone, lives)

    async def test_what_is_kept_for_ever_stays(self, store: Store, clock: FakeClock) -> None:
        id = await ended(store, "done")
        await store.audit.note(Actor("anna"), "queue.pause", "mail")
        days(clock, 3000)
        kept = Keep(done_s=None, cancelled_s=None, journals_s=None, audit_s=None, changes_s=None, workers_s=None)
        await store.messages.tend()
        assert await tidy(store, kept) == Tidied()
        assert len(await store.messages.changes(0)) > 0
        assert len(await store.journal.steps(id)) == 1

    async def test_room_is_told_in_bytes(self, store: Store) -> None:
        sizes = await store.retention.sizes()
        assert 0 <= sizes["free_bytes"] <= sizes["bytes"]
