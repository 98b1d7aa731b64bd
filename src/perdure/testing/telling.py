"""What a store promises to tell: what has happened, once, after it is kept. Metrics and logs live on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import pytest

from perdure.agents.journal import Decision
from perdure.errors.base import DedupConflict, LeaseLost
from perdure.events import listen
from perdure.messages.message import Wait
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, alive, asks, dies, leased, message, put, runs, soon, take
from perdure.testing.kit import Kit

Told: TypeAlias = list[tuple[str, Mapping[str, Any]]]

__all__ = ["TellingKit"]


@contextmanager
def hearing(prefix: str) -> Iterator[Told]:
    """Listen for a while.

    Args:
        prefix (str): How the events' names begin.

    Yields:
        Told: What was told so far.
    """
    told: Told = []
    stop = listen(prefix, lambda name, facts: told.append((name, dict(facts))))
    try:
        yield told
    finally:
        stop()


class TellingKit(Kit, standard=True):
    """Listens while things happen."""

    async def test_a_life_is_told_from_put_to_done(self, store: Store, clock: FakeClock) -> None:
        with hearing("message.") as told:
            lease = await runs(store, tenant="t", queue="q")
            id = lease.message.id
            await store.messages.retry(lease, BROKE, at=soon(clock, 5))
            clock.pass_by(seconds=5)
            await store.messages.tend()
            lease = await leased(store, id)
            await store.messages.park(lease, Wait(why="sleep", until=soon(clock, 5)))
            clock.pass_by(seconds=5)
            await store.messages.tend()
            lease = await leased(store, id)
            await store.messages.release(lease)
            lease = await leased(store, id)
            clock.pass_by(seconds=2)
            await store.messages.done(lease, b"1")
        names = [name.removeprefix("message.") for name, _ in told]
        assert names == ["put", "leased", "retried", "leased", "parked", "leased", "released", "leased", "done"]
        assert [facts["attempt"] for _, facts in told] == [0, 1, 1, 2, 1, 2, 1, 2, 2]
        assert {(facts["message"], facts["agent"], facts["queue"], facts["tenant"]) for _, facts in told} == {(id, "mail", "q", "t")}
        extras = [facts for _, facts in told]
        assert (extras[2]["code"], extras[4]["why"], extras[8]["took_s"], extras[8]["code"]) == (BROKE.code, "sleep", 2.0, None)
        assert (extras[3]["waited_s"], extras[8]["message"]) == (5.0, id)
        assert extras[7]["worker"] == lease.worker

    async def test_the_other_ends_are_told_too(self, store: Store, clock: FakeClock) -> None:
        with hearing("message.") as told:
            lease = await runs(store)
            await store.messages.bury(lease, BROKE)
            await store.messages.revive(lease.message.id)
            await store.messages.cancel(lease.message.id)
            late = await put(store, deadline=soon(clock, 1))
            clock.pass_by(seconds=2)
            await store.messages.tend()
        ours = [(name, facts["code"]) for name, facts in told if facts["message"] == lease.message.id]
        assert ours[2:] == [("message.dead", BROKE.code), ("message.revived", None), ("message.cancelled", None)]
        assert [(name, facts["code"]) for name, facts in told if facts["message"] == late][1:] == [("message.dead", "deadline-passed")]

    async def test_what_was_refused_is_not_told(self, store: Store) -> None:
        lease = await runs(store, dedup_key="k")
        await store.messages.release(lease)
        with hearing("") as told:
            with pytest.raises(LeaseLost):
                await store.messages.done(lease, b"1")
            with pytest.raises(DedupConflict):
                await store.messages.put([message(), message(dedup_key="k", body=b"2")])
            await store.messages.put([message(dedup_key="k")])
        assert told == []

    async def test_deaths_are_told(self, store: Store, clock: FakeClock) -> None:
        worker = await alive(store, host="box")
        await store.messages.put([message() for _ in range(3)])
        await take(store, worker, 2)
        with hearing("worker.") as told:
            await dies(store, clock)
            await store.workers.reap()
        assert told == [
            ("worker.died", {"worker": worker, "host": "box"}),
            ("worker.reaped", {"worker": worker, "released": 2, "quarantined": 0, "buried": 0, "cancelled": 0}),
        ]

    async def test_a_decision_to_give_up_is_a_death(self, store: Store) -> None:
        lease = await runs(store)
        await asks(store, lease)
        with hearing("message.") as told:
            await store.journal.decide(lease.message.id, 1, Decision.BURY, by="key_1")
        assert [(name, facts["code"]) for name, facts in told] == [("message.dead", "outcome-unknown")]
