"""One attempt after the other: what is replayed, what is made, and how attempts end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from perdure.agents.agent import agent
from perdure.agents.journal import Decision, StepKind, StepState
from perdure.agents.parts import Finished
from perdure.agents.run import Run
from perdure.agents.sync import SyncRun
from perdure.errors.base import (
    Billed,
    ContextTooLong,
    LeaseError,
    LeaseLost,
    OutcomeUnknown,
    ProviderTimeout,
    RateLimited,
    ServerFailed,
    StoreBusy,
    StoreFull,
    ToolFailed,
)
from perdure.tools.tool import tool


class Broke(Exception):
    """A tool's own."""


# Replay -------------------------------------------------------------------------------------------


async def test_a_recorded_answer_is_returned_and_not_asked_for_again(world: Any) -> None:
    @agent
    async def once(run: Run) -> str:
        return await run.ask("greet", "Hello")

    first = await world.result(once)
    await world.crash()
    assert await world.result(once) == first
    assert world.provider.count == 1
    assert world.count("step.replayed") == 1
    [step] = await world.steps()
    assert (step.state, step.tries, step.key.kind) == (StepState.DONE, 1, StepKind.LLM)


async def test_the_intent_is_committed_before_the_call_and_the_result_before_the_agent_sees_it(world: Any) -> None:
    seen: list[StepState] = []

    @tool
    async def act() -> int:
        seen.append((await world.steps())[0].state)
        return 1

    @agent
    async def acting(run: Run) -> None:
        await run.call(act)
        seen.append((await world.steps())[0].state)

    await world.attempt(acting)
    assert seen == [StepState.INTENT, StepState.DONE]


async def test_how_an_answer_travels_is_no_part_of_what_was_asked(world: Any) -> None:
    transport: dict[str, Any] = {"stream": True, "user": "ann", "metadata": {"a": "b"}, "headers": {"x-trace": "1"}}

    @agent
    async def asking(run: Run) -> str:
        return await run.ask("greet", "Hello", temperature=0.5, **transport)

    await world.attempt(asking)
    await world.crash()
    transport |= {"stream": False, "user": "bob", "metadata": {}, "headers": {"x-trace": "2"}}
    await world.attempt(asking)
    assert world.provider.count == 1
    assert "stream" not in world.provider.calls[0]
    assert "headers" not in world.provider.calls[0]


async def test_calls_get_their_place_when_they_are_made_not_when_they_are_awaited(world: Any) -> None:
    world.provider = type(world.provider)(replies=["first", "second"])

    @agent
    async def backwards(run: Run) -> list[str]:
        one, two = run.ask("same", "x"), run.ask("same", "x")
        second = await two
        return [await one, second]

    assert await world.result(backwards) == ["second", "first"]
    assert [step.key.n for step in await world.steps()] == [1, 0]


async def test_equal_calls_in_flight_at_once_are_told(world: Any) -> None:
    @agent
    async def twins(run: Run) -> None:
        await asyncio.gather(run.ask("same", "x"), run.ask("same", "x"), run.ask("same", "y"))

    await world.attempt(twins)
    assert world.count("step.twin") == 1


async def test_equal_calls_in_scopes_of_their_own_are_no_twins(world: Any) -> None:
    @agent
    async def scoped(run: Run) -> None:
        async def branch(name: str) -> None:
            with run.scope("all"), run.scope(name):
                await run.ask("same", "x")

        await asyncio.gather(branch("left"), branch("right"))

    await world.attempt(scoped)
    assert world.count("step.twin") == 0
    assert sorted(step.key.scope for step in await world.steps()) == ["all/left", "all/right"]


async def test_values_are_the_same_on_every_replay(world: Any) -> None:
    @agent
    async def valued(run: Run) -> list[str]:
        return [str(await run.now()), str(await run.uuid()), str(await run.random()), str(await run.random())]

    first = await world.result(valued)
    await world.crash()
    assert await world.result(valued) == first
    assert first[2] != first[3]


async def test_a_request_is_shown_in_the_journal(world: Any) -> None:
    @agent
    async def shown(run: Run) -> None:
        await run.step("add", lambda a, b: a + b, 1, b=2)

    await world.attempt(shown)
    [step] = await world.steps()
    assert json.loads(step.request) == {"args": [1], "kwargs": {"b": 2}}


# Failed calls -------------------------------------------------------------------------------------


