from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure import events
from perdure.errors import base
from perdure.errors.base import InvalidInput, LeaseLost, StoreBusy, StoreClosed
from perdure.messages.message import Lease, State, Wait
from perdure.messages.retry import Bury, Park, Release, Retry
from perdure.resources.usage import Usage
from perdure.stores.inmemory import InMemoryStore
from perdure.testing import FakeClock
from perdure.testing.given import runs
from perdure.worker.end import LastCall, WorkerEnd
from perdure.worker.settle import Done, Drop, Move, Settler

BROKE = base.AgentFailed("it broke").facts()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(clock: FakeClock) -> AsyncIterator[InMemoryStore]:
    async with InMemoryStore(clock=clock) as opened:
        yield opened


class Failing:
    """Messages whose writes fail some times before they go through."""

    def __init__(self, messages: Any, *errors: Exception) -> None:
        self.messages, self.errors = messages, list(errors)

    def __getattr__(self, name: str) -> Any:
        if self.errors:
            error = self.errors.pop(0)

            async def fail(*args: Any, **kwargs: Any) -> None:
                raise error

            return fail
        return getattr(self.messages, name)


class Pauses:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


async def settled(store: InMemoryStore, move: Move, *errors: Exception, limit_s: float = 900.0) -> tuple[Lease, LastCall, Pauses]:
    lease, last_call, pauses = await runs(store), LastCall(), Pauses()
    settler = Settler(Failing(store.messages, *errors), last_call, limit_s=limit_s, sleep=pauses)  # type: ignore[arg-type]
    await settler.settle(lease, move, Usage(calls=3))
    return lease, last_call, pauses


@pytest.mark.parametrize(
    ("move", "state"),
    [
        (Done(result=b"1"), State.DONE),
        (Retry(error=BROKE, at=1_790_000_060.0), State.LATER),
        (Bury(error=BROKE), State.DEAD),
        (Park(wait=Wait(why="sleep", until=1_790_000_060.0)), State.LATER),
        (Park(wait=Wait(why="outcome-unknown", step=1)), State.WAITING),
        (Release(), State.READY),
        (Drop(), State.LEASED),
    ],
)
async def test_each_move_leads_where_it_says(store: InMemoryStore, move: Move, state: State) -> None:
    lease, last_call, _ = await settled(store, move)
    assert (await store.messages.get(lease.message.id)).state is state
    assert not last_call.called


async def test_what_a_failed_run_used_is_kept(store: InMemoryStore) -> None:
    lease, _, _ = await settled(store, Bury(error=BROKE))
    usage = (await store.messages.get(lease.message.id)).usage
    assert usage is not None
    assert usage.calls == 3


async def test_a_result_outlives_a_store_that_is_busy_for_a_while(store: InMemoryStore) -> None:
    lease, last_call, pauses = await settled(store, Done(result=b'"dear"'), *[StoreBusy("locked")] * 12)
    view = await store.messages.get(lease.message.id)
    assert (view.state, view.result) == (State.DONE, b'"dear"')
    assert len(pauses.slept) == 12
    assert pauses.slept[-1] > pauses.slept[0]
    assert max(pauses.slept) <= 7.5
    assert not last_call.called


async def test_a_write_is_not_tried_for_ever(store: InMemoryStore) -> None:
    lease, last_call, _ = await settled(store, Done(result=b"1"), *[StoreBusy("locked")] * 100, limit_s=0.0)
    assert (await store.messages.get(lease.message.id)).state is State.LEASED
    assert last_call.end is WorkerEnd.RECYCLE


async def test_a_closed_store_is_not_asked_again(store: InMemoryStore) -> None:
    _, last_call, pauses = await settled(store, Done(result=b"1"), StoreClosed("closed"))
    assert pauses.slept == []
    assert last_call.end is WorkerEnd.RECYCLE


