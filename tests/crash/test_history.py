"""The checker finds what may not be."""

from __future__ import annotations

from crash.history import illegal_paths, sessions_out_of_order, starved, told_twice, whole_history
from perdure.messages.message import MessageId, State
from perdure.messages.store import Change
from perdure.stores.inmemory import InMemoryStore
from perdure.testing.given import alive, message, take


def history(*moves: tuple[int, State]) -> list[Change]:
    return [
        Change(seq=seq, id=MessageId(number), tenant="t", queue="q", agent="a", state=state, at=0.0)
        for seq, (number, state) in enumerate(moves, 1)
    ]


def test_a_legal_path_is_not_blamed() -> None:
    told = history((1, State.READY), (1, State.LEASED), (1, State.LATER), (1, State.READY), (1, State.LEASED), (1, State.DONE))
    assert illegal_paths(told) == told_twice(told) == []


def test_a_message_leased_twice_is_found() -> None:
    assert illegal_paths(history((1, State.READY), (1, State.LEASED), (1, State.LEASED))) == ["1 goes from leased to leased at 3"]


def test_a_message_that_ends_twice_is_found() -> None:
    assert illegal_paths(history((1, State.READY), (1, State.LEASED), (1, State.DONE), (1, State.DONE))) != []


def test_a_message_that_comes_from_nowhere_is_found() -> None:
    assert illegal_paths(history((1, State.LEASED))) == ["1 begins leased"]


def test_a_session_out_of_order_is_found() -> None:
    told = history((1, State.READY), (2, State.READY), (2, State.LEASED), (2, State.DONE), (1, State.LEASED))
    assert len(sessions_out_of_order(told, {MessageId(1): "s", MessageId(2): "s"})) == 1
    assert sessions_out_of_order(told, {MessageId(1): "s", MessageId(2): "other"}) == []


def test_a_message_that_never_has_its_turn_is_found() -> None:
    moves = [(1, State.READY)]
    for other in range(2, 20):
        moves += [(other, State.READY), (other, State.LEASED)]
    assert len(starved(history(*moves))) == 1
    assert starved(history(*moves), workers=2) == []


async def test_what_a_store_tells_is_legal_and_starves_nobody() -> None:
    async with InMemoryStore() as store:
        worker = await alive(store)
        await store.messages.put([message(priority=9)])
        for _ in range(5):
            await store.messages.put([message(priority=0) for _ in range(10)])
            for lease in await take(store, worker, limit=10):
                await store.messages.done(lease, b"1")
        told = await whole_history(store.messages)
        assert illegal_paths(told) == told_twice(told) == starved(told) == []
