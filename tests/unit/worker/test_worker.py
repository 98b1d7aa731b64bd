from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from perdure import Run, SyncRun, agent, events
from perdure.errors.base import ConfigError, NetworkFailed, RateLimited, StoreBusy
from perdure.messages.message import State
from perdure.messages.retry import Backoff
from perdure.providers.deployments import Deployments
from perdure.providers.models import Models
from perdure.providers.target import Target
from perdure.testing import FakeProvider
from perdure.testing.given import card
from perdure.worker.end import WorkerEnd
from perdure.worker.lanes import Circuit

PATIENCE_S = 20.0


@agent
async def echo(run: Run) -> Any:
    """Gives the payload back."""
    return run.body


async def test_a_message_goes_in_and_a_result_comes_out(house: Any) -> None:
    async with house.working(house.worker(echo)):
        view = await house.ended(await house.put(echo, b'{"n":1}'))
    assert (view.state, view.result, view.attempt, view.code_version) == (State.DONE, b'{"n":1}', 1, echo.version)


async def test_messages_put_before_it_began_are_worked_too(house: Any) -> None:
    ids = [await house.put(echo, str(n).encode()) for n in range(30)]
    async with house.working(house.worker(echo, slots=4)):
        views = [await house.ended(one) for one in ids]
    assert [view.result for view in views] == [str(n).encode() for n in range(30)]


async def test_no_more_messages_run_at_once_than_there_are_slots(house: Any) -> None:
    running, most = 0, 0

    @agent
    async def counts(run: Run) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    ids = [await house.put(counts) for _ in range(12)]
    async with house.working(house.worker(counts, slots=3)):
        for one in ids:
            await house.ended(one)
    assert most == 3


async def test_it_registers_its_agents_and_bows_out(house: Any) -> None:
    async with house.working(house.worker(echo, slots=7, queues=["default", "mail"])):
        [status] = await house.store.workers.workers()
        assert status.alive
        assert (status.card.slots, status.card.queues) == (7, ["default", "mail"])
        assert [card.name for card in status.card.agents] == ["echo"]
    assert not any(status.alive for status in await house.store.workers.workers())


async def test_a_model_that_nobody_has_is_said_at_the_start(house: Any) -> None:
    @agent(model="nobody/has-it")
    async def asks(run: Run) -> None:
        """Never runs."""

    with pytest.raises(ConfigError, match="'asks'"):
        await house.worker(asks).run(asyncio.Event())


async def test_only_its_own_queues_are_served(house: Any) -> None:
    elsewhere = await house.put(echo, queue="elsewhere")
    here = await house.put(echo, queue="here")
    async with house.working(house.worker(echo, queues=["here"])):
        await house.ended(here)
        assert (await house.get(elsewhere)).state is State.READY


async def test_a_message_for_an_agent_it_does_not_know_stays_ready(house: Any) -> None:
    @agent
    async def stranger(run: Run) -> None:
        """Of another worker."""

    unknown = await house.put(stranger)
    async with house.working(house.worker(echo)):
        await house.ended(await house.put(echo))
        assert (await house.get(unknown)).state is State.READY


async def test_a_failing_agent_is_retried_and_buried_with_its_error(house: Any) -> None:
    @agent
    async def fails(run: Run) -> None:
        raise ValueError(f"attempt {run.attempt}")

    async with house.working(house.worker(fails, backoff=Backoff(base_s=0.001, cap_s=0.002))):
        view = await house.ended(await house.put(fails, attempts=3))
    assert (view.state, view.attempt) == (State.DEAD, 3)
    assert view.error.message.endswith("attempt 3")
    attempts = await house.store.messages.attempts(view.message.id)
    assert [(one.n, one.kind) for one in attempts] == [(1, "retry"), (2, "retry"), (3, "bury")]


