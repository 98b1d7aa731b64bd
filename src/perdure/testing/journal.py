"""The kit that proves a journal: two phases, fencing, what is made again, and decisions (SEMANTICS 7, 11-14)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from perdure.agents.journal import MOST_FAILED_TRIES, FailedTry, MemoryWrite, StepKind, StepState
from perdure.errors.base import Conflict, LeaseLost
from perdure.messages.message import Lease, MessageId
from perdure.resources.usage import Usage
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.conversing import ConversationKit
from perdure.testing.deciding import DecisionKit
from perdure.testing.forking import RunsKit
from perdure.testing.given import BROKE, NO_CREDIT, alive, dies, intent, key, leased, put, runs, soon, take
from perdure.testing.kit import Kit

__all__ = ["JournalKit", "RecordKit"]

LATE: dict[str, Callable[[Store, Lease], Awaitable[None]]] = {
    "intend": lambda store, lease: store.journal.intend(lease, intent(2)),
    "record": lambda store, lease: store.journal.record(lease, 1, b'"late"', memory=MemoryWrite(space="notes", key="k", value=b'"late"')),
    "settle": lambda store, lease: store.journal.settle(
        lease, intent(2, kind=StepKind.MEMORY), b"null", memory=MemoryWrite(space="notes", key="k", value=b'"late"')
    ),
    "fail": lambda store, lease: store.journal.fail(lease, 1, BROKE),
    "defer": lambda store, lease: store.journal.defer(lease, 1, BROKE),
    "handle": lambda store, lease: store.journal.handle(lease, 1, "late"),
    "replayed": lambda store, lease: store.journal.replayed(lease, Usage(calls=1)),
}
late: pytest.MarkDecorator = pytest.mark.parametrize("write", LATE.values(), ids=LATE.keys())


async def step_states(store: Store, id: MessageId) -> list[StepState]:
    """Look what is known of a run's steps.

    Args:
        store (Store): Where.
        id (MessageId): Which run.

    Returns:
        list[StepState]: By number.
    """
    return [step.state for step in await store.journal.steps(id)]


class RecordKit(Kit, standard=True):
    """Begins steps, ends them, and lets the wrong worker try."""

    async def test_a_new_run_remembers_nothing(self, store: Store) -> None:
        assert list(await store.journal.steps(await put(store))) == []

    async def test_an_intent_is_kept_before_the_call(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        until = soon(clock)
        said = intent(
            1,
            key=key("größe", kind=StepKind.TOOL, scope="a/b", n=3),
            request=b'{"x":1}',
            idempotent=True,
            tool_version="sha256:1",
            until=until,
            diverged=True,
        )
        await store.journal.intend(lease, said)
        [step] = await store.journal.steps(lease.message.id)
        assert (step.number, step.key, step.state, step.attempt) == (1, said.key, StepState.INTENT, 1)
        assert (step.request, step.idempotent, step.tool_version) == (b'{"x":1}', True, "sha256:1")
        assert (step.until, step.diverged, step.tries, step.ambiguous) == (until, True, 1, 0)
        assert (step.began_at, step.ended_at, step.result, step.error, step.usage) == (clock.now(), None, None, None, None)

    async def test_a_result_is_kept_with_what_it_used(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent())
        clock.pass_by(seconds=2)
        usage = Usage(calls=1, input_tokens=20, output_tokens=4)
        await store.journal.record(lease, 1, b'"an answer"', usage=usage)
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.result, step.usage, step.ended_at) == (StepState.DONE, b'"an answer"', usage, clock.now())
        assert step.began_at == clock.now() - 2

    async def test_a_failure_is_kept_with_what_it_used(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent())
        await store.journal.fail(lease, 1, BROKE, usage=Usage(calls=1))
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.error, step.result, step.usage) == (StepState.FAILED, BROKE, None, Usage(calls=1))

    @pytest.mark.parametrize("failed_first", [False, True], ids=["begun", "failed"])
    async def test_a_deferred_step_will_be_made_again(self, store: Store, failed_first: bool) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent())
        if failed_first:
            await store.journal.fail(lease, 1, BROKE)
        await store.journal.defer(lease, 1, NO_CREDIT)
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.error, step.tries) == (StepState.AGAIN, NO_CREDIT, 1)

    async def test_a_settled_step_is_recorded_in_one_go(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        said = intent(1, kind=StepKind.VALUE)
        await store.journal.settle(lease, said, b"17")
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.result, step.key) == (StepState.DONE, b"17", said.key)
        assert step.began_at == step.ended_at == clock.now()

    async def test_steps_are_read_by_number(self, store: Store) -> None:
        lease = await runs(store)
        for number in (3, 1, 10, 2):
            await store.journal.intend(lease, intent(number))
        assert [step.number for step in await store.journal.steps(lease.message.id)] == [1, 2, 3, 10]

    async def test_each_run_has_its_own_steps(self, store: Store) -> None:
        one, two = await runs(store), await runs(store)
        await store.journal.settle(one, intent(1), b'"one"')
        await store.journal.settle(two, intent(1), b'"two"')
        [step] = await store.journal.steps(two.message.id)
        assert step.result == b'"two"'

    async def test_a_recorded_answer_is_never_made_again(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.settle(lease, intent(1), b'"paid for"')
        before = await store.journal.steps(lease.message.id)
        with pytest.raises(Conflict):
            await store.journal.intend(lease, intent(1, ambiguous=True, diverged=True))
        with pytest.raises(Conflict):
            await store.journal.settle(lease, intent(1), b'"another"')
        assert await store.journal.steps(lease.message.id) == before
        assert not {"possibly_paid_twice", "divergences"} & (await store.messages.counters()).keys(), "what was refused is not counted"

    async def test_a_recorded_answer_is_never_replaced(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.settle(lease, intent(1), b'"paid for"')
        for write in (store.journal.fail, store.journal.defer):
            with pytest.raises(Conflict):
                await write(lease, 1, BROKE)
        with pytest.raises(Conflict):
            await store.journal.record(lease, 1, b'"another"')
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.result) == (StepState.DONE, b'"paid for"')

    async def test_no_result_without_an_intent(self, store: Store) -> None:
        lease = await runs(store)
        with pytest.raises(Conflict):
            await store.journal.record(lease, 1, b"1")
        assert list(await store.journal.steps(lease.message.id)) == []

    async def test_what_the_provider_calls_a_call_is_kept_while_it_is_under_way(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent())
        await store.journal.handle(lease, 1, "resp_1")
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.handle) == (StepState.INTENT, "resp_1")
        await store.journal.record(lease, 1, b"1")
        with pytest.raises(Conflict):
            await store.journal.handle(lease, 1, "resp_2")

    async def test_a_call_made_again_has_no_handle_yet(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent())
        await store.journal.handle(lease, 1, "resp_1")
        await store.journal.intend(lease, intent(ambiguous=True))
        [step] = await store.journal.steps(lease.message.id)
        assert step.handle is None

    async def test_what_replay_has_saved_is_added_up(self, store: Store) -> None:
        other = await runs(store)
        id = await put(store)
        assert (await store.messages.get(id)).replayed is None
        for tokens in (5, 7):
            lease = await leased(store, id)
            await store.journal.replayed(lease, Usage(calls=1, input_tokens=tokens, output_tokens=1))
            await store.messages.release(lease)
        await store.journal.replayed(other, Usage(calls=2))
        assert (await store.messages.get(id)).replayed == Usage(calls=2, input_tokens=12, output_tokens=2)
        assert (await store.messages.get(other.message.id)).replayed == Usage(calls=2)
        counters = await store.messages.counters()
        assert [counters[f"replayed_{name}"] for name in ("calls", "input_tokens", "output_tokens")] == [4, 12, 2]
        assert counters.get("calls", 0) == 0, "nothing was paid for"

    async def test_each_intent_has_one_outcome(self, store: Store) -> None:
        lease = await runs(store)
        for number, end in ((1, store.journal.fail), (2, store.journal.defer)):
            await store.journal.intend(lease, intent(number))
            await end(lease, number, BROKE)
            with pytest.raises(Conflict):
                await store.journal.record(lease, number, b"1")
        assert await step_states(store, lease.message.id) == [StepState.FAILED, StepState.AGAIN]

    async def test_a_step_made_again_counts_its_tries_and_adds_up_what_it_used(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent())
        await store.journal.fail(lease, 1, BROKE, usage=Usage(calls=1, input_tokens=5))
        await store.messages.retry(lease, BROKE, at=clock.now(), step=1)
        clock.pass_by(seconds=1)
        await store.messages.tend()
        again = await leased(store, lease.message.id)
        await store.journal.intend(again, intent())
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.tries, step.attempt, step.began_at) == (StepState.INTENT, 2, 2, clock.now())
        await store.journal.record(again, 1, b"1", usage=Usage(calls=1, input_tokens=7, output_tokens=2))
        [step] = await store.journal.steps(lease.message.id)
        assert (step.error, step.usage) == (None, Usage(calls=2, input_tokens=12, output_tokens=2))

    async def test_each_try_is_told_with_where_it_went_and_what_it_used(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent(lane="one/m"))
        [step] = await store.journal.steps(lease.message.id)
        assert (step.lane, step.failed_tries) == ("one/m", ())
        clock.pass_by(seconds=2)
        at = clock.now()
        await store.journal.defer(lease, 1, NO_CREDIT, usage=Usage(calls=1, input_tokens=5))
        clock.pass_by(seconds=1)
        await store.journal.intend(lease, intent(lane="two/größe"))
        [step] = await store.journal.steps(lease.message.id)
        assert (step.lane, step.error, step.usage) == ("two/größe", None, Usage(calls=1, input_tokens=5))
        assert list(step.failed_tries) == [FailedTry(at=at, lane="one/m", error=NO_CREDIT)]
        await store.journal.defer(lease, 1, BROKE)
        await store.journal.intend(lease, intent(lane="one/m", ambiguous=True))
        await store.journal.record(lease, 1, b"1", usage=Usage(calls=1, input_tokens=7))
        [step] = await store.journal.steps(lease.message.id, shown=False)
        assert (step.lane, step.usage, step.tries) == ("one/m", Usage(calls=2, input_tokens=12), 3)
        assert [(one.lane, one.error) for one in step.failed_tries] == [("one/m", NO_CREDIT), ("two/größe", BROKE)]

    async def test_who_answered_may_be_another_than_who_was_asked_last(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent(lane="one/m"))
        await store.journal.intend(lease, intent(lane="two/m"))
        await store.journal.record(lease, 1, b"1", usage=Usage(calls=2, hedged=1), lane="one/m")
        [step] = await store.journal.steps(lease.message.id)
        assert (step.lane, step.usage, step.ambiguous) == ("one/m", Usage(calls=2, hedged=1), 0)
        counters = await store.messages.counters()
        assert (counters["hedged"], counters.get("possibly_paid_twice", 0)) == (1, 0), "it was paid on purpose"

    async def test_a_try_whose_outcome_is_unknown_is_not_told_as_failed(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent(lane="one/m"))
        await store.journal.intend(lease, intent(lane="two/m", ambiguous=True))
        [step] = await store.journal.steps(lease.message.id)
        assert (step.lane, step.failed_tries, step.tries) == ("two/m", (), 2)

    async def test_only_the_latest_failed_tries_are_told(self, store: Store) -> None:
        lease = await runs(store)
        for n in range(MOST_FAILED_TRIES + 3):
            await store.journal.intend(lease, intent(lane=f"p/{n}"))
            await store.journal.defer(lease, 1, BROKE)
        [step] = await store.journal.steps(lease.message.id)
        assert step.tries == MOST_FAILED_TRIES + 3
        assert [one.lane for one in step.failed_tries] == [f"p/{n}" for n in range(2, MOST_FAILED_TRIES + 2)]

    async def test_only_the_step_that_ended_the_attempt_is_made_again(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await store.journal.settle(lease, intent(1), b"1")
        for number in (2, 3):
            await store.journal.intend(lease, intent(number))
            await store.journal.fail(lease, number, BROKE)
        await store.journal.intend(lease, intent(4))
        await store.messages.retry(lease, BROKE, at=clock.now(), step=3)
        assert await step_states(store, lease.message.id) == [StepState.DONE, StepState.FAILED, StepState.AGAIN, StepState.INTENT]
        assert (await store.journal.steps(lease.message.id))[2].error == BROKE, "why is not forgotten"

    @pytest.mark.parametrize("end", ["retry", "bury"])
    async def test_naming_a_step_never_undoes_a_result_nor_settles_a_doubt(self, store: Store, clock: FakeClock, end: str) -> None:
        for number in (1, 2):
            lease = await runs(store)
            await store.journal.settle(lease, intent(1), b"1")
            await store.journal.intend(lease, intent(2))
            if end == "retry":
                await store.messages.retry(lease, BROKE, at=soon(clock), step=number)
            else:
                await store.messages.bury(lease, BROKE, step=number)
            assert await step_states(store, lease.message.id) == [StepState.DONE, StepState.INTENT]

    async def test_a_dead_letters_failed_step_is_made_again_when_it_is_revived(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent())
        await store.journal.fail(lease, 1, BROKE)
        await store.messages.bury(lease, BROKE, step=1)
        await store.messages.revive(lease.message.id)
        assert await step_states(store, lease.message.id) == [StepState.AGAIN]

    async def test_a_crash_leaves_the_journal_as_it_was(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await store.journal.settle(lease, intent(1), b"1")
        await store.journal.intend(lease, intent(2))
        before = await store.journal.steps(lease.message.id)
        await dies(store, clock)
        assert await store.journal.steps(lease.message.id) == before

    async def test_a_call_made_twice_is_counted_once_for_each_time(self, store: Store) -> None:
        id = await put(store)
        for tries in (1, 2, 3):
            lease = await leased(store, id)
            await store.journal.intend(lease, intent(1, ambiguous=tries > 1))
            await store.messages.release(lease)
            [step] = await store.journal.steps(id)
            assert (step.tries, step.ambiguous) == (tries, tries - 1)
        assert (await store.messages.counters())["possibly_paid_twice"] == 2

    async def test_only_calls_of_models_are_paid_for(self, store: Store) -> None:
        lease = await runs(store)
        for _ in range(2):
            await store.journal.intend(lease, intent(1, kind=StepKind.TOOL, ambiguous=True))
        [step] = await store.journal.steps(lease.message.id)
        assert step.ambiguous == 2
        assert (await store.messages.counters()).get("possibly_paid_twice", 0) == 0

    async def test_what_runs_used_is_added_up(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent(1, diverged=True))
        await store.journal.record(lease, 1, b"1", usage=Usage(calls=1, input_tokens=5, output_tokens=3))
        await store.journal.intend(lease, intent(2))
        await store.journal.fail(lease, 2, BROKE, usage=Usage(calls=2, input_tokens=4))
        await store.messages.done(lease, b"1", usage=Usage(calls=3, input_tokens=9, output_tokens=3))
        counters = await store.messages.counters()
        names = ("calls", "input_tokens", "output_tokens", "divergences")
        assert [counters.get(name, 0) for name in names] == [3, 9, 3, 1]

    @late
    async def test_a_stale_lease_writes_neither_journal_nor_memory(
        self, store: Store, clock: FakeClock, write: Callable[[Store, Lease], Awaitable[None]]
    ) -> None:
        stale = await runs(store)
        await store.journal.intend(stale, intent(1))
        await store.memory.write("default", "notes", "k", b'"first"')
        await dies(store, clock)
        await take(store, await alive(store))
        before = await store.journal.steps(stale.message.id), await store.messages.get(stale.message.id)
        with pytest.raises(LeaseLost):
            await write(store, stale)
        assert (await store.journal.steps(stale.message.id), await store.messages.get(stale.message.id)) == before
        assert await store.memory.read("default", "notes", "k") == b'"first"'

    @late
    async def test_nothing_is_written_to_a_run_that_has_ended(self, store: Store, write: Callable[[Store, Lease], Awaitable[None]]) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent(1))
        await store.messages.done(lease, b"1")
        with pytest.raises(LeaseLost):
            await write(store, lease)


class JournalKit(RecordKit, ConversationKit, RunsKit, DecisionKit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and your journal is proved. No test sleeps."""