async def test_the_call_that_ended_the_attempt_is_made_again_in_the_next(world: Any, ran: list[Any]) -> None:
    @tool
    def fragile() -> str:
        ran.append(1)
        if len(ran) == 1:
            raise Broke("not yet", 7)
        return "done"

    @agent
    async def trying(run: Run) -> str:
        await run.ask("before", "x")
        return str(await run.call(fragile))

    ending = await world.failed(trying)
    assert (ending.error.code, ending.error.message, ending.step) == ("tool-failed", "('not yet', 7)", 2)
    assert ending.error.retryable
    await world.retry(ending)
    assert await world.result(trying) == "done"
    assert world.provider.count == 1


async def test_after_a_crash_the_same_error_is_raised_again(world: Any, ran: list[Any]) -> None:
    @tool
    def fragile() -> None:
        ran.append(1)
        raise Broke("no", 7)

    @agent
    async def careful(run: Run) -> list[Any]:
        try:
            await run.call(fragile)
        except Broke as error:
            return [type(error).__name__, *error.args]
        return []

    assert await world.result(careful) == ["Broke", "no", 7]
    await world.crash()
    assert await world.result(careful) == ["Broke", "no", 7]
    assert ran == [1]


async def test_an_error_that_cannot_be_rebuilt_looks_the_same_the_first_time(world: Any) -> None:
    @tool
    def decode() -> Any:
        return json.loads("{")

    @agent
    async def careful(run: Run) -> str:
        try:
            await run.call(decode)
        except ToolFailed as error:
            return f"{error.message} from {type(error.__cause__).__name__ if error.__cause__ else 'the journal'}"
        return ""

    assert (await world.result(careful)).endswith("from JSONDecodeError")
    await world.crash()
    assert (await world.result(careful)).endswith("from the journal")


@pytest.mark.parametrize("how", ["wrapped", "while handling", "in a group", "in a nested group", "as it is"])
async def test_the_failed_call_is_found_however_its_error_left_the_agent(world: Any, how: str) -> None:
    @tool
    def fails() -> None:
        raise Broke("x")

    @agent
    async def failing(run: Run) -> None:
        await run.ask("before", "x")
        try:
            await run.call(fails)
        except Broke as error:
            if how == "wrapped":
                raise ValueError("y") from error
            if how == "while handling":
                raise ValueError("y")  # noqa: B904 - that is the point
            if how == "in a group":
                raise ExceptionGroup("z", [KeyError("k"), error]) from None
            if how == "in a nested group":
                raise RuntimeError("w") from ExceptionGroup("z", [ExceptionGroup("v", [error])])
            raise

    ending = await world.failed(failing)
    assert ending.step == 2


async def test_an_error_the_agent_handled_is_not_blamed_for_a_later_one(world: Any) -> None:
    @tool
    def fails(n: int) -> None:
        raise Broke(n)

    @agent
    async def failing(run: Run) -> None:
        try:
            await run.call(fails, 1)
        except Broke:
            await run.call(fails, 2)

    assert (await world.failed(failing)).step == 2


async def test_an_agents_own_error_blames_no_step(world: Any) -> None:
    @agent
    async def failing(run: Run) -> None:
        await run.ask("before", "x")
        raise Broke("mine")

    ending = await world.failed(failing)
    assert (ending.error.code, ending.step, ending.usage.calls) == ("agent-failed", None, 1)


async def test_all_calls_that_failed_together_are_made_again_together(world: Any) -> None:
    world.provider = type(world.provider)(replies=[ServerFailed("one"), ServerFailed("two"), ServerFailed("three"), "fine"])

    @agent
    async def together(run: Run) -> str:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_quietly(run, str(n))) for n in range(3)]
        return "".join(task.result() for task in tasks)

    async def _quietly(run: Run, n: str) -> str:
        try:
            return await asyncio.shield(run.ask("same", n))
        except asyncio.CancelledError:
            return ""

    ending = await world.failed(together)
    await world.retry(ending)
    assert await world.result(together) == "finefinefine"


async def test_a_failed_llm_call_is_recorded_and_raised(world: Any) -> None:
    world.provider = type(world.provider)(replies=[ServerFailed("oops"), "fine"])

    @agent
    async def stubborn(run: Run) -> str:
        try:
            return await run.ask("one", "x")
        except ServerFailed:
            return await run.ask("two", "x")

    assert await world.result(stubborn) == "fine"
    await world.crash()
    assert await world.result(stubborn) == "fine"
    assert world.provider.count == 2
    assert [step.state for step in await world.steps()] == [StepState.FAILED, StepState.DONE]