async def test_a_rate_limit_that_an_agent_lets_through_parks_without_using_an_attempt(house: Any) -> None:
    @agent
    async def limited(run: Run) -> None:
        raise RateLimited("slow down", retry_at=time.time() + 3600)

    async with house.working(house.worker(limited)):
        view = await house.until(await house.put(limited, attempts=1), lambda view: view.wait is not None)
    assert (view.state, view.wait.why, view.attempt) == (State.LATER, "rate-limit", 0)


@agent(model="fake/fake-1")
async def asks(run: Run) -> str:
    """Asks a model of one lane."""
    return await run.ask("it", "what?")


async def test_a_lane_that_met_its_limit_starts_nothing_more(house: Any) -> None:
    limited = FakeProvider(replies=lambda body: RateLimited("slow down", retry_at=time.time() + 3600))
    async with house.working(house.worker(asks, echo, provider=limited)):
        first = await house.put(asks, lane="fake/fake-1")
        view = await house.until(first, lambda view: view.wait is not None)
        assert (view.wait.why, view.attempt) == ("rate-limit", 0)
        second = await house.put(asks, lane="fake/fake-1")
        await house.ended(await house.put(echo))
        view = await house.get(second)
    assert (view.state, view.attempt) == (State.READY, 0)
    assert limited.count == 1


async def test_a_lane_that_opens_again_goes_on(house: Any) -> None:
    replies: list[Any] = [RateLimited("slow down", retry_at=time.time() + 0.2), "at last"]
    async with house.working(house.worker(asks, provider=FakeProvider(replies=replies), park_after_s=0.0)):
        view = await house.ended(await house.put(asks, lane="fake/fake-1", attempts=1))
    assert (view.state, view.result, view.attempt) == (State.DONE, b'"at last"', 1)


async def test_a_provider_that_is_down_costs_no_more_attempts_than_its_circuit_counts(house: Any) -> None:
    down = NetworkFailed("nobody listens")
    provider = FakeProvider(replies=lambda body: down if provider.count <= 3 else "here again")
    worker = house.worker(
        asks, provider=provider, slots=1, backoff=Backoff(base_s=0.01), circuit=Circuit(failures=3, rest_s=0.2, longest_rest_s=0.2)
    )
    async with house.working(worker):
        ids = [await house.put(asks, lane="fake/fake-1") for _ in range(6)]
        ends = [await house.ended(one) for one in ids]
    assert [end.state for end in ends] == [State.DONE] * 6
    assert [end.attempt for end in ends].count(1) >= 3
    assert sum(end.attempt - 1 for end in ends) == 3
    assert provider.count == 3 + 6


@agent(model="smart")
async def asks_anyone(run: Run) -> str:
    """Asks a model with two deployments."""
    return await run.ask("it", "what?")


def two_deployments(first: FakeProvider, second: FakeProvider) -> Models:
    smart = Deployments(name="smart", targets=(Target(first, "m"), Target(second, "m")))
    return Models({"one": first, "two": second}, {"smart": smart}, "smart")


async def test_a_closed_deployment_does_not_keep_messages_from_starting(house: Any) -> None:
    limited = FakeProvider("one", lambda body: RateLimited("slow down", retry_at=time.time() + 3600))
    models = two_deployments(limited, FakeProvider("two", ["here"]))
    worker = house.worker(asks_anyone, models=models)
    assert [card.lane for card in worker.card.agents] == ["smart"]
    async with house.working(worker):
        for _ in range(3):
            view = await house.ended(await house.put(asks_anyone, lane="smart", attempts=1))
            assert (view.state, view.attempt) == (State.DONE, 1)
    assert limited.count == 1, "its lane is closed, and nobody asks there again"


