from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from perdure import Run, agent
from perdure.agents.parts import Ending, Failed, Finished, Parked, RunParts
from perdure.clock import SystemClock
from perdure.errors import base
from perdure.errors.base import LeaseLost, StoreFull, WorkerFenced
from perdure.messages.message import Lease, State, View, Wait
from perdure.messages.retry import Backoff
from perdure.providers.models import Models
from perdure.resources.usage import Usage
from perdure.testing.given import runs
from perdure.worker.end import LastCall, WorkerEnd
from perdure.worker.executor import CalledOff, Executor, Workplace
from perdure.worker.settle import Settler

PATIENCE_S = 20.0
USED = Usage(calls=2)
DONE = Finished(result=b'"dear"', usage=USED)
BROKE = Failed(error=base.AgentFailed("it broke").facts(), step=None, usage=USED)


@agent(version="v1")
async def mail(run: Run) -> None:
    """Performed by a script here."""


class Stage:
    """One lease, and an agent whose work is what the test says."""

    def __init__(self, store: Any, lease: Lease) -> None:
        self.store, self.lease = store, lease
        self.last_call = LastCall()
        self.freed = 0
        parts = RunParts(
            journal=store.journal, memory=store.memory, models=Models({}), clock=SystemClock(), threads=ThreadPoolExecutor(max_workers=1)
        )
        settler = Settler(store.messages, self.last_call, sleep=self._sleep)
        place = Workplace(parts=parts, settler=settler, last_call=self.last_call, clock=SystemClock(), backoff=Backoff())
        self.executor = Executor(lease, mail, place, on_free=self._free, on_settled=self._settle)
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _free(self) -> None:
        self.freed += 1

    def _settle(self, error: BaseException | None) -> None:
        if error is None:
            self.settled.set_result(None)
        else:
            self.settled.set_exception(error)

    async def execute(self) -> None:
        self.executor.begin()
        await self.settled

    async def _sleep(self, seconds: float) -> None:
        """Time does not matter here."""

    async def view(self) -> View:
        view: View = await self.store.messages.get(self.lease.message.id)
        return view


Work = Callable[[], Awaitable[Ending]]


@pytest.fixture
def stage(house: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[Stage]]:
    async def build(work: Work, **message: Any) -> Stage:
        async def perform(agent: Any, lease: Lease, parts: RunParts) -> Ending:
            return await work()

        monkeypatch.setattr("perdure.worker.executor.perform", perform)
        return Stage(house.store, await runs(house.store, **message))

    return build


def returns(ending: Ending) -> Work:
    async def work() -> Ending:
        return ending

    return work


def raises(error: BaseException) -> Work:
    async def work() -> Ending:
        raise error

    return work


class Endless:
    """Work that ends only when it is told to, and with what the test says."""

    def __init__(self, ending: Ending | None = None, *, deaf: bool = False) -> None:
        self.ending, self.deaf = ending, deaf
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> Ending:
        self.begun.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            if self.deaf:
                await self.let_go.wait()
            if self.ending is None:
                raise
        assert self.ending is not None
        return self.ending


async def test_a_result_is_written_with_the_code_that_made_it(stage: Any) -> None:
    here = await stage(returns(DONE))
    await here.execute()
    view = await here.view()
    assert (view.state, view.result, view.code_version, view.usage) == (State.DONE, b'"dear"', "v1", USED)
    assert here.freed == 1


async def test_a_failure_uses_an_attempt(stage: Any) -> None:
    here = await stage(returns(BROKE))
    await here.execute()
    view = await here.view()
    assert (view.state, view.attempt) == (State.LATER, 1)


async def test_a_run_that_waits_is_parked(stage: Any) -> None:
    here = await stage(returns(Parked(wait=Wait(why="outcome-unknown", step=3))))
    await here.execute()
    view = await here.view()
    assert (view.state, view.wait.why, view.attempt) == (State.WAITING, "outcome-unknown", 0)


@pytest.mark.parametrize("ending", [Failed(error=BROKE.error, step=None, usage=USED, hung=True), Parked(wait=Wait(why="x"), hung=True)])
async def test_a_hung_thread_ends_the_worker_but_not_the_messages_fate(stage: Any, ending: Ending) -> None:
    here = await stage(returns(ending))
    await here.execute()
    assert here.last_call.end is WorkerEnd.RECYCLE
    assert (await here.view()).state is not State.LEASED


async def test_a_lost_lease_drops_the_result(stage: Any) -> None:
    here = await stage(raises(LeaseLost("gone")))
    await here.store.messages.release(here.lease)
    [other] = await here.store.messages.lease(await here.store.messages.routes(), limit=1, worker=here.lease.worker)
    await here.execute()
    assert (await here.view()).state is State.LEASED
    await here.store.messages.done(other, b"1")
    assert not here.last_call.called


