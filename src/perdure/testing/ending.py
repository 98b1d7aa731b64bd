"""What a store promises of how a lease ends, and of second lives (SEMANTICS 1, 3)."""

from __future__ import annotations

import pytest

from perdure.agents.journal import Decision
from perdure.errors.base import Conflict, LeaseLost, NotFound
from perdure.messages.message import MessageId, State, Wait
from perdure.messages.store import Ended
from perdure.resources.usage import Usage
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, NO_CREDIT, alive, asks, dies, intent, leased, put, runs, soon, state, take
from perdure.testing.kit import Kit

__all__ = ["EndingKit"]

NOWHERE = MessageId(12345)


class EndingKit(Kit, standard=True):
    """Ends leases in every way there is, calls messages off and gives them another life."""

    async def test_a_done_message_keeps_its_result(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        clock.pass_by(seconds=4)
        usage = Usage(calls=2, input_tokens=10, output_tokens=3)
        await store.messages.done(lease, b'{"team":"billing"}', usage=usage, code_version="v9")
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.result, view.usage, view.code_version) == (State.DONE, b'{"team":"billing"}', usage, "v9")
        assert (view.attempt, view.worker, view.wait, view.error, view.ended_at) == (1, None, None, None, clock.now())

    async def test_many_are_done_together_and_a_lost_one_harms_no_other(self, store: Store) -> None:
        kept, lost = await runs(store), await runs(store)
        await store.messages.release(lost)
        usage = Usage(calls=1, input_tokens=4)
        ended = [
            Ended(lease=lost, result=b"1"),
            Ended(lease=kept, result=b'"dear"', usage=usage, code_version="v9"),
            Ended(lease=kept, result=b'"twice"'),
        ]
        first, second, third = await store.messages.done_many(ended)
        assert isinstance(first, LeaseLost)
        assert second is None
        assert isinstance(third, LeaseLost)
        view = await store.messages.get(kept.message.id)
        assert (view.state, view.result, view.usage, view.code_version) == (State.DONE, b'"dear"', usage, "v9")
        assert await state(store, lost.message.id) is State.READY
        assert (await store.messages.counters())["refused_stale"] == 2

    async def test_a_lease_says_whether_anybody_worked_on_the_message_before(self, store: Store) -> None:
        first = await runs(store)
        assert not first.begun
        await store.messages.release(first)
        assert (await leased(store, first.message.id)).begun

    async def test_a_retried_message_waits_and_has_used_an_attempt(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        at = soon(clock, 30)
        await store.messages.retry(lease, BROKE, at=at)
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.attempt, view.wait) == (State.LATER, 1, Wait(why="backoff", until=at, error=BROKE))
        clock.pass_by(seconds=29)
        await store.messages.tend()
        assert await state(store, view.message.id) is State.LATER
        clock.pass_by(seconds=1)
        await store.messages.tend()
        assert (await leased(store, view.message.id)).attempt == 2

    async def test_every_failed_attempt_is_kept(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        id, first = lease.message.id, lease.worker
        await store.messages.retry(lease, BROKE, at=clock.now())
        at_first = clock.now()
        clock.pass_by(seconds=2)
        await store.messages.tend()
        lease = await leased(store, id)
        await store.messages.bury(lease, NO_CREDIT)
        log = await store.messages.attempts(id)
        assert [(entry.n, entry.kind, entry.error, entry.at, entry.worker) for entry in log] == [
            (1, "retry", BROKE, at_first, first),
            (2, "bury", NO_CREDIT, clock.now(), lease.worker),
        ]

    async def test_a_buried_message_is_a_dead_letter_with_its_reason(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        usage = Usage(calls=1, output_tokens=5)
        await store.messages.bury(lease, BROKE, usage=usage)
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.error, view.usage, view.attempt) == (State.DEAD, BROKE, usage, 1)
        assert (view.ended_at, view.worker, view.result) == (clock.now(), None, None)

    async def test_a_burial_can_leave_the_attempt_unused(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.bury(lease, BROKE, uses_attempt=False)
        assert (await store.messages.get(lease.message.id)).attempt == 0

    async def test_waiting_for_a_moment_uses_no_attempt(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        wait = Wait(why="rate-limit", until=soon(clock, 3600), step=3, error=NO_CREDIT)
        await store.messages.park(lease, wait)
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.wait, view.worker) == (State.LATER, wait, None)
        clock.pass_by(seconds=3600)
        await store.messages.tend()
        again = await leased(store, lease.message.id)
        assert (again.attempt, again.crashes) == (1, 0)

    async def test_waiting_for_a_person_has_no_moment(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await asks(store, lease)
        clock.pass_by(seconds=3600)
        await store.messages.tend()
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.wait and view.wait.why) == (State.WAITING, "outcome-unknown")
        assert await take(store, await alive(store)) == []

    async def test_a_released_message_is_ready_as_if_never_taken(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.release(lease)
        assert await state(store, lease.message.id) is State.READY
        again = await leased(store, lease.message.id)
        assert (again.attempt, again.crashes) == (1, 0)
        assert await store.messages.attempts(lease.message.id) == []

    async def test_what_comes_back_is_not_sent_behind_all_that_was_put_meanwhile(self, store: Store, clock: FakeClock) -> None:
        first = await runs(store)
        meanwhile = [await put(store) for _ in range(3)]
        await store.messages.retry(first, BROKE, at=clock.now())
        await store.messages.tend()
        leases = await take(store, await alive(store), 4)
        assert [lease.message.id for lease in leases] == [first.message.id, *meanwhile]

    async def test_a_retry_without_pause_still_passes_through_later(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await store.messages.retry(lease, BROKE, at=clock.now() - 1)
        assert await state(store, lease.message.id) is State.LATER
        await store.messages.tend()
        assert await state(store, lease.message.id) is State.READY

    @pytest.mark.parametrize("place", ["ready", "later", "waiting"])
    async def test_what_does_not_run_can_be_called_off(self, store: Store, clock: FakeClock, place: str) -> None:
        id = await put(store, due_at=soon(clock) if place == "later" else None)
        if place == "waiting":
            await asks(store, await leased(store, id))
        view = await store.messages.cancel(id)
        assert (view.state, view.ended_at, view.wait) == (State.CANCELLED, clock.now(), None)
        clock.pass_by(seconds=3600)
        await store.messages.tend()
        assert await take(store, await alive(store)) == []
        assert await state(store, id) is State.CANCELLED

    async def test_calling_off_twice_changes_nothing(self, store: Store, clock: FakeClock) -> None:
        id = await put(store)
        first = await store.messages.cancel(id)
        before = await store.messages.last_change()
        clock.pass_by(seconds=5)
        assert await store.messages.cancel(id) == first
        assert await store.messages.last_change() == before

    @pytest.mark.parametrize("end", ["done", "dead"])
    async def test_what_has_ended_cannot_be_called_off(self, store: Store, end: str) -> None:
        lease = await runs(store)
        await (store.messages.done(lease, b"1") if end == "done" else store.messages.bury(lease, BROKE))
        with pytest.raises(Conflict):
            await store.messages.cancel(lease.message.id)

    async def test_a_revived_message_has_all_its_attempts_again(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        id = lease.message.id
        await store.messages.retry(lease, BROKE, at=clock.now())
        await store.messages.tend()
        await store.messages.bury(await leased(store, id), BROKE)
        clock.pass_by(seconds=9)
        view = await store.messages.revive(id)
        assert (view.state, view.attempt, view.crashes, view.revived) == (State.READY, 0, 0, 1)
        assert (view.error, view.ended_at) == (None, None)
        assert len(await store.messages.attempts(id)) == 2, "what went wrong before is not forgotten"
        assert (await leased(store, id)).attempt == 1

    async def test_a_revived_message_keeps_its_journal(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent())
        await store.journal.record(lease, 1, b'"paid for"')
        await store.messages.bury(lease, BROKE)
        before = await store.journal.steps(lease.message.id)
        await store.messages.revive(lease.message.id)
        assert await store.journal.steps(lease.message.id) == before != []

    async def test_a_revived_message_can_die_and_be_revived_again(self, store: Store) -> None:
        id = await put(store)
        for life in (1, 2, 3):
            await store.messages.bury(await leased(store, id), BROKE)
            assert (await store.messages.revive(id)).revived == life

    async def test_a_revived_message_is_not_sent_behind_all_that_was_put_meanwhile(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.bury(lease, BROKE)
        meanwhile = [await put(store) for _ in range(3)]
        await store.messages.revive(lease.message.id)
        leases = await take(store, await alive(store), 4)
        assert [lease.message.id for lease in leases] == [lease.message.id, *meanwhile]

    @pytest.mark.parametrize("place", ["ready", "leased", "done", "cancelled"])
    async def test_only_a_dead_letter_can_be_revived(self, store: Store, place: str) -> None:
        id = await put(store)
        if place in {"leased", "done"}:
            lease = await leased(store, id)
            if place == "done":
                await store.messages.done(lease, b"1")
        elif place == "cancelled":
            await store.messages.cancel(id)
        with pytest.raises(Conflict):
            await store.messages.revive(id)
        assert await state(store, id) == place

    async def test_what_would_be_too_late_at_once_cannot_be_revived(self, store: Store, clock: FakeClock) -> None:
        id = await put(store, deadline=soon(clock, 60))
        clock.pass_by(seconds=60)
        await store.messages.tend()
        with pytest.raises(Conflict, match="deadline has passed") as refusal:
            await store.messages.revive(id)
        assert refusal.value.hint == "Put it again with a later one."
        assert await state(store, id) is State.DEAD

    async def test_a_letter_whose_deadline_is_to_come_can_be_revived(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, deadline=soon(clock, 60))
        await store.messages.bury(lease, BROKE)
        clock.pass_by(seconds=59)
        assert (await store.messages.revive(lease.message.id)).state is State.READY
        clock.pass_by(seconds=1)
        assert (await store.messages.tend()).expired == 1

    @pytest.mark.parametrize("end", ["done", "buried", "cancelled", "expired", "tired", "poison", "decided"])
    async def test_whatever_ends_a_message_its_usage_is_the_sum_of_its_steps(self, store: Store, clock: FakeClock, end: str) -> None:
        used = Usage(calls=1, input_tokens=10, output_tokens=3)
        lease = await runs(store, max_wait_s=100.0, deadline=soon(clock, 60) if end == "expired" else None)
        id = lease.message.id
        for number in (1, 2):
            await store.journal.intend(lease, intent(number))
        await store.journal.record(lease, 1, b'"paid for"', usage=used)
        await store.journal.fail(lease, 2, BROKE, usage=used)
        await store.journal.intend(lease, intent(2, ambiguous=True))
        if end == "done":
            await store.messages.done(lease, b"1")
        elif end == "buried":
            await store.messages.bury(lease, BROKE)
        elif end == "poison":
            await dies(store, clock)
            for _ in range(3):  # the first crash came after a result
                if not await take(store, await alive(store)):
                    await take(store, await alive(store, quarantine=True), quarantine=True)
                await dies(store, clock)
        else:
            await asks(store, lease, 3)
            clock.pass_by(seconds=101 if end == "tired" else 61)
            await {
                "cancelled": lambda: store.messages.cancel(id),
                "decided": lambda: store.journal.decide(id, 3, Decision.BURY, by="key_1"),
            }.get(end, store.messages.tend)()
        view = await store.messages.get(id)
        assert (view.ended_at, view.usage) == (clock.now(), Usage(calls=2, input_tokens=20, output_tokens=6, paid_again=1))

    @pytest.mark.parametrize("tenant", [None, "stranger"], ids=["unknown", "of-another-tenant"])
    async def test_what_is_not_yours_is_not_there(self, store: Store, tenant: str | None) -> None:
        id = NOWHERE if tenant is None else await put(store, tenant="owner")
        for ask in (store.messages.get, store.messages.cancel, store.messages.revive):
            with pytest.raises(NotFound):
                await ask(id, tenant=tenant)

    async def test_a_tenant_may_do_all_of_this_with_its_own(self, store: Store) -> None:
        lease = await runs(store, tenant="owner")
        id = lease.message.id
        await store.messages.bury(lease, BROKE)
        assert (await store.messages.revive(id, tenant="owner")).state is State.READY
        assert (await store.messages.cancel(id, tenant="owner")).state is State.CANCELLED
        assert (await store.messages.get(id, tenant="owner")).state is State.CANCELLED