async def test_messages_of_a_model_stay_ready_once_all_its_deployments_are_closed(house: Any) -> None:
    later = time.time() + 3600
    limited = [FakeProvider(name, lambda body: RateLimited("slow down", retry_at=later)) for name in ("one", "two")]
    async with house.working(house.worker(asks_anyone, echo, models=two_deployments(*limited))):
        first = await house.put(asks_anyone, lane="smart")
        view = await house.until(first, lambda view: view.wait is not None)
        assert (view.wait.why, view.attempt) == ("rate-limit", 0)
        second = await house.put(asks_anyone, lane="smart")
        await house.ended(await house.put(echo))
        view = await house.get(second)
    assert (view.state, view.attempt, view.blocked_by) == (State.READY, 0, "lane-closed")
    assert [one.count for one in limited] == [1, 1]


async def test_a_deployment_that_is_down_costs_no_attempt_at_all(house: Any) -> None:
    down = FakeProvider("one", lambda body: NetworkFailed("nobody listens"))
    worker = house.worker(asks_anyone, models=two_deployments(down, FakeProvider("two")), slots=1, circuit=Circuit(failures=3, rest_s=60))
    async with house.working(worker):
        ends = [await house.ended(await house.put(asks_anyone, lane="smart", attempts=1)) for _ in range(8)]
    assert [(end.state, end.attempt) for end in ends] == [(State.DONE, 1)] * 8
    assert down.count == 3, "then its circuit is open"


async def test_a_sleeping_run_gives_its_slot_back_and_wakes(house: Any) -> None:
    @agent
    async def naps(run: Run) -> str:
        await run.sleep(0.3)
        return "awake"

    async with house.working(house.worker(naps, echo, slots=1, park_after_s=0.0)):
        napping = await house.put(naps)
        await house.until(napping, lambda view: view.state is State.LATER)
        assert (await house.ended(await house.put(echo))).state is State.DONE
        view = await house.ended(napping)
    assert (view.result, view.attempt) == (b'"awake"', 1)


async def test_the_deadline_of_a_running_message_is_kept(house: Any) -> None:
    @agent
    async def forever(run: Run) -> None:
        await asyncio.Event().wait()

    async with house.working(house.worker(forever)):
        view = await house.ended(await house.put(forever, deadline=time.time() + 0.1))
    assert (view.state, view.error.code, view.attempt) == (State.DEAD, "deadline-passed", 0)


async def test_an_orderly_stop_lets_running_messages_end(house: Any) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    @agent
    async def works(run: Run) -> str:
        begun.set()
        await go.wait()
        return "ended"

    worker = house.worker(works)
    async with house.working(worker) as (stop, life):
        running = await house.put(works)
        await begun.wait()
        stop.set()
        await worker._last_call.wait()
        late = await house.put(works)
        go.set()
        assert await asyncio.wait_for(life, PATIENCE_S) is WorkerEnd.STOPPED
    assert (await house.get(running)).state is State.DONE
    assert (await house.get(late)).state is State.READY


async def test_what_does_not_end_within_its_grace_is_released_from_its_last_step(house: Any) -> None:
    begun, made = asyncio.Event(), []

    @agent
    async def works(run: Run) -> str:
        await run.step("once", lambda: made.append(1))
        if len(made) == 1 and not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        return "ended"

    async with house.working(house.worker(works, grace_s=0.01)) as (stop, life):
        running = await house.put(works)
        await begun.wait()
        stop.set()
        await asyncio.wait_for(life, PATIENCE_S)
    view = await house.get(running)
    assert (view.state, view.attempt, view.crashes) == (State.READY, 0, 0)
    async with house.working(house.worker(works)):
        assert (await house.ended(running)).result == b'"ended"'
    assert made == [1]


