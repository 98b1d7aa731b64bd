"""Runs that wait for what comes, send messages and take their results, over a real worker."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from perdure import Run, SyncRun, agent
from perdure.errors.base import ChildCancelled, ChildFailed, InvalidInput, NotFound, UnknownAgent, WaitTimedOut
from perdure.messages import ids
from perdure.messages.groups import NewGroup
from perdure.messages.message import State, View
from perdure.messages.store import Filter
from perdure.testing import FakeProvider
from perdure.testing.given import message


def waits(view: View) -> bool:
    return view.state is State.WAITING


@agent
async def double(run: Run) -> int:
    """Twice as much."""
    if run.body is None:
        raise ValueError("nothing to double")
    return int(run.body) * 2


@agent
async def asks_for_approval(run: Run) -> Any:
    """Does something only when somebody says so."""
    return {"said": await run.wait_for("approval")}


async def test_a_run_waits_for_a_signal_without_a_slot(house: Any) -> None:
    async with house.working(house.worker(asks_for_approval, slots=1)):
        first, second = [await house.put(asks_for_approval) for _ in range(2)]
        for one in (first, second):
            assert (await house.until(one, waits)).wait.events == ("signal:approval",)
        await house.store.messages.signal(second, "approval", b'"yes"')
        assert (await house.ended(second)).result == b'{"said":"yes"}'
        assert (await house.get(first)).state is State.WAITING


async def test_a_signal_that_came_first_is_not_waited_for(house: Any) -> None:
    one = await house.put(asks_for_approval)
    await house.store.messages.signal(one, "approval", b"7")
    async with house.working(house.worker(asks_for_approval)):
        assert (await house.ended(one)).result == b'{"said":7}'


async def test_a_wait_that_times_out_is_an_error_that_the_agent_may_catch(house: Any) -> None:
    @agent
    async def reminds(run: Run) -> Any:
        try:
            return await run.wait_for("approval", timeout_s=0.05)
        except WaitTimedOut:
            return ["reminded", await run.wait_for("approval", timeout_s=3600)]

    async with house.working(house.worker(reminds)):
        one = await house.put(reminds)
        await house.until(one, waits)
        await house.store.messages.signal(one, "approval", b'"at last"')
        assert (await house.ended(one)).result == b'["reminded","at last"]'
    assert [step.state.value for step in await house.store.journal.steps(one)] == ["failed", "done"]


async def test_a_wait_that_nobody_catches_buries_the_message(house: Any) -> None:
    @agent
    async def impatient(run: Run) -> Any:
        return await run.wait_for("approval", timeout_s=0.01)

    async with house.working(house.worker(impatient)):
        view = await house.ended(await house.put(impatient))
    assert (view.state, view.error.code) == (State.DEAD, "wait-timed-out")


async def test_what_is_signalled_has_the_shape_asked_for(house: Any) -> None:
    @agent
    async def picky(run: Run) -> Any:
        try:
            await run.wait_for("number", output=int)
        except InvalidInput:
            return await run.wait_for("number", output={"type": "integer"}) + await run.wait_for("number", output=int)

    one = await house.put(picky)
    for data in (b'"seven"', b"3", b"4"):
        await house.store.messages.signal(one, "number", data)
    async with house.working(house.worker(picky)):
        assert (await house.ended(one)).result == b"7"


async def test_several_waits_at_once_are_woken_one_by_one(house: Any) -> None:
    @agent
    async def both(run: Run) -> Any:
        heard: list[str] = []

        async def listen(name: str) -> None:
            heard.append(await run.wait_for(name))

        await asyncio.gather(listen("left"), listen("right"))
        return sorted(heard)

    async with house.working(house.worker(both)):
        one = await house.put(both)
        assert set((await house.until(one, waits)).wait.events) == {"signal:left", "signal:right"}
        await house.store.messages.signal(one, "right", b'"r"')
        view = await house.until(one, lambda view: waits(view) and len(view.wait.events) == 1)
        assert view.wait.events == ("signal:left",)
        await house.store.messages.signal(one, "left", b'"l"')
        assert (await house.ended(one)).result == b'["l","r"]'


async def test_a_sleep_beside_a_wait_says_when_the_run_goes_on(house: Any) -> None:
    @agent
    async def both(run: Run) -> Any:
        sleeping = asyncio.create_task(run.sleep(3600))
        said = await run.wait_for("approval")
        sleeping.cancel()
        return said

    async with house.working(house.worker(both)):
        one = await house.put(both)
        wait = (await house.until(one, waits)).wait
        assert (wait.why, wait.events, wait.until is None) == ("signal", ("signal:approval",), False)
        await house.store.messages.signal(one, "approval", b"1")
        assert (await house.ended(one)).result == b"1"


async def test_a_signal_is_heard_while_another_call_of_the_run_works(house: Any) -> None:
    heard = asyncio.Event()

    @agent
    async def busy(run: Run) -> Any:
        async def listen() -> Any:
            said = await run.wait_for("stop")
            heard.set()
            return said

        async def work() -> str:
            await heard.wait()
            return "stopped"

        return list(await asyncio.gather(listen(), run.step("work", work, idempotent=True)))

    async with house.working(house.worker(busy)):
        one = await house.put(busy)
        await house.until(one, lambda view: view.state is State.LEASED)
        await house.store.messages.signal(one, "stop", b'"now"')
        assert (await house.ended(one)).result == b'["now","stopped"]'


async def test_a_run_sends_a_message_and_takes_its_result(house: Any) -> None:
    @agent
    async def asks_another(run: Run) -> Any:
        sent = await run.send(double, 21)
        return [sent, await run.result_of(sent, output=int)]

    async with house.working(house.worker(asks_another, double, slots=1)):
        one = await house.put(asks_another, tenant="acme", priority=2)
        view = await house.ended(one)
    sent, result = json.loads(view.result)
    assert result == 42
    child = (await house.get(ids.read(sent))).message
    assert (child.parent, child.tenant, child.priority, child.agent) == (one, "acme", 2, "double")


async def test_many_are_sent_in_one_step_and_their_results_come_in_order(house: Any) -> None:
    @agent
    async def fans_out(run: Run) -> Any:
        return await run.results_of(await run.send_many(double, range(20)))

    async with house.working(house.worker(fans_out, double, slots=4)):
        one = await house.put(fans_out)
        assert json.loads((await house.ended(one)).result) == [2 * n for n in range(20)]
    steps = await house.store.journal.steps(one)
    assert [step.key.kind.value for step in steps] == ["send", "result"]
    changes = [change.state for change in await house.store.messages.changes(0) if change.id == one]
    assert changes.count(State.LEASED) <= 2, "the run is woken once, not for each"


async def test_a_child_that_is_dead_fails_its_parent_for_good(house: Any) -> None:
    @agent
    async def hopeful(run: Run) -> Any:
        return await run.result_of(await run.send(double, None, attempts=1))

    async with house.working(house.worker(hopeful, double)):
        view = await house.ended(await house.put(hopeful, attempts=5))
    assert (view.state, view.error.code, view.attempt) == (State.DEAD, "child-failed", 1)
    assert "nothing to double" in view.error.message


async def test_what_became_of_children_can_be_looked_at(house: Any) -> None:
    @agent
    async def tolerant(run: Run) -> Any:
        good = await run.send(double, 1)
        bad = await run.send("double", None, attempts=1)
        late = await run.send(double, 3, delay_s=3600)
        await house.store.messages.cancel(ids.read(late))
        results = await run.results_of([good, bad, late], return_exceptions=True)
        return [one if isinstance(one, int) else type(one).__name__ for one in results]

    assert issubclass(ChildCancelled, ChildFailed)
    async with house.working(house.worker(tolerant, double)):
        view = await house.ended(await house.put(tolerant))
    assert json.loads(view.result) == [2, "ChildFailed", "ChildCancelled"]


async def test_a_parent_revived_after_its_child_takes_the_new_result(house: Any) -> None:
    broken = True

    @agent
    async def fragile(run: Run) -> str:
        if broken:
            raise ValueError("not yet")
        return "mended"

    @agent
    async def depends(run: Run) -> Any:
        return await run.result_of(await run.send(fragile, attempts=1))

    async with house.working(house.worker(depends, fragile)):
        one = await house.put(depends)
        await house.ended(one)
        broken = False
        child = await child_of(house, one)
        await house.store.messages.revive(child)
        await house.ended(child)
        await house.store.messages.revive(one)
        assert (await house.ended(one)).result == b'"mended"'


async def test_a_child_that_takes_too_long_goes_on(house: Any) -> None:
    @agent
    async def hurried(run: Run) -> Any:
        sent = await run.send(double, 1, delay_s=3600)
        try:
            await run.result_of(sent, timeout_s=0.01)
        except WaitTimedOut:
            return sent

    async with house.working(house.worker(hurried, double)):
        view = await house.ended(await house.put(hurried))
    assert (await house.get(ids.read(json.loads(view.result)))).state is State.LATER


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda run: run.send("nobody"), UnknownAgent),
        (lambda run: run.send("picky", {"n": "x"}), InvalidInput),
        (lambda run: run.send("picky", {"n": 1}, colour="red"), InvalidInput),
        (lambda run: run.send("picky", {"n": 1}, priority=11), InvalidInput),
        (lambda run: run.result_of("msg_0000000000007"), NotFound),
        (lambda run: run.results_of([]), InvalidInput),
        (lambda run: run.wait_for(""), InvalidInput),
        (lambda run: run.wait_for("x", timeout_s=-1), InvalidInput),
        (lambda run: run.group(), InvalidInput),
    ],
)
async def test_what_cannot_be_is_refused_in_the_run(house: Any, call: Any, error: type[Exception]) -> None:
    @agent(input={"type": "object", "properties": {"n": {"type": "integer"}}})
    async def picky(run: Run) -> None:
        """Takes a number."""

    @agent
    async def tries(run: Run) -> str:
        try:
            await call(run)
        except error as refusal:
            return type(refusal).__name__
        return "accepted"

    async with house.working(house.worker(tries, picky)):
        assert json.loads((await house.ended(await house.put(tries))).result) == error.__name__


async def test_a_run_that_sends_to_itself_without_end_is_stopped(house: Any) -> None:
    @agent(max_depth=3)
    async def again(run: Run) -> Any:
        return await run.result_of(await run.send("again"))

    async with house.working(house.worker(again)):
        view = await house.ended(await house.put(again))
    assert (view.state, view.error.code) == (State.DEAD, "child-failed")
    assert "senders stand behind this run" in view.error.message


async def test_a_run_that_sends_too_much_is_stopped(house: Any) -> None:
    @agent(max_children=5)
    async def floods(run: Run) -> Any:
        for n in range(10):
            await run.send(double, n)

    async with house.working(house.worker(floods, double)):
        view = await house.ended(await house.put(floods))
    assert view.error.code == "limit-children"


async def test_a_sync_agent_does_all_of_this_as_well(house: Any) -> None:
    @agent
    def blocking(run: SyncRun) -> Any:
        sent = run.send_many(double, [1, 2])
        one = run.send(double, 3)
        said = run.wait_for("approval")
        return [said, run.results_of(sent), run.result_of(one)]

    async with house.working(house.worker(blocking, double)):
        one = await house.put(blocking)
        await house.until(one, waits)
        await house.store.messages.signal(one, "approval", b"true")
        assert json.loads((await house.ended(one)).result) == [True, [2, 4], 6]


@agent
async def gathers(run: Run) -> Any:
    """Reads what became of its group."""
    group = await run.group()
    found = [(member.state.value, member.result and json.loads(member.result)) async for member in run.members(page=2)]
    return [group.done, group.dead, found]


@agent
def gathers_too(run: SyncRun) -> Any:
    """The same, blocking."""
    return [run.group().total, [member.state.value for member in run.members(page=2)]]


@pytest.mark.parametrize(
    ("join", "expected"),
    [(gathers, [2, 1, [["done", 2], ["dead", None], ["done", 6]]]), (gathers_too, [3, ["done", "dead", "done"]])],
)
async def test_the_join_of_a_group_reads_what_became_of_it(house: Any, join: Any, expected: Any) -> None:
    async with house.working(house.worker(join, double)):
        new = [message(agent="double", body=body, attempts=1) for body in (b"1", b"null", b"3")]
        [receipt, *_] = await house.store.messages.put(new, group=NewGroup(then=message(agent=join.name)))
        group = await house.store.messages.group(receipt.group)
        assert json.loads((await house.ended(group.then)).result) == expected


async def test_a_running_message_is_called_off_within_a_moment(house: Any) -> None:
    begun = asyncio.Event()

    @agent
    async def endless(run: Run) -> None:
        begun.set()
        await asyncio.sleep(3600)

    async with house.working(house.worker(endless)) as (_, life):
        one = await house.put(endless)
        await begun.wait()
        assert (await house.store.messages.cancel(one)).cancelling
        view = await asyncio.wait_for(house.ended(one), 30)
        assert (view.state, view.attempt) == (State.CANCELLED, 0)
        assert not life.done()


async def test_a_call_under_way_is_cut_off_and_stays_unknown(house: Any) -> None:
    begun = asyncio.Event()
    acted = 0

    async def act() -> None:
        nonlocal acted
        begun.set()
        await asyncio.sleep(3600)
        acted += 1

    @agent
    async def acts(run: Run) -> None:
        await run.step("act", act)

    async with house.working(house.worker(acts)):
        one = await house.put(acts)
        await begun.wait()
        await house.store.messages.cancel(one)
        assert (await house.ended(one)).state is State.CANCELLED
    assert [step.state.value for step in await house.store.journal.steps(one)] == ["intent"]
    assert not acted


async def test_a_run_that_does_not_listen_begins_nothing_new(house: Any) -> None:
    gate = asyncio.Event()

    @agent
    async def stubborn(run: Run) -> str:
        while not gate.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                gate.set()
        await run.now()
        return "never"

    async with house.working(house.worker(stubborn)):
        one = await house.put(stubborn)
        await house.until(one, lambda view: view.state is State.LEASED)
        await house.store.messages.cancel(one)
        assert (await house.ended(one)).state is State.CANCELLED
    assert await house.store.journal.steps(one) == []


async def test_cancelling_a_parent_that_waits_ends_its_children_where_they_run(house: Any) -> None:
    begun = asyncio.Event()

    @agent
    async def endless(run: Run) -> None:
        begun.set()
        await asyncio.sleep(3600)

    @agent
    async def depends(run: Run) -> Any:
        return await run.result_of(await run.send(endless))

    async with house.working(house.worker(endless, depends)):
        one = await house.put(depends)
        await begun.wait()
        await house.until(one, waits)
        await house.store.messages.cancel(one)
        assert (await house.ended(await child_of(house, one))).state is State.CANCELLED


async def test_an_agent_that_was_renamed_serves_its_old_names_too(house: Any) -> None:
    @agent(name="verdict", formerly=["triage", "sort"])
    async def verdict(run: Run) -> str:
        return "decided"

    async with house.working(house.worker(verdict)):
        [receipt] = await house.store.messages.put([message(agent="triage")])
        assert (await house.ended(receipt.id)).result == b'"decided"'
        assert {card.name for card in await house.store.workers.agents()} == {"verdict", "triage", "sort"}


async def test_a_run_begun_by_old_code_goes_on_in_new_code(house: Any) -> None:
    provider = FakeProvider(replies=["billing"])

    @agent(name="sorts", version="1")
    async def old(run: Run) -> Any:
        team = await run.ask("choose", "which team?")
        return {"team": team, "by": await run.wait_for("approval")}

    @agent(name="sorts", version="2")
    async def new(run: Run) -> Any:
        team = await run.ask("choose", "which team?")
        return {"team": team, "by": await run.wait_for("approval"), "version": 2}

    one = await house.put(old)
    async with house.working(house.worker(old, provider=provider)):
        await house.until(one, waits)
    async with house.working(house.worker(new, provider=provider)):
        await house.store.messages.signal(one, "approval", b'"ann"')
        view = await house.ended(one)
    assert json.loads(view.result) == {"team": "billing", "by": "ann", "version": 2}
    assert (len(provider.calls), view.code_version) == (1, "2")


async def test_versions_stand_side_by_side(house: Any) -> None:
    @agent(name="sorts", version="1")
    async def old(run: Run) -> int:
        return 1

    @agent(name="sorts", version="2")
    async def new(run: Run) -> int:
        return 2

    async with house.working(house.worker(new)):
        pinned, free = await house.put(old, version="1"), await house.put(old)
        assert (await house.ended(free)).result == b"2"
        assert (await house.get(pinned)).blocked_by == "no-worker"
        async with house.working(house.worker(old)):
            assert (await house.ended(pinned)).result == b"1"


async def child_of(house: Any, parent: Any) -> Any:
    """The only message that a run has sent."""
    [child] = [view.message.id for view in (await house.store.messages.list(Filter())).views if view.message.parent == parent]
    return child
