"""What it means to call off a message that runs."""

from __future__ import annotations

import asyncio

import pytest

from perdure.agents.journal import StepState
from perdure.errors.base import Conflict, RunCancelled
from perdure.messages.message import Lease, State, Wait
from perdure.resources.usage import Usage
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, alive, dies, intent, put, runs, soon, state, take
from perdure.testing.kit import Kit
from perdure.testing.telling import hearing

__all__ = ["CallingOffKit"]


class CallingOffKit(Kit, standard=True):
    """Every store passes these. A `store` fixture gives a new, open one, made with the `clock` fixture."""

    async def test_a_running_message_is_marked(self, store: Store) -> None:
        lease = await runs(store)
        view = await store.messages.cancel(lease.message.id)
        assert (view.state, view.cancelling, view.worker) == (State.LEASED, True, lease.worker)

    async def test_its_worker_is_told(self, store: Store) -> None:
        worker = await alive(store)
        for _ in range(2):
            await put(store)
        [first, second] = await take(store, worker, 2)
        assert list(await store.messages.called_off(worker)) == []
        before = await store.messages.last_change()
        await store.messages.cancel(second.message.id)
        assert await store.messages.last_change() > before, "a worker looks whenever something has changed"
        assert list(await store.messages.called_off(worker)) == [second.message.id]
        assert list(await store.messages.called_off(await alive(store))) == []
        await store.messages.release(second)
        assert list(await store.messages.called_off(worker)) == []
        await store.messages.done(first, b"1")

    async def test_nothing_new_is_begun(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.cancel(lease.message.id)
        with pytest.raises(RunCancelled):
            await store.journal.intend(lease, intent())
        with pytest.raises(RunCancelled):
            await store.journal.settle(lease, intent(), b"1")
        with pytest.raises(RunCancelled):
            await store.journal.obtain(lease, intent(signal="approval"))
        with pytest.raises(RunCancelled):
            await store.journal.send(lease, intent(), [], max_depth=9)
        assert await store.journal.steps(lease.message.id) == []

    async def test_what_is_under_way_may_be_recorded(self, store: Store) -> None:
        lease = await runs(store)
        for number in (1, 2, 3):
            await store.journal.intend(lease, intent(number))
        await store.messages.cancel(lease.message.id)
        await store.journal.record(lease, 1, b"1", usage=Usage(calls=1, input_tokens=5))
        await store.journal.fail(lease, 2, BROKE)
        await store.journal.defer(lease, 3, BROKE)
        await store.messages.release(lease)
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.usage) == (State.CANCELLED, Usage(calls=1, input_tokens=5))
        assert [step.state for step in await store.journal.steps(lease.message.id)] == [StepState.DONE, StepState.FAILED, StepState.AGAIN]

    @pytest.mark.parametrize("end", ["release", "retry", "bury", "park", "wait", "bow-out", "die"])
    async def test_whatever_its_worker_does_then_makes_it_cancelled(self, store: Store, clock: FakeClock, end: str) -> None:
        lease = await runs(store)
        await store.messages.cancel(lease.message.id)
        await _ends(store, clock, lease, end)
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.cancelling, view.worker, view.wait, view.error) == (State.CANCELLED, False, None, None, None)
        assert view.ended_at == clock.now()

    async def test_a_result_that_comes_first_wins(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.cancel(lease.message.id)
        await store.messages.done(lease, b"1")
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.result, view.cancelling) == (State.DONE, b"1", False)

    async def test_a_mark_ends_with_its_lease(self, store: Store, clock: FakeClock) -> None:  # crashed, but nobody tries it again
        lease = await runs(store)
        await store.messages.cancel(lease.message.id)
        clock.pass_by(seconds=11)
        [reaped] = await store.workers.reap()
        assert (list(reaped.cancelled), list(reaped.released)) == ([lease.message.id], [])

    async def test_calling_off_twice_is_calling_off_once(self, store: Store) -> None:
        lease = await runs(store)
        for _ in range(2):
            assert (await store.messages.cancel(lease.message.id)).cancelling
        await store.messages.release(lease)
        assert (await store.messages.cancel(lease.message.id)).state is State.CANCELLED

    async def test_what_was_called_off_and_done_cannot_be_called_off(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.done(lease, b"1")
        with pytest.raises(Conflict):
            await store.messages.cancel(lease.message.id)

    async def test_of_a_result_and_a_cancel_at_the_same_time_one_wins(self, store: Store) -> None:
        worker = await alive(store)
        for _ in range(20):
            await put(store)
        leases = await take(store, worker, 20)
        calls = [(store.messages.done(lease, b"1"), store.messages.cancel(lease.message.id)) for lease in leases]
        answers = await asyncio.gather(*(call for pair in calls for call in pair), return_exceptions=True)
        assert {type(answer) for answer in answers if isinstance(answer, Exception)} <= {Conflict}
        assert {await state(store, lease.message.id) for lease in leases} == {State.DONE}

    async def test_calling_off_is_told(self, store: Store) -> None:
        lease = await runs(store)
        with hearing("message.") as told:
            await store.messages.cancel(lease.message.id)
            await store.messages.release(lease)
        assert [(name, facts["message"]) for name, facts in told] == [
            ("message.cancelling", lease.message.id),
            ("message.cancelled", lease.message.id),
        ]

    async def test_totals_count_it_once(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.cancel(lease.message.id)
        await store.messages.release(lease)
        [status] = await store.messages.queues()
        assert (status.totals.get("cancelled"), status.counts.get("cancelled")) == (1, 1)


async def _ends(store: Store, clock: FakeClock, lease: Lease, end: str) -> None:
    if end == "release":
        await store.messages.release(lease)
    elif end == "retry":
        await store.messages.retry(lease, BROKE, at=soon(clock))
    elif end == "bury":
        await store.messages.bury(lease, BROKE)
    elif end == "park":
        await store.messages.park(lease, Wait(why="sleep", until=soon(clock), step=1))
    elif end == "wait":
        await store.messages.park(lease, Wait(why="signal", step=1, events=("signal:approval",)))
    elif end == "bow-out":
        await store.workers.bow_out(lease.worker)
    else:
        await dies(store, clock)
