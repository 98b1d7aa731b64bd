"""The kit that proves what operators do: the audit log, pauses that tell why, dead letters."""

from __future__ import annotations

import itertools

import pytest

from perdure.agents.journal import Decision
from perdure.errors.base import Conflict, InvalidInput
from perdure.security.audit import Actor, DeedFilter
from perdure.security.keys import digest, make_key
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import asks, put, runs
from perdure.testing.letters import ANNA, DeadLettersKit, dead, deeds

__all__ = ["OperatingKit"]


class OperatingKit(DeadLettersKit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and what your store lets operators do is proved."""

    # The audit log ---------------------------------------------------------------------------------

    async def test_what_is_noted_is_listed_newest_first(self, store: Store, clock: FakeClock) -> None:
        await store.audit.note(ANNA, "limit.set", "support", {"at_once": 3, "unset": None})
        clock.pass_by(seconds=1)
        await store.audit.note(Actor("cli"), "limit.drop", "support")
        newest, oldest = await deeds(store)
        assert (oldest.at, oldest.who, oldest.action, oldest.target, dict(oldest.details), oldest.request_id) == (
            clock.now() - 1,
            "key_anna",
            "limit.set",
            "support",
            {"at_once": 3},
            "req_1",
        )
        assert (newest.who, newest.action, dict(newest.details), newest.request_id) == ("cli", "limit.drop", {}, None)

    async def test_no_secret_is_written_into_it(self, store: Store) -> None:
        secret = make_key("x", tenant="*", scopes=["*"], now=0)[1]
        await store.audit.note(ANNA, "config.set", "providers", {"api_key": "sk-very-secret", "note": f"use {secret} for it"})
        [deed] = await deeds(store)
        assert "very-secret" not in str(deed.details)
        assert secret not in str(deed.details)

    async def test_it_is_listed_by_any_of_its_columns_and_in_pages(self, store: Store, clock: FakeClock) -> None:
        began = clock.now()
        for who, action, target in itertools.product(("anna", "ben"), ("queue.pause", "queue.resume"), ("a", "b")):
            await store.audit.note(Actor(who), action, target)
            clock.pass_by(seconds=10)
        assert len(await deeds(store, who="anna")) == 4
        assert len(await deeds(store, action="queue.pause", who="ben")) == 2
        assert [(deed.who, deed.target) for deed in await deeds(store, target="b", action="queue.resume")] == [("ben", "b"), ("anna", "b")]
        assert len(await deeds(store, action="queue.pause")) == 4
        assert len(await deeds(store, after=began + 20, before=began + 40)) == 2
        first = await store.audit.list(DeedFilter(), limit=5)
        rest = await store.audit.list(DeedFilter(), limit=5, cursor=first.cursor)
        ids = [deed.id for deed in [*first.deeds, *rest.deeds]]
        assert (len(ids), rest.cursor, ids) == (8, None, sorted(ids, reverse=True))
        with pytest.raises(InvalidInput):
            await store.audit.list(DeedFilter(), cursor="tomorrow")

    async def test_whatever_a_person_does_leaves_a_row(self, store: Store, clock: FakeClock) -> None:
        [letter, other] = await dead(store, 2)
        await store.messages.revive(letter, by=ANNA)
        await store.messages.cancel(letter, by=ANNA)
        await store.dead_letters.discard(other, by=ANNA)
        await store.messages.pause("mail", by=ANNA)
        await store.messages.resume("mail", by=ANNA)
        await store.messages.pause(None, by=ANNA)
        await store.messages.resume(None, by=ANNA)
        key, secret = make_key("ci", tenant="acme", scopes=["messages:read"], now=clock.now())
        await store.keys.add(key, digest(secret), by=ANNA)
        await store.keys.revoke(key.id, by=ANNA)
        asked = await runs(store)
        await asks(store, asked)
        await store.journal.decide(asked.message.id, 1, Decision.HAPPENED, by="key_anna", result=b"1")
        done = [deed.action for deed in reversed(await deeds(store, who="key_anna"))]
        assert done == [
            *("dead-letter.revive", "message.cancel", "dead-letter.discard", "queue.pause", "queue.resume", "all.pause", "all.resume"),
            *("key.create", "key.revoke", "step.decide"),
        ]
        assert secret not in str(await deeds(store))

    async def test_what_is_refused_or_done_by_nobody_leaves_none(self, store: Store) -> None:
        id = await put(store)
        with pytest.raises(Conflict):
            await store.messages.revive(id, by=ANNA)
        await store.messages.pause("mail")
        await store.messages.cancel(id)
        await store.messages.cancel(id, by=ANNA)  # it was cancelled already
        assert await deeds(store) == []

    # Pauses ----------------------------------------------------------------------------------------

    async def test_a_pause_tells_who_wanted_it_and_why(self, store: Store, clock: FakeClock) -> None:
        await store.messages.pause("mail", why="the bill is too high", by=ANNA)
        await store.messages.pause(None, why="deploy")
        [status] = await store.messages.queues()
        assert status.pause is not None
        told = status.pause
        assert (status.paused, told.at, told.who, told.why) == (True, clock.now(), "key_anna", "the bill is too high")
        everything = await store.messages.pause_of_all()
        assert everything is not None
        assert (everything.who, everything.why) == (None, "deploy")

    async def test_a_lifted_pause_tells_nothing(self, store: Store) -> None:
        for queue in ("mail", None):
            await store.messages.pause(queue, why="for now", by=ANNA)
            await store.messages.resume(queue, by=ANNA)
        assert [status.pause for status in await store.messages.queues() if status.paused] == []
        assert await store.messages.pause_of_all() is None