async def test_a_fenced_worker_stops_trying(store: InMemoryStore) -> None:
    lease, last_call = await runs(store), LastCall()
    last_call.call(WorkerEnd.FENCED)
    await Settler(Failing(store.messages, StoreBusy("locked")), last_call, sleep=Pauses()).settle(lease, Done(result=b"1"))  # type: ignore[arg-type]
    assert (await store.messages.get(lease.message.id)).state is State.LEASED


async def test_a_lost_lease_is_told_and_not_retried(store: InMemoryStore) -> None:
    heard: list[dict[str, Any]] = []
    stop = events.listen("message.lost", lambda name, facts: heard.append(dict(facts)))
    lease, last_call, pauses = await settled(store, Done(result=b"1"), LeaseLost("gone"))
    stop()
    assert [fact["message"] for fact in heard] == [lease.message.id]
    assert pauses.slept == []
    assert not last_call.called


async def test_what_the_store_refuses_for_good_becomes_a_dead_letter_that_says_so(store: InMemoryStore) -> None:
    lease, last_call, _ = await settled(store, Done(result=b"1"), InvalidInput("a result of 3 GiB"))
    view = await store.messages.get(lease.message.id)
    assert view.state is State.DEAD
    assert view.error is not None
    assert view.error.message == "a result of 3 GiB"
    assert not last_call.called


async def test_a_dead_letter_that_is_refused_too_ends_the_worker(store: InMemoryStore) -> None:
    lease, last_call, _ = await settled(store, Bury(error=BROKE), InvalidInput("no"))
    assert (await store.messages.get(lease.message.id)).state is State.LEASED
    assert last_call.end is WorkerEnd.RECYCLE


async def test_a_message_released_because_of_the_store_does_not_spin(store: InMemoryStore) -> None:
    _, _, pauses = await settled(store, Release(error=StoreBusy("locked").facts()))
    assert len(pauses.slept) == 1
    assert pauses.slept[0] >= 1


class Noted:
    """Hears once when a message is settled, and how."""

    def __init__(self) -> None:
        self.over: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def __call__(self, error: BaseException | None) -> None:
        self.over.set_result(error)


class Counting:
    """Messages whose batches are counted."""

    def __init__(self, messages: Any) -> None:
        self.messages, self.sizes = messages, list[int]()

    async def done_many(self, ended: Any) -> Any:
        self.sizes.append(len(ended))
        return await self.messages.done_many(ended)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.messages, name)


async def test_what_is_done_at_the_same_time_is_written_together(store: InMemoryStore) -> None:
    counting = Counting(store.messages)
    settler = Settler(counting, LastCall())  # type: ignore[arg-type]
    leases, noted = [await runs(store) for _ in range(5)], [Noted() for _ in range(5)]
    for lease, note in zip(leases, noted, strict=True):
        settler.begin(lease, Done(result=b"1"), on_settled=note)
    assert [await note.over for note in noted] == [None] * 5
    assert counting.sizes == [5]


async def test_of_many_written_together_a_lost_one_is_told_alone(store: InMemoryStore) -> None:
    heard: list[int] = []
    stop = events.listen("message.lost", lambda name, facts: heard.append(facts["message"]))
    kept, lost = await runs(store), await runs(store)
    await store.messages.release(lost)
    settler, noted = Settler(store.messages, LastCall()), [Noted(), Noted()]
    settler.begin(lost, Done(result=b"1"), on_settled=noted[0])
    settler.begin(kept, Done(result=b"1"), on_settled=noted[1])
    assert [await note.over for note in noted] == [None, None]
    stop()
    assert heard == [lost.message.id]
    assert (await store.messages.get(kept.message.id)).state is State.DONE


async def test_what_cannot_be_written_together_is_written_one_by_one(store: InMemoryStore) -> None:
    settler = Settler(Failing(store.messages, StoreBusy("locked")), LastCall(), sleep=Pauses())  # type: ignore[arg-type]
    lease, note = await runs(store), Noted()
    settler.begin(lease, Done(result=b"1"), on_settled=note)
    assert await note.over is None
    assert (await store.messages.get(lease.message.id)).state is State.DONE