async def test_a_worker_declared_dead_drops_everything_at_once(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.worker.heartbeat.BEAT_S", 0.02)
    begun, heard = asyncio.Event(), []

    @agent
    async def works(run: Run) -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    deaf = events.listen("worker.", lambda name, facts: heard.append(name))
    async with house.working(house.worker(works)) as (_, life):
        running = await house.put(works)
        await begun.wait()
        await house.store.workers.reap(dead_after_s=-1.0)
        assert await asyncio.wait_for(life, PATIENCE_S) is WorkerEnd.FENCED
    deaf()
    assert (await house.get(running)).state is State.READY
    assert "worker.fenced" in heard


async def test_a_slot_is_free_before_its_ending_is_written(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held, messages = asyncio.Event(), type(house.store.messages)
    real = messages.done
    second_began = asyncio.Event()

    @agent
    async def works(run: Run) -> int:
        if run.body == 2:
            second_began.set()
        return run.body

    async def slow_done(self: Any, lease: Any, *args: Any, **kwargs: Any) -> None:
        if lease.message.body == b"1":
            await held.wait()
        await real(self, lease, *args, **kwargs)

    monkeypatch.setattr(messages, "done", slow_done)
    async with house.working(house.worker(works, slots=1)):
        first, second = await house.put(works, b"1"), await house.put(works, b"2")
        await asyncio.wait_for(second_began.wait(), PATIENCE_S)
        assert (await house.get(first)).state is State.LEASED
        held.set()
        await house.ended(first)
        await house.ended(second)


async def test_leasing_goes_on_after_the_store_was_busy(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    messages, busy = type(house.store.messages), [StoreBusy("locked")] * 2
    real = messages.lease

    async def lease(*args: Any, **kwargs: Any) -> Any:
        if busy:
            raise busy.pop()
        return await real(*args, **kwargs)

    monkeypatch.setattr(messages, "lease", lease)
    async with house.working(house.worker(echo)):
        assert (await house.ended(await house.put(echo))).state is State.DONE
    assert not busy


async def test_sync_agents_run_in_threads_beside_async_ones(house: Any) -> None:
    go = threading.Event()

    @agent
    def blocks(run: SyncRun) -> bool:
        return go.wait(PATIENCE_S)

    async with house.working(house.worker(blocks, echo, slots=4, threads=1)):
        blocked = [await house.put(blocks) for _ in range(2)]
        await house.until(blocked[0], lambda view: view.state is State.LEASED)
        assert (await house.ended(await house.put(echo))).state is State.DONE
        assert (await house.get(blocked[1])).state is State.READY, "it would only wait for a thread here"
        go.set()
        for one in blocked:
            assert (await house.ended(one)).result == b"true"


async def test_a_hung_thread_gives_its_slot_up_and_its_worker_is_recycled(house: Any) -> None:
    go = threading.Event()

    @agent(timeout_s=0.05, attempts=1)
    def hangs(run: SyncRun) -> None:
        go.wait(PATIENCE_S)

    async with house.working(house.worker(hangs, slots=1, threads=1)) as (_, life):
        view = await house.ended(await house.put(hangs, timeout_s=0.05, attempts=1))
        assert (view.state, view.error.code) == (State.DEAD, "run-timeout")
        assert await asyncio.wait_for(life, PATIENCE_S) is WorkerEnd.RECYCLE
    go.set()
    assert WorkerEnd.RECYCLE.exit_code == 75


async def test_what_a_dead_worker_held_is_taken_up_at_the_start(house: Any) -> None:
    dead = await house.store.workers.register(card("echo"))
    held = await house.put(echo)
    [lease] = await house.store.messages.lease(await house.store.messages.routes(), limit=1, worker=dead)
    assert lease.message.id == held
    async with house.working(house.worker(echo, dead_after_s=-1.0)) as (stop, life):
        stop.set()
        await asyncio.wait({life}, timeout=PATIENCE_S)
    assert (await house.get(held)).state is not State.LEASED


async def test_being_cancelled_releases_at_once(house: Any) -> None:
    begun = asyncio.Event()

    @agent
    async def works(run: Run) -> None:
        begun.set()
        await asyncio.Event().wait()

    worker = house.worker(works, grace_s=1000.0)
    life = asyncio.create_task(worker.run(asyncio.Event()))
    running = await house.put(works)
    await begun.wait()
    life.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(life, PATIENCE_S)
    assert (await house.get(running)).state is State.READY
