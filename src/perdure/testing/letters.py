"""What a store promises of dead letters: edited, revived and discarded, one by one and by filter."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.errors.base import Category, Conflict, DedupConflict, ErrorFacts, InvalidInput, NotFound
from perdure.errors.patterns import Line
from perdure.messages.dead_letters import Bite, DeadFilter, DiedOf, Edit
from perdure.messages.message import MessageId, State
from perdure.messages.store import Filter
from perdure.security.audit import Actor, Deed, DeedFilter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, alive, intent, leased, message, put, runs, soon, state, states, take
from perdure.testing.kit import Kit

__all__ = ["ANNA", "DeadLettersKit", "dead", "deeds"]

ANNA = Actor("key_anna", "req_1")


async def dead(store: Store, n: int = 1, *, code: str = "agent-failed", text: str = "it broke", **changes: Any) -> list[MessageId]:
    """Let some messages die.

    Args:
        store (Store): Where.
        n (int): How many.
        code (str): Of what error.
        text (str): In whose words.
        **changes (Any): What is different about the messages.

    Returns:
        list[MessageId]: In the order of putting.
    """
    error = ErrorFacts(code=code, category=Category.AGENT, message=text)
    ids = [receipt.id for receipt in await store.messages.put([message(**changes)] * n)]
    worker = await alive(store, changes.get("agent", "mail"))
    for lease in await take(store, worker, n):
        await store.messages.bury(lease, error)
    await store.workers.bow_out(worker)
    return ids


async def deeds(store: Store, **filter: Any) -> list[Deed]:
    """Read the audit log.

    Args:
        store (Store): Where.
        **filter (Any): Which rows.

    Returns:
        list[Deed]: Newest first.
    """
    return list((await store.audit.list(DeedFilter(**filter))).deeds)


async def counted(store: Store, queue: str = "default") -> tuple[dict[str, int], dict[str, int]]:
    """Read a queue's kept numbers.

    Args:
        store (Store): Where.
        queue (str): Which.

    Returns:
        tuple[dict[str, int], dict[str, int]]: What is in it now, and its totals, without zeros.
    """
    [status] = [status for status in await store.messages.queues() if status.name == queue]
    return {name: n for name, n in status.counts.items() if n}, {name: n for name, n in status.totals.items() if n}


class DeadLettersKit(Kit, standard=True):
    """Edits dead letters, gives them another life and forgets them."""

    # One dead letter -------------------------------------------------------------------------------

    async def test_an_edited_letter_runs_with_what_it_was_edited_to(self, store: Store, clock: FakeClock) -> None:
        [id] = await dead(store, priority=5, attempts=2, metadata={"a": "1"})
        change = Edit(body=b'{"n":2}', priority=1, attempts=9, timeout_s=3.0, max_wait_s=60.0, metadata={"b": "2"}, deadline=soon(clock))
        view = await store.dead_letters.edit(id, change, by=ANNA)
        assert (view.state, view.message.body) == (State.DEAD, b'{"n":2}')
        await store.messages.revive(id)
        lease = await leased(store, id)
        put = lease.message
        assert (put.body, put.priority, put.attempts, put.timeout_s, put.max_wait_s) == (b'{"n":2}', 1, 9, 3.0, 60.0)
        assert (put.deadline, dict(put.metadata)) == (soon(clock), {"b": "2"})

    async def test_what_it_was_before_is_kept_with_who_and_when(self, store: Store, clock: FakeClock) -> None:
        [id] = await dead(store)
        await store.dead_letters.edit(id, Edit(body=b"2", priority=1), by=ANNA)
        clock.pass_by(seconds=5)
        await store.dead_letters.edit(id, Edit(timeout_s=None, priority=2))
        first, second = await store.dead_letters.edits(id)
        assert (first.at, first.who, first.body, dict(first.before)) == (clock.now() - 5, "key_anna", b'{"n":1}', {"priority": 5})
        assert (second.at, second.who, second.body, dict(second.before)) == (clock.now(), "", None, {"priority": 1, "timeout_s": None})
        [deed] = await deeds(store, action="dead-letter.edit")
        assert dict(deed.details) == {"changed": ["body", "priority"]}

    async def test_the_lane_that_comes_with_a_body_is_told_only_if_it_is_another(self, store: Store) -> None:
        [id] = await dead(store)
        await store.dead_letters.edit(id, Edit(body=b"2", lane=None), by=ANNA)
        await store.dead_letters.edit(id, Edit(body=b"3", lane="acme/m"), by=ANNA)
        assert [dict(one.before) for one in await store.dead_letters.edits(id)] == [{}, {"lane": None}]
        assert [deed.details["changed"] for deed in await deeds(store)] == [["body", "lane"], ["body"]]

    async def test_an_edit_of_nothing_leaves_no_trace(self, store: Store) -> None:
        [id] = await dead(store)
        await store.dead_letters.edit(id, Edit(), by=ANNA)
        assert (list(await store.dead_letters.edits(id)), await deeds(store)) == ([], [])

    async def test_an_edited_letter_keeps_its_journal(self, store: Store) -> None:
        lease = await runs(store)
        await store.journal.settle(lease, intent(1), b'"paid for"')
        await store.messages.bury(lease, BROKE)
        await store.dead_letters.edit(lease.message.id, Edit(body=b"2"))
        [step] = await store.journal.steps(lease.message.id)
        assert step.result == b'"paid for"'

    async def test_a_letter_pinned_to_a_version_that_is_gone_can_be_set_free(self, store: Store) -> None:
        worker = await alive(store, "mail@v1")
        id = await put(store, version="v1", lane="p/old")
        [lease] = await take(store, worker)
        await store.messages.bury(lease, BROKE)
        await store.dead_letters.edit(id, Edit(version=None, lane="p/new"))
        await store.messages.revive(id)
        view = await store.messages.get(id)
        assert (view.message.version, view.message.lane) == (None, "p/new")
        assert [(route.version, route.lane) for route in await store.messages.routes()][-1] == (None, "p/new")
        assert (await store.messages.list(Filter(state=State.READY))).views[0].message.id == id
        [lease] = await take(store, worker)
        assert lease.message.id == id
        await store.messages.done(lease, b"1")
        assert (await counted(store))[0] == {"done": 1}

    async def test_the_same_put_again_still_brings_an_edited_letter(self, store: Store) -> None:
        [id] = await dead(store, dedup_key="once")
        await store.dead_letters.edit(id, Edit(body=b"2"))
        await store.dead_letters.edit(id, Edit(body=b"3"))
        for body in (b'{"n":1}', b"3"):
            [receipt] = await store.messages.put([message(dedup_key="once", body=body)])
            assert (receipt.id, receipt.duplicate) == (id, True)
        with pytest.raises(DedupConflict):
            await store.messages.put([message(dedup_key="once", body=b"4")])

    async def test_it_can_be_revived_with_changes_in_one_go(self, store: Store, clock: FakeClock) -> None:
        [id] = await dead(store, deadline=soon(clock, 5))
        clock.pass_by(seconds=6)
        with pytest.raises(Conflict):
            await store.messages.revive(id, edit=Edit(body=b"2"), by=ANNA)
        assert (await store.messages.get(id)).message.body == b'{"n":1}'
        view = await store.messages.revive(id, edit=Edit(body=b"2", deadline=None), by=ANNA)
        assert (view.state, view.message.body, view.message.deadline) == (State.READY, b"2", None)
        assert [deed.action for deed in await deeds(store)] == ["dead-letter.revive", "dead-letter.edit"]

    async def test_a_discarded_letter_is_gone_with_all_it_owned(self, store: Store) -> None:
        lease = await runs(store, dedup_key="once")
        id = lease.message.id
        await store.journal.settle(lease, intent(1), b"1")
        await store.messages.bury(lease, BROKE)
        await store.dead_letters.edit(id, Edit(priority=1))
        await store.dead_letters.discard(id, by=ANNA)
        for look in (store.messages.get, store.messages.attempts, store.dead_letters.edits, store.dead_letters.discard):
            with pytest.raises(NotFound):
                await look(id)
        assert (list(await store.journal.steps(id)), (await store.messages.list(Filter())).views) == ([], [])
        assert await counted(store) == ({}, {"put": 1, "dead": 1, "discarded": 1})
        assert [change.id for change in await store.messages.changes(0)] == []
        [deed] = await deeds(store, action="dead-letter.discard")
        assert dict(deed.details) == {"agent": "mail", "queue": "default"}
        assert not (await store.messages.put([message(dedup_key="once", body=b"2")]))[0].duplicate

    async def test_only_dead_letters_are_edited_and_discarded_and_only_ones_own(self, store: Store) -> None:
        alive_one = await put(store, tenant="acme")
        with pytest.raises(Conflict):
            await store.dead_letters.edit(alive_one, Edit(priority=1))
        with pytest.raises(Conflict):
            await store.dead_letters.discard(alive_one)
        [id] = (await dead(store, tenant="acme", priority=0))[:1]
        with pytest.raises(NotFound):
            await store.dead_letters.edit(id, Edit(priority=1), tenant="other")
        with pytest.raises(NotFound):
            await store.dead_letters.edits(id, tenant="other")
        with pytest.raises(NotFound):
            await store.dead_letters.discard(id, tenant="other")
        await store.dead_letters.discard(id, tenant="acme")

    # Many ------------------------------------------------------------------------------------------

    async def test_those_that_fit_are_counted_before_anything_is_done(self, store: Store) -> None:
        ids = await dead(store, 4, code="a") + await dead(store, 2, code="b")
        bite = await store.dead_letters.look(DeadFilter(code="a"), limit=3)
        assert (bite.done, list(bite.sample)) == (3, ids[3:0:-1])
        rest = await store.dead_letters.look(DeadFilter(code="a"), limit=3, cursor=bite.cursor)
        assert (rest.done, rest.cursor) == (1, None)
        assert set(await states(store, ids)) == {State.DEAD}

    @pytest.mark.parametrize("field", ["tenant", "queue", "agent", "code", "died_after", "died_before", "text-in-error", "text-in-body"])
    async def test_a_filter_names_any_of_these(self, store: Store, clock: FakeClock, field: str) -> None:
        await dead(store, tenant="a", queue="a", agent="a", code="a", text="Kaputt", body=b'{"t":"hello"}')
        clock.pass_by(seconds=60)
        [wanted] = await dead(store, tenant="b", queue="b", agent="b", code="b", text="Ganz HEIL", body='{"t":"Grüße"}'.encode())
        clock.pass_by(seconds=60)
        await dead(store, tenant="c", queue="c", agent="c", code="c", text="Kaputt")
        named: dict[str, Any] = {field: "b"}
        chosen = {
            "died_after": DeadFilter(died_after=clock.now() - 60, died_before=clock.now() - 1),
            "died_before": DeadFilter(died_before=clock.now(), died_after=clock.now() - 60),
            "text-in-error": DeadFilter(text="heil"),
            "text-in-body": DeadFilter(text="GRÜSSE"),
        }.get(field) or DeadFilter(**named)
        bite = await store.dead_letters.discard_all(chosen, by=ANNA)
        assert (bite.done, list(bite.sample), bite.cursor) == (1, [wanted], None)
        assert len((await store.messages.list(Filter(state=State.DEAD))).views) == 2

    async def test_those_that_died_of_one_pattern_are_told_apart(self, store: Store) -> None:
        ids = await dead(store, 2, agent="a", code="a", text="order 1 is refused")
        others = [
            *await dead(store, agent="a", code="a", text="it is full"),
            *await dead(store, agent="b", code="a", text="order 2 is refused"),
        ]
        error = (await store.messages.get(ids[0])).error
        assert error is not None
        line = Line.of(error, where="run", agent="a")
        died_of = DiedOf(pattern="pat_1", agent="a", lines=frozenset({line.id}), known=frozenset({line.id}))
        wanted = DeadFilter(agent="a", died_of=died_of)
        assert (await store.dead_letters.look(wanted)).done == 2
        await store.dead_letters.revive(wanted, by=ANNA)
        assert set(await states(store, ids)) == {State.READY}
        assert set(await states(store, others)) == {State.DEAD}
        [row] = await deeds(store, action="dead-letters.revive")
        assert row.details["filter"] == {"agent": "a", "died_of": "pat_1"}

    async def test_many_are_revived_in_bites_that_leave_a_row_each(self, store: Store) -> None:
        ids = await dead(store, 5, code="a")
        [other] = await dead(store, code="b")
        bites = await bites_of(store, DeadFilter(code="a"), limit=2)
        assert [bite.done for bite in bites] == [2, 2, 1]
        assert (set(await states(store, ids)), await state(store, other)) == ({State.READY}, State.DEAD)
        rows = await deeds(store, action="dead-letters.revive")
        assert [row.details["count"] for row in rows] == [1, 2, 2]
        assert rows[0].details["filter"] == {"code": "a"}
        assert (await counted(store))[1]["revived"] == 5

    async def test_revived_at_a_pace_they_come_back_one_after_the_other(self, store: Store, clock: FakeClock) -> None:
        ids = await dead(store, 5)
        began = clock.now()
        bites = await bites_of(store, DeadFilter(), limit=2, per_s=0.5, clock=clock)
        assert [bite.due_at for bite in bites] == [began + 2, began + 6, began + 8]
        views = [await store.messages.get(id) for id in reversed(ids)]
        assert [view.state for view in views] == [State.READY, *[State.LATER] * 4]
        assert [view.wait.until for view in views if view.wait] == [began + 2, began + 4, began + 6, began + 8]
        assert {view.wait.why for view in views if view.wait} == {"paced"}
        for ready in (2, 3, 4, 5):
            clock.pass_by(seconds=2 if ready > 2 else 2 - (clock.now() - began))
            await store.messages.tend()
            assert (await states(store, ids)).count(State.READY) == ready
        assert (await leased(store, ids[4])).attempt == 1

    async def test_discarded_at_a_pace_no_more_go_than_have_come_due(self, store: Store, clock: FakeClock) -> None:
        await dead(store, 6)
        began, done, cursor = clock.now(), [], None
        for _ in range(5):
            bite = await store.dead_letters.discard_all(DeadFilter(), per_s=2.0, limit=200, cursor=cursor, by=ANNA)
            cursor = bite.cursor
            done.append((bite.done, None if bite.due_at is None else bite.due_at - began))
            clock.pass_by(seconds=0.25 if len(done) == 1 else 0.75)
        assert done == [(1, 0.5), (0, 0.5), (2, 1.5), (1, 2.0), (2, None)]
        assert cursor is None
        assert {row.details["per_s"] for row in await deeds(store, action="dead-letters.discard")} == {2.0}

    async def test_a_letter_whose_deadline_comes_before_its_turn_is_left(self, store: Store, clock: FakeClock) -> None:
        ids = await dead(store, 3, deadline=soon(clock, 15))
        bite = await store.dead_letters.revive(DeadFilter(), per_s=0.1)
        assert (bite.done, bite.refused) == (2, 1)
        assert await states(store, ids) == [State.DEAD, State.LATER, State.READY]

    async def test_a_sequence_that_broke_off_goes_on_with_what_is_left(self, store: Store) -> None:
        ids = await dead(store, 5)
        await store.dead_letters.discard_all(DeadFilter(), limit=2)
        bite = await store.dead_letters.discard_all(DeadFilter(), limit=200)
        assert (bite.done, bite.cursor) == (3, None)
        assert (await store.dead_letters.look(DeadFilter())).done == 0
        assert len(ids) == 5

    async def test_nobody_touches_what_is_anothers_or_is_not_dead(self, store: Store) -> None:
        await dead(store, 2, tenant="acme")
        living = await put(store, tenant="other")
        assert (await store.dead_letters.revive(DeadFilter(tenant="other"))).done == 0
        assert (await store.dead_letters.discard_all(DeadFilter(tenant="nobody"))).done == 0
        assert await state(store, living) is State.READY

    @pytest.mark.parametrize("cursor", ["", "x", "1.2", "-1", "1.2.3.4", "9" * 30])
    async def test_a_cursor_that_is_none_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(InvalidInput):
            await store.dead_letters.revive(DeadFilter(), per_s=1.0, cursor=cursor)

    async def test_the_row_of_a_bite_names_its_filter_without_secrets(self, store: Store, clock: FakeClock) -> None:
        await dead(store, body=b'{"token":"sk-abcdefghijklmnop"}')
        bite = await store.dead_letters.discard_all(DeadFilter(text="sk-abcdefghijklmnop", died_before=clock.now() + 1), by=ANNA)
        [deed] = await deeds(store)
        assert bite.done == 1
        assert deed.details["filter"]["text"] == "[redacted]"
        assert deed.details["filter"]["died_before"].endswith("Z")


async def bites_of(
    store: Store, filter: DeadFilter, *, limit: int, per_s: float | None = None, clock: FakeClock | None = None
) -> list[Bite]:
    """Revive all that fit, bite by bite, a little time between them.

    Args:
        store (Store): Where.
        filter (DeadFilter): Which.
        limit (int): In one bite.
        per_s (float | None): How fast.
        clock (FakeClock | None): The store's time, if it is to go on.

    Returns:
        list[Bite]: What each did.
    """
    bites: list[Bite] = []
    cursor = None
    while not bites or cursor is not None:
        bites.append(await store.dead_letters.revive(filter, limit=limit, per_s=per_s, cursor=cursor, by=ANNA))
        cursor = bites[-1].cursor
        if clock is not None:
            clock.pass_by(seconds=0.25)
    return bites
