"""What it means to send messages from a run and wait for them, and to put messages together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from perdure.agents.journal import Decision, Obtained, StepKind, StepState
from perdure.errors.base import Conflict, DedupConflict, InvalidInput, LeaseLost, NotFound, RunLimit
from perdure.messages import ids
from perdure.messages.groups import NewGroup
from perdure.messages.message import GroupId, Lease, MessageId, NewMessage, State, Wait
from perdure.messages.store import Filter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, alive, asks, dies, intent, leased, message, put, runs, soon, state, states, take
from perdure.testing.kit import Kit

__all__ = ["BelongingKit", "results", "sends"]


async def sends(store: Store, lease: Lease, *messages: NewMessage, number: int = 1, max_depth: int = 9) -> list[MessageId]:
    """Send messages from a run.

    Args:
        store (Store): Where.
        lease (Lease): The run.
        *messages (NewMessage): What to send; one to `child` if none is given.
        number (int): The step.
        max_depth (int): How many senders may stand behind one another.

    Returns:
        list[MessageId]: Theirs.
    """
    sent = messages or (message(agent="child"),)
    return list(await store.journal.send(lease, intent(number, kind=StepKind.SEND), sent, max_depth=max_depth))


def results(children: Sequence[MessageId], number: int = 2, **changes: Any) -> Any:
    """Write the intent of a wait for children.

    Args:
        children (Sequence[MessageId]): Whose end it waits for.
        number (int): The step.
        **changes (Any): What is different about it.

    Returns:
        Any: For `obtain`.
    """
    return intent(number, kind=StepKind.RESULT, children=tuple(children), **changes)


async def _waits(store: Store, lease: Lease, children: Sequence[MessageId], number: int = 2) -> None:
    assert await store.journal.obtain(lease, results(children, number)) is None
    await store.messages.park(lease, Wait(why="children", step=number, events=(f"children:{number}",)))


async def _ends(store: Store, clock: FakeClock, id: MessageId, how: str) -> None:
    """End a message of the agent `child` in every way there is."""
    if how == "cancelled":
        await store.messages.cancel(id)
        return
    lease = await leased(store, id)
    if how == "done":
        await store.messages.done(lease, b'"good"')
    elif how == "buried":
        await store.messages.bury(lease, BROKE)
    elif how == "cancelled-running":
        await store.messages.cancel(id)
        await store.messages.release(lease)
    elif how == "decided":
        await asks(store, lease)
        await store.journal.decide(id, 1, Decision.BURY, by="key_1")
    elif how == "poison":
        await dies(store, clock)
        for _ in range(2):
            if not await take(store, await alive(store, "child")):
                await take(store, await alive(store, "child", quarantine=True), quarantine=True)
            await dies(store, clock)
    elif how == "expired":
        await store.messages.park(lease, Wait(why="sleep", until=soon(clock, 1000)))
        clock.pass_by(seconds=500)
        await store.messages.tend()
    elif how == "tired":
        await asks(store, lease)
        clock.pass_by(seconds=200)
        await store.messages.tend()


class BelongingKit(Kit, standard=True):
    """Every store passes these. A `store` fixture gives a new, open one, made with the `clock` fixture."""

    async def test_a_message_sent_by_a_run_knows_its_parent(self, store: Store) -> None:
        lease = await runs(store, tenant="acme")
        [child] = await sends(store, lease, message(agent="child", priority=3))
        view = await store.messages.get(child)
        said = (view.state, view.message.parent, view.message.tenant, view.message.agent, view.message.priority)
        assert said == (State.READY, lease.message.id, "acme", "child", 3)

    async def test_the_step_that_sends_is_recorded_with_what_it_sent(self, store: Store) -> None:
        lease = await runs(store)
        [child] = await sends(store, lease)
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.result) == (StepState.DONE, msgspec.json.encode([ids.write(child)]))
        with pytest.raises(Conflict):
            await sends(store, lease)

    async def test_a_stale_worker_sends_nothing(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await dies(store, clock)
        with pytest.raises(LeaseLost):
            await sends(store, lease)
        assert [view.message.agent for view in (await store.messages.list(_ALL)).views] == ["mail"]

    async def test_senders_behind_one_another_are_bounded(self, store: Store) -> None:
        lease = await runs(store)
        for _ in range(3):
            [child] = await sends(store, lease, max_depth=3)
            lease = await leased(store, child)
        with pytest.raises(RunLimit) as refusal:
            await sends(store, lease, max_depth=3)
        assert refusal.value.facts().code == "limit-depth"

    @pytest.mark.parametrize("how", ["done", "buried", "cancelled", "cancelled-running", "decided", "poison", "expired", "tired"])
    async def test_whatever_ends_a_child_wakes_its_parent(self, store: Store, clock: FakeClock, how: str) -> None:
        lease = await runs(store, max_wait_s=10_000.0)
        limits = {"expired": {"deadline": soon(clock, 400)}, "tired": {"max_wait_s": 100.0}}.get(how, {})
        [child] = await sends(store, lease, message(agent="child", **limits))
        await _waits(store, lease, [child])
        await _ends(store, clock, child, how)
        assert await state(store, lease.message.id) is State.READY

    async def test_a_child_that_ended_well_gives_its_result(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        [child] = await sends(store, lease)
        await _waits(store, lease, [child])
        await _ends(store, clock, child, "done")
        obtained = await store.journal.obtain(await leased(store, lease.message.id), results([child]))
        assert obtained is not None
        assert obtained.result is not None
        assert msgspec.json.decode(obtained.result) == [{"id": ids.write(child), "state": "done", "result": "good"}]

    @pytest.mark.parametrize(("how", "code"), [("buried", "child-failed"), ("cancelled", "child-cancelled")])
    async def test_a_child_that_did_not_end_well_fails_the_step(self, store: Store, clock: FakeClock, how: str, code: str) -> None:
        lease = await runs(store)
        [child] = await sends(store, lease)
        await _ends(store, clock, child, how)
        obtained = await store.journal.obtain(lease, results([child]))
        assert obtained is not None
        assert obtained.error is not None
        assert (obtained.error.code, obtained.error.retryable) == (code, False)
        assert (await store.journal.steps(lease.message.id))[1].state is StepState.FAILED

    async def test_a_lenient_step_takes_whatever_came_of_its_children(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        [good, bad] = await sends(store, lease, message(agent="child"), message(agent="child"))
        await _ends(store, clock, good, "done")
        await _ends(store, clock, bad, "buried")
        obtained = await store.journal.obtain(lease, results([good, bad], lenient=True))
        assert obtained is not None
        assert obtained.result is not None
        assert [one["state"] for one in msgspec.json.decode(obtained.result)] == ["done", "dead"]

    async def test_a_parent_is_woken_once_by_the_last_of_its_children(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        children = await sends(store, lease, *(message(agent="child") for _ in range(3)))
        await _waits(store, lease, children)
        for child in children:
            assert await state(store, lease.message.id) is State.WAITING
            await _ends(store, clock, child, "done")
        assert await state(store, lease.message.id) is State.READY
        woken = [change for change in await store.messages.changes(0) if change.id == lease.message.id]
        assert [change.state for change in woken] == [State.READY, State.LEASED, State.WAITING, State.READY]

    async def test_of_children_that_end_all_at_once_the_last_wakes_the_parent(self, store: Store) -> None:
        lease = await runs(store)
        children = await sends(store, lease, *(message(agent="child") for _ in range(20)))
        leases = await take(store, await alive(store, "child"), 20)
        assert await store.journal.obtain(lease, results(children)) is None
        park = store.messages.park(lease, Wait(why="children", step=2, events=("children:2",)))
        await asyncio.gather(park, *(store.messages.done(one, b"1") for one in leases))
        assert await state(store, lease.message.id) is State.READY

    async def test_of_beginning_to_wait_and_a_childs_end_at_the_same_time_nothing_is_lost(self, store: Store) -> None:
        lease = await runs(store)
        children = await sends(store, lease, *(message(agent="child") for _ in range(20)))
        leases = await take(store, await alive(store, "child"), 20)
        obtained, *_ = await asyncio.gather(
            store.journal.obtain(lease, results(children)), *(store.messages.done(one, b"1") for one in leases)
        )
        if obtained is None:
            await store.messages.park(lease, Wait(why="children", step=2, events=("children:2",)))
            obtained = await store.journal.obtain(await leased(store, lease.message.id), results(children))
        assert isinstance(obtained, Obtained)

    async def test_two_steps_may_wait_for_one_child(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        [child] = await sends(store, lease)
        for number in (2, 3):
            assert await store.journal.obtain(lease, results([child], number)) is None
        await store.messages.park(lease, Wait(why="children", step=2, events=("children:2", "children:3")))
        await _ends(store, clock, child, "done")
        again = await leased(store, lease.message.id)
        for number in (2, 3):
            assert await store.journal.obtain(again, results([child], number)) is not None

    async def test_who_parks_for_children_that_have_ended_is_ready_at_once(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        [child] = await sends(store, lease)
        assert await store.journal.obtain(lease, results([child])) is None
        await _ends(store, clock, child, "done")
        await store.messages.park(lease, Wait(why="children", step=2, events=("children:2",)))
        assert await state(store, lease.message.id) is State.READY

    async def test_a_child_that_was_revived_meanwhile_is_waited_for_again(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        [child] = await sends(store, lease)
        await _waits(store, lease, [child])
        await _ends(store, clock, child, "buried")
        await store.messages.revive(child)
        [again] = await take(store, await alive(store, "mail"))
        await _waits(store, again, [child])
        await _ends(store, clock, child, "done")
        assert await state(store, lease.message.id) is State.READY

    async def test_a_parent_that_waits_for_something_else_is_left_alone(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        [child] = await sends(store, lease)
        assert await store.journal.obtain(lease, results([child])) is None
        await store.messages.park(lease, Wait(why="signal", step=3, events=("signal:approval",)))
        await _ends(store, clock, child, "done")
        assert await state(store, lease.message.id) is State.WAITING

    async def test_a_run_waits_for_its_own_children_only(self, store: Store) -> None:
        stranger = await put(store, agent="other")
        lease = await runs(store, priority=0)
        for id in (stranger, MessageId(7)):
            with pytest.raises(NotFound):
                await store.journal.obtain(lease, results([id]))
        assert await store.journal.steps(lease.message.id) == []

    async def test_cancelling_a_parent_cancels_what_it_sent(self, store: Store) -> None:
        lease = await runs(store)
        [first, second] = await sends(store, lease, message(agent="child"), message(agent="child", priority=9))
        deep = await leased(store, first)
        [grandchild] = await sends(store, deep)
        await store.messages.release(lease)
        await store.messages.cancel(lease.message.id)
        assert await states(store, [second, grandchild]) == [State.CANCELLED, State.CANCELLED]
        assert (await store.messages.get(first)).cancelling
        await store.messages.release(deep)
        assert await state(store, first) is State.CANCELLED

    async def test_cancelling_a_parent_can_spare_what_it_sent(self, store: Store) -> None:
        lease = await runs(store)
        [child] = await sends(store, lease)
        await store.messages.release(lease)
        await store.messages.cancel(lease.message.id, children=False)
        assert await state(store, child) is State.READY

    # Groups ----------------------------------------------------------------------------------------

    async def test_the_join_of_a_group_runs_when_all_have_ended(self, store: Store, clock: FakeClock) -> None:
        id, members, join = await _together(store, 3)
        assert await state(store, join) is State.WAITING
        for member, how in zip(members, ("done", "buried", "cancelled"), strict=True):
            assert await state(store, join) is State.WAITING
            await _ends(store, clock, member, how)
        assert await state(store, join) is State.READY
        group = await store.messages.group(id)
        assert (group.total, group.left, group.done, group.dead, group.cancelled) == (3, 0, 1, 1, 1)
        assert (group.then, group.ended_at, group.open) == (join, clock.now(), False)

    async def test_the_join_runs_once(self, store: Store, clock: FakeClock) -> None:
        _, [member], join = await _together(store, 1)
        await _ends(store, clock, member, "buried")
        await store.messages.done(await leased(store, join), b"1")
        await store.messages.revive(member)
        await _ends(store, clock, member, "done")
        assert await state(store, join) is State.DONE

    async def test_members_that_end_all_at_once_make_one_join(self, store: Store) -> None:
        id, _, join = await _together(store, 20)
        leases = await take(store, await alive(store, "child"), 20)
        await asyncio.gather(*(store.messages.done(lease, b"1") for lease in leases))
        assert await state(store, join) is State.READY
        assert (await store.messages.group(id)).done == 20

    async def test_a_member_that_is_revived_in_time_holds_the_join(self, store: Store, clock: FakeClock) -> None:
        _, [first, second], join = await _together(store, 2)
        await _ends(store, clock, first, "buried")
        await store.messages.revive(first)
        await _ends(store, clock, first, "done")
        assert await state(store, join) is State.WAITING
        await _ends(store, clock, second, "done")
        assert await state(store, join) is State.READY

    async def test_an_open_group_takes_more_until_it_is_closed(self, store: Store, clock: FakeClock) -> None:
        id, [first], join = await _together(store, 1, open=True)
        await _ends(store, clock, first, "done")
        [receipt] = await store.messages.put([message(agent="child")], group=id)
        assert receipt.group == id
        await _ends(store, clock, receipt.id, "done")
        assert await state(store, join) is State.WAITING
        assert (await store.messages.close_group(id)).total == 2
        assert await state(store, join) is State.READY
        with pytest.raises(Conflict):
            await store.messages.put([message()], group=id)

    async def test_a_group_needs_no_join(self, store: Store, clock: FakeClock) -> None:
        receipts = await store.messages.put([message(agent="child")], group=NewGroup(name="night"))
        id = receipts[0].group
        assert id is not None
        await _ends(store, clock, receipts[0].id, "done")
        group = await store.messages.group(id)
        assert (group.name, group.then, group.ended_at) == ("night", None, clock.now())

    async def test_members_and_what_came_of_them_are_read_in_pages(self, store: Store, clock: FakeClock) -> None:
        id, members, _ = await _together(store, 5)
        await _ends(store, clock, members[0], "done")
        await _ends(store, clock, members[1], "buried")
        first = await store.messages.members(id, limit=2)
        assert [(one.id, one.state, one.result, one.error) for one in first.members] == [
            (members[0], State.DONE, b'"good"', None),
            (members[1], State.DEAD, None, BROKE),
        ]
        rest = await store.messages.members(id, limit=3, cursor=first.cursor)
        assert [one.id for one in rest.members] == members[2:]
        assert rest.cursor is None
        with pytest.raises(InvalidInput):
            await store.messages.members(id, cursor="none of ours")

    async def test_a_group_is_put_whole_or_not_at_all(self, store: Store) -> None:
        await put(store, dedup_key="a")
        with pytest.raises(DedupConflict):
            await store.messages.put(
                [message(agent="child"), message(dedup_key="a", body=b"2")], group=NewGroup(then=message(agent="join"))
            )
        assert len((await store.messages.list(_ALL)).views) == 1

    async def test_a_message_that_was_there_before_stays_out_of_the_group(self, store: Store, clock: FakeClock) -> None:
        before = await put(store, dedup_key="a", agent="child")
        receipts = await store.messages.put(
            [message(dedup_key="a", agent="child"), message(agent="child", priority=0)], group=NewGroup(then=message(agent="join"))
        )
        assert [(one.id == before, one.duplicate, one.group is None) for one in receipts] == [(True, True, True), (False, False, False)]
        await _ends(store, clock, receipts[1].id, "done")
        group = receipts[1].group
        assert group is not None
        assert (await store.messages.group(group)).ended_at == clock.now()

    async def test_the_same_put_again_is_the_same_group(self, store: Store) -> None:
        new = [message(agent="child", dedup_key=key) for key in ("a", "b")]
        first = await store.messages.put(new, group=NewGroup(then=message(agent="join")))
        again = await store.messages.put(new, group=NewGroup(then=message(agent="join")))
        assert [(one.id, one.group) for one in again] == [(one.id, one.group) for one in first]
        assert len((await store.messages.list(_ALL)).views) == 3
        group = first[0].group
        assert group is not None
        assert (await store.messages.group(group)).total == 2

    @pytest.mark.parametrize("tenant", [None, "stranger"], ids=["unknown", "of-another-tenant"])
    async def test_the_groups_of_others_are_not_there(self, store: Store, tenant: str | None) -> None:
        id = GroupId(7)
        if tenant is not None:
            receipts = await store.messages.put([message(tenant="owner")], group=NewGroup(open=True))
            id = receipts[0].group or id
        for ask in (store.messages.group, store.messages.members, store.messages.close_group):
            with pytest.raises(NotFound):
                await ask(id, tenant=tenant)
        with pytest.raises(NotFound):
            await store.messages.put([message(tenant=tenant or "default")], group=id)


async def _together(store: Store, count: int, **changes: Any) -> tuple[GroupId, list[MessageId], MessageId]:
    group = NewGroup(then=message(agent="join"), **changes)
    receipts = await store.messages.put([message(agent="child") for _ in range(count)], group=group)
    id = receipts[0].group
    assert id is not None
    join = (await store.messages.group(id)).then
    assert join is not None
    return id, [receipt.id for receipt in receipts], join


_ALL = Filter()