async def test_a_lease_that_only_seemed_lost_is_given_back(stage: Any) -> None:
    here = await stage(raises(LeaseLost("the last beat is too old to begin anything")))
    await here.execute()
    view = await here.view()
    assert (view.state, view.attempt, view.crashes) == (State.READY, 0, 0)
    assert not here.last_call.called


async def test_a_run_that_meets_the_fence_ends_the_worker(stage: Any) -> None:
    here = await stage(raises(WorkerFenced("too late")))
    await here.execute()
    assert (await here.view()).state is State.LEASED
    assert here.last_call.end is WorkerEnd.FENCED


async def test_a_store_that_failed_releases_without_an_attempt(stage: Any) -> None:
    here = await stage(raises(StoreFull("no room")))
    await here.execute()
    view = await here.view()
    assert (view.state, view.attempt, view.crashes) == (State.READY, 0, 0)


async def test_a_bug_in_the_runtime_is_a_failed_attempt(stage: Any) -> None:
    here = await stage(raises(RuntimeError("a bug")))
    await here.execute()
    view = await here.view()
    assert (view.state, view.attempt) == (State.LATER, 1)


async def test_an_agent_that_cancels_itself_has_failed(stage: Any) -> None:
    here = await stage(raises(asyncio.CancelledError()))
    await here.execute()
    [attempt] = await here.store.messages.attempts(here.lease.message.id)
    assert "cancelled itself" in attempt.error.message


async def test_a_deadline_that_has_passed_already_is_not_worked_for(stage: Any) -> None:
    work = Endless()
    here = await stage(work, deadline=SystemClock().now() + 0.001)
    async with asyncio.timeout(PATIENCE_S):
        await here.execute()
    view = await here.view()
    assert (view.state, view.error.code, view.attempt) == (State.DEAD, "deadline-passed", 0)
    assert here.freed == 1


async def test_a_result_made_in_the_last_moment_counts(stage: Any) -> None:
    here = await stage(Endless(DONE), deadline=SystemClock().now() + 0.05)
    await here.execute()
    assert (await here.view()).state is State.DONE


@pytest.mark.parametrize(
    ("why", "ending", "state"),
    [
        (CalledOff.STOPPING, None, State.READY),
        (CalledOff.STOPPING, BROKE, State.READY),
        (CalledOff.STOPPING, DONE, State.DONE),
        (CalledOff.FENCED, None, State.LEASED),
        (CalledOff.FENCED, DONE, State.LEASED),
    ],
)
async def test_work_that_is_called_off_goes_where_the_reason_says(stage: Any, why: CalledOff, ending: Ending | None, state: State) -> None:
    work = Endless(ending)
    here = await stage(work)
    running = asyncio.create_task(here.execute())
    await work.begun.wait()
    here.executor.call_off(why)
    await asyncio.wait_for(running, PATIENCE_S)
    view = await here.view()
    assert (view.state, view.crashes) == (state, 0)
    assert view.state is State.DONE or view.attempt == (view.state is State.LEASED)


async def test_being_fenced_outranks_an_orderly_stop(stage: Any) -> None:
    work = Endless(DONE)
    here = await stage(work)
    running = asyncio.create_task(here.execute())
    await work.begun.wait()
    here.executor.call_off(CalledOff.STOPPING)
    here.executor.call_off(CalledOff.FENCED)
    await asyncio.wait_for(running, PATIENCE_S)
    assert (await here.view()).state is State.LEASED


async def test_work_called_off_before_it_began_never_begins(stage: Any) -> None:
    work = Endless()
    here = await stage(work)
    here.executor.call_off(CalledOff.STOPPING)
    await here.execute()
    assert not work.begun.is_set()
    assert (await here.view()).state is State.READY


async def test_work_that_does_not_listen_is_left_behind_and_its_worker_recycled(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.worker.executor.CANCEL_GRACE_S", 0.01)
    work = Endless(DONE, deaf=True)
    here = await stage(work)
    running = asyncio.create_task(here.execute())
    await work.begun.wait()
    here.executor.call_off(CalledOff.STOPPING)
    await asyncio.wait_for(running, PATIENCE_S)
    assert (await here.view()).state is State.READY
    assert here.last_call.end is WorkerEnd.RECYCLE
    work.let_go.set()
    await asyncio.sleep(0)


async def test_a_message_whose_fate_cannot_be_decided_is_buried_and_does_not_break_the_next_worker(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undecided(*_: Any, **__: Any) -> None:
        raise OverflowError("a mistake of ours")

    monkeypatch.setattr("perdure.worker.executor.fate", undecided)
    here = await stage(returns(BROKE))
    await here.execute()
    view = await here.view()
    assert (view.state, view.error and view.error.code) == (State.DEAD, "internal-error")
    assert view.error is not None
    assert "a mistake of ours" in view.error.message
    assert here.last_call.end is None