async def test_a_failure_that_may_have_been_billed_is_counted_when_it_is_made_again(world: Any) -> None:
    world.provider = type(world.provider)(replies=[ProviderTimeout("late"), "fine"])

    @agent
    async def patient(run: Run) -> str:
        return await run.ask("one", "x")

    ending = await world.failed(patient)
    assert ending.error.billed is Billed.MAYBE
    await world.retry(ending)
    again = await world.attempt(patient)
    assert isinstance(again, Finished)
    assert (again.usage.calls, again.usage.paid_again) == (2, 1)
    assert (await world.store.messages.counters())["possibly_paid_twice"] == 1


async def test_a_permanent_error_among_several_decides(world: Any) -> None:
    @agent
    async def failing(run: Run) -> None:
        raise ExceptionGroup("both", [ServerFailed("now"), ContextTooLong("ever")])

    ending = await world.failed(failing)
    assert (ending.error.code, ending.error.retryable) == ("provider-context-length", False)
    assert "provider-server: now" in ending.error.causes


@pytest.mark.parametrize("error", [StoreFull("theirs"), LeaseLost("theirs"), OutcomeUnknown("theirs")], ids=lambda error: error.code)
async def test_an_agents_own_use_of_our_errors_is_its_failure(world: Any, error: Exception) -> None:
    @agent
    async def failing(run: Run) -> None:
        raise error

    ending = await world.failed(failing)
    assert (ending.error.code, ending.error.retryable) == ("agent-failed", True)


@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt])
async def test_a_way_out_of_the_process_is_the_agents_failure(world: Any, leave: type[BaseException]) -> None:
    @agent
    async def leaving(run: Run) -> None:
        raise leave

    assert leave.__name__ in (await world.failed(leaving)).error.message


async def test_a_cancellation_from_within_is_the_agents_failure(world: Any) -> None:
    @agent
    async def cancelling(run: Run) -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    assert "cancelled from within" in (await world.failed(cancelling)).error.message


async def test_a_foreign_exception_of_a_provider_is_a_server_failure(world: Any) -> None:
    world.provider = type(world.provider)(replies=[KeyError("choices")])

    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    ending = await world.failed(asking)
    assert (ending.error.code, ending.error.billed) == ("provider-server", Billed.MAYBE)
    assert any("KeyError" in cause for cause in ending.error.causes)


# Intents without a result -------------------------------------------------------------------------


