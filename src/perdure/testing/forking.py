"""The part of the journal's kit about runs made of other runs: forked from a step, or brought from elsewhere."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from perdure.agents.journal import FailedTry, Step, StepKind, StepState
from perdure.agents.runs import IMPORTED, Asked, Brought, Ended, Fork, Record, Said
from perdure.errors.base import Conflict, InvalidInput, NotFound
from perdure.messages.ids import write
from perdure.messages.message import Attempt, Lease, MessageId, State, View, Wait
from perdure.resources.usage import Usage
from perdure.security.audit import Actor, DeedFilter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.conversing import LARGE, said
from perdure.testing.given import BROKE, UNKNOWN, dies, intent, key, leased, message, put, runs, soon, states
from perdure.testing.kit import Kit

__all__ = ["RunsKit"]


async def worked(store: Store) -> Lease:
    """Let a run make six calls: answered, answered, failed, made again, under way, answered.

    Args:
        store (Store): Where.

    Returns:
        Lease: The right to it.
    """
    lease = await runs(store, priority=3, metadata={"from": "mail"}, attempts=7)
    document = "a long letter, " * (LARGE // 15)
    await store.journal.intend(lease, intent(1, request=said("hello", model="m"), lane="p/m"))
    await store.journal.defer(lease, 1, BROKE)
    await store.journal.intend(lease, intent(1, request=said("hello", model="m"), lane="q/m"))
    await store.journal.record(lease, 1, b'"one"', usage=Usage(calls=1, input_tokens=10, output_tokens=2))
    await store.journal.settle(lease, intent(2, kind=StepKind.VALUE, request=None), b'"' + document.encode() + b'"')
    await store.journal.intend(lease, intent(3, kind=StepKind.TOOL, tool_version="v1"))
    await store.journal.fail(lease, 3, BROKE)
    await store.journal.intend(lease, intent(4))
    await store.journal.defer(lease, 4, BROKE)
    await store.journal.intend(lease, intent(5, kind=StepKind.TOOL))
    await store.journal.intend(lease, intent(6, request=said("hello", "one", document, model="m")))
    await store.journal.record(lease, 6, b'"six"', usage=Usage(calls=1, input_tokens=5))
    return lease


def alike(step: Step) -> Step:
    """Leave out of a step what a fork does not hand on.

    Args:
        step (Step): Of the original.

    Returns:
        Step: As a fork should have it.
    """
    return msgspec.structs.replace(step, origin=None, handle=None)


def brought(clock: FakeClock, **changes: Any) -> Brought:
    """Write a run of three calls: answered, failed, under way.

    Args:
        clock (FakeClock): For its moments.
        **changes (Any): What is different about it.

    Returns:
        Brought: For `bring`.
    """
    then = clock.now() - 1000
    failed = (FailedTry(at=then, lane="p/m", error=BROKE),)
    common: dict[str, Any] = {
        "attempt": 2,
        "began_at": then,
        "tries": 2,
        "ambiguous": 1,
        "decided_by": "key_1",
        "lane": "q/m",
        "failed_tries": failed,
    }
    steps = [
        Step(number=1, key=key("one"), state=StepState.DONE, result=b'"one"', ended_at=then + 1, **common),
        Step(number=2, key=key("two", kind=StepKind.TOOL), state=StepState.FAILED, error=BROKE, ended_at=then + 2, **common),
        Step(number=4, key=key("four"), state=StepState.INTENT, usage=Usage(calls=1), **common),
        Step(number=5, key=key("five", kind=StepKind.STEP), state=StepState.DONE, request=b"[5]", result=b"5", **common),
    ]
    told = [Said(-1, b'{"role":"user"}'), Said(0, b'{"role":"assistant"}'), Said(0, b'{"role":"tool"}')]
    head = b'{"model":"m","messages":[],"n":1}'
    record = Record(
        attempts=[Attempt(n=1, kind="retry", error=BROKE, at=then)],
        steps=steps,
        said=told,
        asked={1: Asked(head, 0), 4: Asked(head, 2)},
    )
    fields: dict[str, Any] = {"message": message(metadata={"k": "v"}), "record": record, "used": 1}
    return Brought(**(fields | changes))


class RunsKit(Kit, standard=True):
    """Forks runs at each of their steps, and brings some that were never here."""

    @pytest.mark.parametrize(("step", "kept"), [(1, []), (2, [1]), (3, [1, 2]), (4, [1, 2, 3]), (6, [1, 2, 3]), (7, [1, 2, 3, 6])])
    async def test_a_fork_has_the_recorded_steps_before_it(self, store: Store, clock: FakeClock, step: int, kept: list[int]) -> None:
        lease = await worked(store)
        original = await store.journal.steps(lease.message.id)
        clock.pass_by(seconds=1)
        view = await store.runs.fork(lease.message.id, Fork(step=step))
        copies = await store.journal.steps(view.message.id)
        assert [copy.number for copy in copies] == kept
        assert [alike(copy) for copy in copies] == [alike(one) for one in original if one.number in kept]
        assert {copy.origin for copy in copies} <= {lease.message.id}
        assert await store.journal.steps(lease.message.id) == original, "the original is not touched"

    async def test_a_fork_is_a_new_message_like_the_original(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(
            store, priority=3, metadata={"from": "mail"}, attempts=7, deadline=soon(clock), dedup_key="k", version="v1", lane="a/b"
        )
        clock.pass_by(seconds=1)
        view = await store.runs.fork(lease.message.id, Fork(step=1))
        new, old = view.message, lease.message
        assert (view.state, view.forked_from, view.forked_step, view.imported) == (State.READY, old.id, 1, False)
        assert (new.agent, new.body, new.queue, new.tenant, new.priority, new.attempts) == (
            *(old.agent, old.body, old.queue, old.tenant, 3, 7),
        )
        assert (new.metadata, new.version, new.lane, new.created_at) == ({"from": "mail"}, "v1", "a/b", clock.now())
        assert new.id > old.id
        assert (new.dedup_key, new.deadline) == (None, None)
        assert await store.messages.get(new.id) == view
        assert (await store.messages.get(old.id)).state is State.LEASED, "it goes on by itself"

    async def test_a_fork_may_differ(self, store: Store) -> None:
        lease = await runs(store, version="v1", lane="a/b")
        view = await store.runs.fork(lease.message.id, Fork(step=1, body=b'{"n":2}', lane=None, priority=0, version=None))
        new = view.message
        assert (new.body, new.lane, new.priority, new.version) == (b'{"n":2}', None, 0, None)

    async def test_what_the_original_used_is_not_used_again(self, store: Store) -> None:
        lease = await worked(store)
        view = await store.runs.fork(lease.message.id, Fork(step=7))
        fork = await leased(store, view.message.id)
        assert fork.begun, "its journal is to be read"
        await store.journal.intend(fork, intent(8))
        await store.journal.record(fork, 8, b"1", usage=Usage(calls=1, input_tokens=3))
        await store.messages.bury(fork, BROKE)
        ended = await store.messages.get(view.message.id)
        assert ended.usage == Usage(calls=1, input_tokens=3)

    async def test_a_fork_is_forked_with_its_first_origin(self, store: Store) -> None:
        lease = await worked(store)
        first = await store.runs.fork(lease.message.id, Fork(step=3))
        second = await store.runs.fork(first.message.id, Fork(step=2))
        [step] = await store.journal.steps(second.message.id)
        assert step.origin == lease.message.id
        assert second.forked_from == first.message.id

    async def test_a_fork_outlives_its_original_changes(self, store: Store) -> None:
        lease = await worked(store)
        view = await store.runs.fork(lease.message.id, Fork(step=4))
        before = await store.journal.steps(view.message.id)
        await store.messages.bury(lease, BROKE, step=3)
        assert await store.journal.steps(view.message.id) == before

    async def test_steps_taken_over_are_no_progress_of_a_fork_that_crashes(self, store: Store, clock: FakeClock) -> None:
        lease = await worked(store)
        view = await store.runs.fork(lease.message.id, Fork(step=4))
        await store.messages.done(lease, b"1")
        await leased(store, view.message.id)
        await dies(store, clock)
        assert (await store.messages.get(view.message.id)).crashes == 1

    async def test_only_a_step_that_there_is_can_be_forked_from(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.settle(lease, intent(1), b"1")
        before = await store.messages.last_change()
        with pytest.raises(InvalidInput):
            await store.runs.fork(lease.message.id, Fork(step=0))
        with pytest.raises(Conflict):
            await store.runs.fork(lease.message.id, Fork(step=3))
        with pytest.raises(NotFound):
            await store.runs.fork(MessageId(17), Fork(step=1))
        with pytest.raises(NotFound):
            await store.runs.fork(lease.message.id, Fork(step=1), tenant="another")
        assert await store.messages.last_change() == before, "nothing was put"

    @pytest.mark.parametrize("state", [State.DONE, State.DEAD, State.CANCELLED])
    async def test_a_run_that_had_ended_is_brought_as_it_was(self, store: Store, clock: FakeClock, state: State) -> None:
        ended = Ended(
            state=state,
            attempts=2,
            started_at=clock.now() - 900,
            usage=Usage(calls=3),
            error=BROKE if state is State.DEAD else None,
            result=b'"done"' if state is State.DONE else None,
            code_version="v9",
        )
        run = brought(clock, ended=ended)
        view = await store.runs.bring(run)
        assert view == await store.messages.get(view.message.id)
        assert (view.state, view.attempt, view.usage, view.code_version) == (state, 2, Usage(calls=3), "v9")
        assert (view.error, view.result, view.imported) == (ended.error, ended.result, True)
        assert (view.started_at, view.ended_at) == (clock.now() - 900, clock.now())
        assert await store.messages.attempts(view.message.id) == list(run.record.attempts)
        await self._has_the_steps(store, view, run)
        assert await store.messages.lease([], limit=1, worker=(await leased(store, await put(store))).worker) == []

    async def test_a_run_that_is_to_go_on_is_ready(self, store: Store, clock: FakeClock) -> None:
        run = brought(clock)
        view = await store.runs.bring(run)
        assert (view.state, view.attempt) == (State.READY, 1)
        lease = await leased(store, view.message.id)
        assert (lease.attempt, lease.begun) == (2, True)
        await self._has_the_steps(store, view, run)
        await store.journal.intend(lease, intent(4, ambiguous=True))
        await store.journal.record(lease, 4, b"1", usage=Usage(calls=1))

    async def test_a_run_that_waited_waits(self, store: Store, clock: FakeClock) -> None:
        asks, sleeps = Wait(why="outcome-unknown", step=4, error=UNKNOWN), Wait(why="sleep", until=soon(clock), step=4)
        asking, sleeping = await store.runs.bring(brought(clock, wait=asks)), await store.runs.bring(brought(clock, wait=sleeps))
        assert [(view.state, view.wait) for view in (asking, sleeping)] == [(State.WAITING, asks), (State.LATER, sleeps)]
        clock.pass_by(seconds=61)
        await store.messages.tend()
        assert await states(store, [asking.message.id, sleeping.message.id]) == [State.WAITING, State.READY]

    async def test_a_run_taken_out_and_brought_again_is_the_same(self, store: Store, clock: FakeClock) -> None:
        lease = await worked(store)
        await store.messages.retry(lease, BROKE, at=soon(clock))
        view, record = await store.runs.record(lease.message.id)
        assert view == await store.messages.get(lease.message.id)
        assert [len(record.asked), len(record.said)] == [2, 3], "what two requests share is said once"
        again = await store.runs.bring(Brought(message=message(), record=record))
        _, copy = await store.runs.record(again.message.id)
        assert [alike(step) for step in copy.steps] == [alike(step) for step in record.steps]
        assert (copy.said, copy.asked, copy.attempts) == (record.said, record.asked, record.attempts)
        requests = [step.request for step in await store.journal.steps(lease.message.id)]
        assert [step.request for step in await store.journal.steps(again.message.id)] == requests

    async def test_only_what_is_there_can_be_taken_out(self, store: Store) -> None:
        id = await put(store)
        assert (await store.runs.record(id))[1] == Record(attempts=[], steps=[], said=[], asked={})
        with pytest.raises(NotFound):
            await store.runs.record(MessageId(17))
        with pytest.raises(NotFound):
            await store.runs.record(id, tenant="another")

    async def test_forks_and_imports_are_in_the_audit_log(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        by = Actor("key_1", "req_1")
        view = await store.runs.fork(lease.message.id, Fork(step=1), by=by)
        brought_one = await store.runs.bring(brought(clock), by=by)
        await store.runs.fork(lease.message.id, Fork(step=1))
        second, first = (await store.audit.list(DeedFilter())).deeds
        assert (first.who, first.action, first.target) == ("key_1", "run.fork", write(view.message.id))
        assert first.details == {"original": write(lease.message.id), "step": 1}
        assert (second.action, second.target, second.details["steps"]) == ("run.import", write(brought_one.message.id), 4)

    async def _has_the_steps(self, store: Store, view: View, run: Brought) -> None:
        asked = {
            1: b'{"model":"m","messages":[{"role":"user"}],"n":1}',
            4: b'{"model":"m","messages":[{"role":"user"},{"role":"tool"}],"n":1}',
        }
        expected = [
            msgspec.structs.replace(step, origin=IMPORTED, request=asked.get(step.number, step.request)) for step in run.record.steps
        ]
        assert list(await store.journal.steps(view.message.id)) == expected
