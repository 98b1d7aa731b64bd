"""What a journal promises of calls whose outcome nobody knows (SEMANTICS 14)."""

from __future__ import annotations

import msgspec
import pytest

from perdure.agents.journal import Decision, StepKind, StepState
from perdure.errors.base import Conflict, NotFound
from perdure.messages.message import MessageId, State, Wait
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import UNKNOWN, asks, intent, key, leased, runs, soon, state
from perdure.testing.kit import Kit

__all__ = ["DecisionKit"]


class DecisionKit(Kit, standard=True):
    """Lets a person decide on a call whose outcome nobody knows."""

    async def test_what_happened_is_recorded_with_its_result(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await asks(store, lease)
        clock.pass_by(seconds=60)
        await store.journal.decide(lease.message.id, 1, Decision.HAPPENED, by="key_1", result=b'"receipt 9"')
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.result, step.decided_by, step.ended_at) == (StepState.DONE, b'"receipt 9"', "key_1", clock.now())
        again = await leased(store, lease.message.id)
        assert (again.attempt, again.waiting_since) == (1, None)

    async def test_what_happened_without_a_result_returned_null(self, store: Store) -> None:
        lease = await runs(store)
        await asks(store, lease)
        await store.journal.decide(lease.message.id, 1, Decision.HAPPENED, by="key_1")
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.result) == (StepState.DONE, b"null")

    async def test_what_did_not_happen_is_made_again(self, store: Store) -> None:
        lease = await runs(store)
        await asks(store, lease)
        await store.journal.decide(lease.message.id, 1, Decision.RUN_AGAIN, by="key_1")
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.decided_by) == (StepState.AGAIN, "key_1")
        again = await leased(store, lease.message.id)
        await store.journal.intend(again, intent(1, kind=StepKind.TOOL))
        await store.journal.record(again, 1, b"1")

    async def test_who_cannot_know_can_give_the_message_up(self, store: Store) -> None:
        lease = await runs(store)
        await asks(store, lease)
        await store.journal.decide(lease.message.id, 1, Decision.BURY, by="key_1")
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.error) == (State.DEAD, UNKNOWN)
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.decided_by) == (StepState.INTENT, "key_1"), "revived, it is still unknown"

    async def test_only_one_decision_is_taken(self, store: Store) -> None:
        lease = await runs(store)
        await asks(store, lease)
        await store.journal.decide(lease.message.id, 1, Decision.HAPPENED, by="key_1", result=b"1")
        with pytest.raises(Conflict):
            await store.journal.decide(lease.message.id, 1, Decision.RUN_AGAIN, by="key_2")
        [step] = await store.journal.steps(lease.message.id)
        assert (step.result, step.decided_by) == (b"1", "key_1")

    async def test_only_the_step_in_question_can_be_decided(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.intend(lease, intent(1))
        await asks(store, lease, number=2)
        with pytest.raises(Conflict):
            await store.journal.decide(lease.message.id, 1, Decision.HAPPENED, by="key_1")
        assert await state(store, lease.message.id) is State.WAITING

    async def test_what_is_not_asked_cannot_be_decided(self, store: Store, clock: FakeClock) -> None:
        running = await runs(store)
        await store.journal.intend(running, intent(1))
        sleeping = await runs(store)
        await store.journal.intend(sleeping, intent(1, kind=StepKind.SLEEP))
        await store.messages.park(sleeping, Wait(why="sleep", until=soon(clock), step=1))
        elsewhere = await runs(store)
        await store.journal.intend(elsewhere, intent(1))
        await store.messages.park(elsewhere, Wait(why="approval", step=1))
        for lease in (running, sleeping, elsewhere):
            with pytest.raises(Conflict):
                await store.journal.decide(lease.message.id, 1, Decision.HAPPENED, by="key_1")

    async def test_no_decision_on_what_is_not_there_or_not_yours(self, store: Store) -> None:
        lease = await runs(store, tenant="owner")
        await asks(store, lease)
        with pytest.raises(NotFound):
            await store.journal.decide(lease.message.id, 2, Decision.BURY, by="key_1")
        with pytest.raises(NotFound):
            await store.journal.decide(MessageId(12345), 1, Decision.BURY, by="key_1")
        with pytest.raises(NotFound):
            await store.journal.decide(lease.message.id, 1, Decision.BURY, by="key_1", tenant="stranger")
        await store.journal.decide(lease.message.id, 1, Decision.BURY, by="key_1", tenant="owner")

    async def test_a_decision_is_a_move_like_others(self, store: Store) -> None:
        lease = await runs(store)
        await asks(store, lease)
        before = await store.messages.last_change()
        await store.journal.decide(lease.message.id, 1, Decision.RUN_AGAIN, by="key_1")
        assert [change.state for change in await store.messages.changes(before)] == [State.READY]
        [queue] = await store.messages.queues()
        assert {place: count for place, count in queue.counts.items() if count} == {"ready": 1}

    async def test_a_step_survives_every_letter(self, store: Store) -> None:
        lease = await runs(store)
        said = intent(1, key=key("名前 \u0000 ☃", scope="ä/b"), request='["🐈"]'.encode())
        await store.journal.settle(lease, said, '"\\u0000 é"'.encode())
        [step] = await store.journal.steps(lease.message.id)
        assert (step.key, step.request, step.result) == (said.key, said.request, '"\\u0000 é"'.encode())
        assert msgspec.json.decode(step.result or b"") == "\x00 é"