class Dies:
    """A journal whose worker is declared dead once a certain step was intended or recorded."""

    def __init__(self, journal: Any, world: Any, *, at_record: str) -> None:
        self._journal, self._world, self._name, self._names = journal, world, at_record, {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def intend(self, lease: Any, intent: Any) -> None:
        self._names[intent.number] = intent.key.name
        await self._journal.intend(lease, intent)

    async def record(self, lease: Any, number: int, result: bytes, **more: Any) -> None:
        if self._names[number] == self._name and not self._world.more.get("died"):
            await self._world.crash()
        await self._journal.record(lease, number, result, **more)


async def dies_before_recording(world: Any, name: str, agent: Any) -> None:
    world.wrap_journal = lambda journal: Dies(journal, world, at_record=name)
    with pytest.raises(LeaseError):
        await world.attempt(agent)
    world.wrap_journal = lambda journal: journal


async def test_an_llm_call_in_flight_at_a_crash_is_made_once_more_and_counted(world: Any) -> None:
    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    await dies_before_recording(world, "one", asking)
    ending = await world.attempt(asking)
    assert isinstance(ending, Finished)
    assert (world.provider.count, ending.usage.paid_again) == (2, 1)
    [step] = await world.steps()
    assert (step.tries, step.ambiguous) == (2, 1)
    assert world.count("step.ambiguous") == 1


async def test_an_idempotent_tool_in_flight_at_a_crash_runs_again_under_the_same_key(world: Any, ran: list[Any]) -> None:
    @agent
    async def acting(run: Run) -> str:
        @tool(idempotent=True)
        def act() -> str:
            ran.append(run.idempotency_key)
            return "acted"

        return str(await run.call(act))

    await dies_before_recording(world, "act", acting)
    assert await world.result(acting) == "acted"
    assert len(ran) == 2
    assert ran[0] == ran[1]
    assert ran[0].endswith("-1")
    assert (await world.store.messages.counters()).get("possibly_paid_twice", 0) == 0


@pytest.mark.parametrize(
    ("decision", "result", "wanted", "runs"), [(Decision.HAPPENED, "by hand", "by hand", 1), (Decision.RUN_AGAIN, None, "acted", 2)]
)
async def test_any_other_tool_in_flight_at_a_crash_waits_for_a_person(
    world: Any, ran: list[Any], decision: Decision, result: Any, wanted: str, runs: int
) -> None:
    @tool
    def act() -> str:
        ran.append(1)
        return "acted"

    @agent
    async def acting(run: Run) -> str:
        await run.ask("before", "x")
        return str(await run.call(act))

    await dies_before_recording(world, "act", acting)
    ending = await world.parked(acting)
    assert (ending.wait.why, ending.wait.step, ending.wait.until) == ("outcome-unknown", 2, None)
    assert ran == [1]
    await world.decide(ending, decision, result)
    assert await world.result(acting) == wanted
    assert len(ran) == runs
    assert world.provider.count == 1


# Unknown outcomes without a crash -----------------------------------------------------------------


class ReadTimeout(Exception):
    """As HTTP clients have it."""


class ConnectTimeout(Exception):
    """It cannot have happened."""


@pytest.mark.parametrize(
    "error",
    [TimeoutError("late"), OutcomeUnknown("cut"), ReadTimeout("late"), asyncio.CancelledError()],
    ids=lambda error: type(error).__name__,
)
async def test_a_tool_that_cannot_know_what_it_did_waits_for_a_person_at_once(world: Any, error: BaseException) -> None:
    @tool
    async def act() -> None:
        raise error

    @agent
    async def acting(run: Run) -> None:
        try:
            await run.call(act)
        except BaseException as seen:
            raise AssertionError("the agent must not see it") from seen

    ending = await world.parked(acting)
    assert (ending.wait.why, ending.wait.step) == ("outcome-unknown", 1)
    assert ending.wait.error is not None
    assert (await world.steps())[0].state is StepState.INTENT


@pytest.mark.parametrize(
    ("error", "seen"),
    [(TimeoutError("late"), "TimeoutError"), (OutcomeUnknown("cut"), "ToolFailed"), (asyncio.CancelledError(), "ToolFailed")],
    ids=lambda one: str(one),
)
async def test_an_idempotent_tool_that_cannot_know_is_run_again_in_the_next_attempt(
    world: Any, ran: list[Any], error: BaseException, seen: str
) -> None:
    @tool(idempotent=True)
    async def act() -> str:
        ran.append(1)
        if len(ran) == 1:
            raise error
        return "acted"

    @agent
    async def acting(run: Run) -> str:
        try:
            return str(await run.call(act))
        except Exception as failure:
            met.append(type(failure).__name__)
            raise

    met: list[str] = []
    ending = await world.failed(acting)
    assert ending.error.retryable
    assert met == [seen]
    assert (await world.steps())[0].state is StepState.INTENT
    await world.retry(ending)
    assert await world.result(acting) == "acted"


async def test_a_time_out_at_connecting_is_a_known_failure(world: Any) -> None:
    @tool
    def act() -> None:
        raise ConnectTimeout("nobody there")

    @agent
    async def acting(run: Run) -> None:
        await run.call(act)

    ending = await world.failed(acting)
    assert ending.step == 1


async def cut_off(call: Coroutine[Any, Any, Any], begun: asyncio.Event) -> None:
    """As `asyncio.wait_for` or a failing `TaskGroup` would, once the call has begun."""
    task = asyncio.create_task(call)
    await begun.wait()
    task.cancel()
    await asyncio.wait({task})


async def test_a_tool_cut_off_by_the_agent_itself_stops_the_run_for_a_person(world: Any, ran: list[Any]) -> None:
    begun = asyncio.Event()

    @tool
    async def slow() -> None:
        begun.set()
        await asyncio.sleep(60)

    @agent
    async def hasty(run: Run) -> str:
        await cut_off(run.call(slow), begun)
        ran.append("went on")
        return await run.ask("after", "x")

    ending = await world.parked(hasty)
    assert (ending.wait.why, ending.wait.step) == ("outcome-unknown", 1)
    assert (ran, world.provider.count) == (["went on"], 0)


async def test_an_agent_that_returns_after_cutting_a_tool_off_still_waits_for_a_person(world: Any) -> None:
    begun = asyncio.Event()

    @tool
    async def slow() -> None:
        begun.set()
        await asyncio.sleep(60)

    @agent
    async def hasty(run: Run) -> str:
        await cut_off(run.call(slow), begun)
        return "never mind"

    assert (await world.parked(hasty)).wait.why == "outcome-unknown"


async def test_a_tool_cut_off_in_the_agents_last_moment_waits_for_a_person_too(world: Any) -> None:
    begun = asyncio.Event()

    @tool
    async def slow() -> None:
        begun.set()
        await asyncio.sleep(60)

    @agent
    async def hasty(run: Run) -> str:
        task = asyncio.create_task(run.call(slow))
        await begun.wait()
        task.cancel()
        return "never mind"

    assert (await world.parked(hasty)).wait.why == "outcome-unknown"


async def test_an_llm_call_cut_off_by_the_agent_is_an_intent_that_may_have_been_billed(world: Any) -> None:
    begun = asyncio.Event()

    def reply(body: Any) -> str:
        begun.set()
        return "fine"

    world.provider = type(world.provider)(replies=reply, delay_s=60)

    @agent
    async def hasty(run: Run) -> str:
        await cut_off(run.ask("slow", "x"), begun)
        return "gave up"

    assert await world.result(hasty) == "gave up"
    [step] = await world.steps()
    assert step.state is StepState.INTENT
    await world.crash()
    begun.clear()
    await world.result(hasty)
    assert (await world.steps())[0].ambiguous == 1


# Divergence ---------------------------------------------------------------------------------------


async def test_an_llm_call_that_changed_its_mind_is_made_and_marked(world: Any) -> None:
    @agent
    async def moody(run: Run) -> str:
        return await run.ask("mood", f"attempt {len(world.provider.calls)}")

    await world.attempt(moody)
    await world.crash()
    await world.attempt(moody)
    assert [step.diverged for step in await world.steps()] == [False, True]
    assert world.count("step.diverged") == 1
    assert (await world.store.messages.counters())["divergences"] == 1


async def test_a_non_idempotent_tool_that_changed_its_mind_waits_for_a_person(world: Any, ran: list[Any]) -> None:
    amounts = [10, 11, 11]

    @tool
    def pay(amount: int) -> int:
        ran.append(amount)
        return amount

    @agent
    async def paying(run: Run) -> int:
        return int(await run.call(pay, amounts.pop(0)))

    await world.attempt(paying)
    await world.crash()
    ending = await world.parked(paying)
    assert (ending.wait.step, ran) == (2, [10])
    assert ending.wait.error is not None
    assert "otherwise" in ending.wait.error.message
    await world.decide(ending, Decision.RUN_AGAIN)
    assert await world.result(paying) == 11
    assert ran == [10, 11]


async def test_an_idempotent_tool_that_changed_its_mind_is_run(world: Any, ran: list[Any]) -> None:
    @tool(idempotent=True)
    def put(amount: int) -> int:
        ran.append(amount)
        return amount

    @agent
    async def putting(run: Run) -> int:
        return int(await run.call(put, len(ran)))

    await world.attempt(putting)
    await world.crash()
    assert await world.result(putting) == 1
    assert [step.diverged for step in await world.steps()] == [False, True]


async def test_branches_that_come_by_in_another_order_do_not_diverge(world: Any, ran: list[Any]) -> None:
    @tool
    def act(what: str) -> str:
        ran.append(what)
        return what

    @agent
    async def branching(run: Run) -> list[str]:
        async def late() -> str:
            for _ in range(2):
                await asyncio.sleep(0)
            return str(await run.call(act, "recorded"))

        if not ran:
            await late()
            raise Broke("before the other branch came that far")
        return list(await asyncio.gather(run.call(act, "new"), late()))

    await world.retry(await world.failed(branching))
    assert await world.result(branching) == ["new", "recorded"]
    assert (ran, world.count("step.diverged")) == (["recorded", "new"], 0)


# Losing the right to go on ------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LeaseLost("stale"), StoreFull("no room")], ids=lambda error: error.code)
async def test_what_the_store_refuses_ends_the_run_whatever_the_agent_catches(world: Any, error: Exception) -> None:
    class Refuses(Dies):
        async def record(self, lease: Any, number: int, result: bytes, **more: Any) -> None:
            raise error

    world.wrap_journal = lambda journal: Refuses(journal, world, at_record="")
    caught: list[str] = []

    @agent
    async def stubborn(run: Run) -> str:
        for n in range(3):
            try:
                await run.ask("one", str(n))
            except Exception as seen:
                caught.append(type(seen).__name__)
        return "fine"

    with pytest.raises(type(error)):
        await world.attempt(stubborn)
    assert world.provider.count == 1


async def test_a_call_that_may_have_been_made_stays_ambiguous_though_its_next_intent_cannot_be_written(world: Any) -> None:
    class Full(Dies):
        async def record(self, lease: Any, number: int, result: bytes, **more: Any) -> None:
            raise StoreFull("no room for what came")

    class FullAtOnce(Dies):
        async def intend(self, lease: Any, intent: Any) -> None:
            raise StoreFull("no room to begin")

    @agent
    async def once(run: Run) -> str:
        return await run.ask("greet", "Hello")

    for refuses in (Full, FullAtOnce):
        world.wrap_journal = lambda journal, refuses=refuses: refuses(journal, world, at_record="")
        with pytest.raises(StoreFull):
            await world.attempt(once)
        await world.crash()
    world.wrap_journal = lambda journal: journal
    await world.result(once)
    [step] = await world.steps()
    assert (world.provider.count, step.ambiguous) == (2, 1)


async def test_a_store_that_stays_busy_when_memory_is_read_is_not_the_agents_failure(world: Any) -> None:
    class Busy:
        async def read(self, tenant: str, space: str, key: str) -> bytes | None:
            raise StoreBusy("for long")

    world.more["memory"] = Busy()

    @agent
    async def reading(run: Run) -> Any:
        return await run.memory.retrieve("a")

    with pytest.raises(StoreBusy):
        await world.attempt(reading)


async def test_an_answer_in_hand_is_offered_to_a_busy_store_again(world: Any) -> None:
    class Busy(Dies):
        left = 2

        async def record(self, lease: Any, number: int, result: bytes, **more: Any) -> None:
            if self.left:
                self.left -= 1
                raise StoreBusy("locked")
            await self._journal.record(lease, number, result, **more)

    world.wrap_journal = lambda journal: Busy(journal, world, at_record="")

    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    assert await world.result(asking) == "answer to: x"


async def test_a_store_that_stays_busy_ends_the_run(world: Any) -> None:
    class Busy(Dies):
        async def record(self, lease: Any, number: int, result: bytes, **more: Any) -> None:
            raise StoreBusy("locked")

    world.wrap_journal = lambda journal: Busy(journal, world, at_record="")

    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    with pytest.raises(StoreBusy):
        await world.attempt(asking)


async def test_a_worker_that_may_be_dead_begins_nothing_outside_the_store(world: Any, ran: list[Any]) -> None:
    beats = [True, False]
    world.more["effects_allowed"] = lambda: beats.pop(0) if beats else False

    @agent
    async def acting(run: Run) -> None:
        await run.step("act", ran.append, 1)

    with pytest.raises(LeaseLost):
        await world.attempt(acting)
    assert ran == []


async def test_an_answer_is_recorded_even_if_the_agent_gives_up_meanwhile(world: Any) -> None:
    started = asyncio.Event()

    class Slow(Dies):
        async def record(self, lease: Any, number: int, result: bytes, **more: Any) -> None:
            started.set()
            await asyncio.sleep(0.02)
            await self._journal.record(lease, number, result, **more)

    world.wrap_journal = lambda journal: Slow(journal, world, at_record="")

    @agent
    async def hasty(run: Run) -> str:
        task = asyncio.create_task(run.ask("one", "x"))
        await started.wait()
        task.cancel()
        await asyncio.wait({task})
        return "gave up"

    assert await world.result(hasty) == "gave up"
    assert (await world.steps())[0].state is StepState.DONE


async def test_a_call_given_up_before_it_was_sent_did_not_happen(world: Any, ran: list[Any]) -> None:
    started = asyncio.Event()

    class Slow(Dies):
        async def intend(self, lease: Any, intent: Any) -> None:
            started.set()
            await asyncio.sleep(0.02)
            await self._journal.intend(lease, intent)

    world.wrap_journal = lambda journal: Slow(journal, world, at_record="")

    @agent
    async def hasty(run: Run) -> str:
        task = asyncio.create_task(run.step("act", ran.append, 1))
        await started.wait()
        task.cancel()
        await asyncio.wait({task})
        return "gave up"

    assert await world.result(hasty) == "gave up"
    [step] = await world.steps()
    assert (step.state, ran) == (StepState.AGAIN, [])


# Ends ---------------------------------------------------------------------------------------------


async def test_calls_under_way_when_the_agent_returns_end_and_are_recorded(world: Any) -> None:
    world.provider.delay_s = 0.03
    tasks = []

    @agent
    async def forgetful(run: Run) -> str:
        tasks.append(asyncio.create_task(run.ask("left", "x")))
        await asyncio.sleep(0.01)
        return "done"

    assert await world.result(forgetful) == "done"
    assert [step.state for step in await world.steps()] == [StepState.DONE]


async def test_a_failure_that_the_agent_never_saw_is_made_again(world: Any) -> None:
    world.provider = type(world.provider)(replies=[ServerFailed("one"), "fine"])
    world.provider.delay_s = 0.02

    @agent
    async def forgetful(run: Run) -> str:
        task = asyncio.create_task(run.ask("left", "x"))
        await asyncio.sleep(0.005)
        if world.provider.count == 1:
            raise Broke("first time")
        return await task

    ending = await world.failed(forgetful)
    assert (await world.steps())[0].state is StepState.AGAIN
    await world.retry(ending)
    assert await world.result(forgetful) == "fine"


async def test_no_call_begins_after_the_agent_has_ended(world: Any) -> None:
    later: list[Any] = []

    @agent
    async def haunted(run: Run) -> str:
        async def ghost() -> None:
            await asyncio.sleep(0.01)
            await run.ask("ghost", "x")

        later.append(asyncio.create_task(ghost()))
        return "done"

    assert await world.result(haunted) == "done"
    await asyncio.wait(later)
    assert later[0].cancelled()
    assert world.provider.count == 0


async def test_an_attempt_that_takes_too_long_is_a_failed_one(world: Any) -> None:
    @agent(timeout_s=0.3)
    async def slow(run: Run) -> None:
        await run.ask("one", "x")
        await asyncio.sleep(60)

    ending = await world.failed(slow)
    assert (ending.error.code, ending.error.retryable, ending.hung, ending.usage.calls) == ("run-timeout", True, False, 1)


async def test_the_message_says_how_long_an_attempt_may_take(world: Any) -> None:
    @agent(timeout_s=60)
    async def slow(run: Run) -> None:
        await asyncio.sleep(60)

    assert (await world.failed(slow, timeout_s=0.02)).error.code == "run-timeout"


async def test_a_deadline_in_mid_run_ends_it(world: Any) -> None:
    @agent
    async def slow(run: Run) -> None:
        await asyncio.sleep(60)

    ending = await world.failed(slow, deadline=world.clock.now() + 0.02)
    assert ending.error.code == "deadline-passed"


async def test_an_async_agent_that_will_not_end_is_left_behind(world: Any) -> None:
    done = asyncio.Event()

    @agent(timeout_s=0.02)
    async def deaf(run: Run) -> None:
        while not done.is_set():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    ending = await world.failed(deaf)
    assert (ending.error.code, ending.hung) == ("run-timeout", True)
    done.set()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def test_an_attempt_that_is_called_off_takes_its_calls_with_it(world: Any) -> None:
    world.provider.delay_s = 60

    @agent
    async def slow(run: Run) -> str:
        return await run.ask("one", "x")

    work = asyncio.create_task(world.attempt(slow))
    while not world.provider.count:
        await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (await world.steps())[0].state is StepState.INTENT


async def test_the_usage_of_a_run_is_that_of_all_its_attempts(world: Any) -> None:
    @agent
    async def twice(run: Run) -> None:
        await run.ask("one", "x")
        if run.attempt == 1:
            raise Broke("again")
        await run.ask("two", "x")

    ending = await world.failed(twice)
    assert ending.usage.calls == 1
    await world.retry(ending)
    again = await world.attempt(twice)
    assert isinstance(again, Finished)
    assert again.usage.calls == 2


# Limits of a run ----------------------------------------------------------------------------------


async def test_a_run_makes_no_more_steps_than_it_may(world: Any) -> None:
    @agent(max_steps=2)
    async def busy(run: Run) -> None:
        for n in range(5):
            await run.ask("one", str(n))

    ending = await world.failed(busy)
    assert (ending.error.code, ending.error.retryable, world.provider.count) == ("limit-steps", False, 2)


async def test_a_run_uses_no_more_tokens_than_it_may(world: Any) -> None:
    @agent(max_tokens=10)
    async def wordy(run: Run) -> None:
        for n in range(9):
            await run.ask("one", f"{n} a b c d")

    ending = await world.failed(wordy)
    assert ending.error.code == "limit-tokens"
    assert 1 <= world.provider.count < 4


async def test_a_run_works_no_longer_than_it_may(world: Any) -> None:
    @agent(max_time_s=0.02)
    async def slow(run: Run) -> None:
        await asyncio.sleep(60)

    ending = await world.failed(slow)
    assert (ending.error.code, ending.error.retryable) == ("limit-time", False)


# Sync agents --------------------------------------------------------------------------------------


async def test_a_sync_agent_does_the_same_from_a_thread(world: Any, ran: list[Any]) -> None:
    @tool
    def act(n: int) -> int:
        ran.append(threading.get_ident())
        return n + 1

    @agent
    def blocking(run: SyncRun) -> dict[str, Any]:
        ran.append(threading.get_ident())
        with run.scope("inner"):
            said = run.ask("one", "x")
        run.memory.store("k", {"a": 1})
        stats = run.memory.get_stats()
        kept = run.memory.retrieve("k")
        run.memory.clear("k")
        run.sleep(1)
        values = [str(run.now()), str(run.uuid()), str(run.random())]
        whole = run.complete("raw", {"messages": [{"role": "user", "content": "x"}]})
        talk = run.chat("talk", [{"role": "user", "content": "x"}])
        return {
            "said": said,
            "n": run.call(act, 1),
            "kept": kept,
            "entries": stats["entries"],
            "values": values,
            "step": run.step("s", len, "abc"),
            "id": run.id,
            "whole": whole["object"],
            "talk": talk.text,
            "key": run.idempotency_key,
            "about": [run.attempt, run.tenant, run.body, dict(run.metadata)],
        }

    first = await world.result(blocking, {"b": 1})
    assert first["n"] == 2
    assert first["kept"] == {"a": 1}
    assert first["key"] == first["id"]
    assert first["about"] == [1, "default", {"b": 1}, {}]
    assert ran[0] == ran[1], "sync tools run in the agent's own thread"
    await world.crash()
    assert await world.result(blocking) == first | {"about": [1, "default", {"b": 1}, {}]}
    assert world.provider.count == 3


async def test_a_sync_agents_error_blames_its_step(world: Any) -> None:
    @agent
    def failing(run: SyncRun) -> None:
        run.ask("before", "x")
        run.step("div", lambda: 1 // 0)

    ending = await world.failed(failing)
    assert (ending.step, ending.error.type_name) == (2, "builtins:ZeroDivisionError")


async def test_a_stop_iteration_of_a_tool_is_a_failure_like_any_other(world: Any) -> None:
    @agent
    def failing(run: SyncRun) -> None:
        run.step("next", lambda: next(iter([])))

    @agent
    async def failing_too(run: Run) -> None:
        await run.step("next", lambda: next(iter([])))

    assert "StopIteration" in (await world.failed(failing)).error.message
    world.id = 0
    assert "StopIteration" in (await world.failed(failing_too)).error.message


async def test_a_sync_map_runs_in_threads_and_scopes_of_its_own(world: Any) -> None:
    @agent
    def mapping(run: SyncRun) -> list[str]:
        return run.map("each", lambda n: run.ask("same", str(n)), range(4), limit=2)

    assert await world.result(mapping) == [f"answer to: {n}" for n in range(4)]
    assert sorted(step.key.scope for step in await world.steps()) == [f"each[{n}]" for n in range(4)]


async def test_a_sync_map_that_fails_blames_all_that_failed(world: Any) -> None:
    barrier = threading.Barrier(2)

    def fails(n: int) -> None:
        barrier.wait(5)
        raise Broke(n)

    @agent
    def mapping(run: SyncRun) -> None:
        run.map("each", lambda n: run.step("fail", fails, n), range(2))

    ending = await world.failed(mapping)
    assert ending.error.type_name.endswith(":Broke")
    states = {step.number: step.state for step in await world.steps()}
    assert sorted(states) == [1, 2]
    assert [state for number, state in states.items() if number != ending.step] == [StepState.AGAIN]


async def test_a_hung_sync_agent_gives_its_slot_up(world: Any) -> None:
    let_go = threading.Event()

    @agent(timeout_s=0.05)
    def hanging(run: SyncRun) -> None:
        let_go.wait(20)

    ending = await world.failed(hanging)
    assert (ending.error.code, ending.hung) == ("run-timeout", True)
    let_go.set()


async def test_a_timed_out_sync_agent_ends_at_its_next_call(world: Any, ran: list[Any]) -> None:
    world.provider.delay_s = 60

    @agent(timeout_s=0.3)
    def waiting(run: SyncRun) -> None:
        try:
            run.ask("one", "x")
        finally:
            ran.append("unwound")

    ending = await world.failed(waiting)
    assert (ending.error.code, ending.hung, ran) == ("run-timeout", False, ["unwound"])


async def test_a_sync_tool_that_hangs_is_noticed(world: Any) -> None:
    let_go = threading.Event()

    @agent(timeout_s=0.05)
    async def waiting(run: Run) -> None:
        await run.step("hang", let_go.wait, 20, idempotent=True)

    assert (await world.failed(waiting)).hung
    let_go.set()


async def test_a_rate_limit_met_by_an_agents_own_code_is_handed_on(world: Any) -> None:
    @agent
    async def limited(run: Run) -> None:
        raise RateLimited("slow down", retry_at=5.0)

    ending = await world.failed(limited)
    assert (ending.error.code, ending.error.retry_at) == ("provider-rate-limited", 5.0)
