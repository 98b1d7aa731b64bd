"""Every check of the crash tests can fail: for each there are books in which that is wrong, and it is found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crash.books import CHECKS, Books, gathered, wrong_in
from crash.watch import Recorded, Watch
from perdure.agents.journal import Step, StepKey, StepKind, StepState
from perdure.app import open_store
from perdure.config.settings import Settings
from perdure.messages.message import Message, MessageId, State, View
from perdure.messages.store import Change
from perdure.testing.given import intent, runs

ONE, TWO = MessageId(1), MessageId(2)


def view(id: int, state: State = State.DONE, *, session: str | None = None, **fields: Any) -> View:
    message = Message(
        id=MessageId(id), agent="a", body=b"1", queue="q", tenant="t", priority=5, attempts=5, created_at=0.0, session=session
    )
    return View(message=message, state=state, **fields)


def changes(*moves: tuple[int, State]) -> list[Change]:
    return [
        Change(seq=seq, id=MessageId(number), tenant="t", queue="q", agent="a", state=state, at=0.0)
        for seq, (number, state) in enumerate(moves, 1)
    ]


def asks(number: int, tag: str, **fields: Any) -> Step:
    key = StepKey(scope="", kind=StepKind.LLM, name="ask", fingerprint="00", n=0)
    known = {
        "state": StepState.DONE,
        "attempt": 1,
        "began_at": 1.0,
        "ended_at": 2.0,
        "result": b'"yes"',
        "request": b'"[tag:%s]"' % tag.encode(),
    }
    return Step(number=number, key=key, **(known | fields))


WHOLE = [(1, State.READY), (2, State.READY), (1, State.LEASED), (1, State.DONE), (2, State.LEASED), (2, State.DONE)]
GOOD = Books(
    put=[ONE, TWO],
    views={ONE: view(1, session="s"), TWO: view(2, session="s")},
    steps={ONE: [asks(1, "1-read"), asks(2, "1-thank", ambiguous=1)], TWO: [asks(1, "2-read")]},
    told=changes(*WHOLE),
    followed=changes(*WHOLE[:4]),
    recorded={(ONE, 1): Recorded(b'"yes"', 2.0, "1-read", 1)},
    asked={"1-read": 1, "1-thank": 2, "2-read": 1},
    tool_runs={ONE: 1, TWO: 1},
    paid_twice=1,
)


def told(*moves: tuple[int, State]) -> Books:
    return replace(GOOD, told=changes(*moves), followed=[])


def passed_by() -> Sequence[tuple[int, State]]:
    others = [(other, state) for other in range(2, 20) for state in (State.READY, State.LEASED, State.DONE)]
    return [(1, State.READY), *others, (1, State.LEASED), (1, State.DONE)]


BAD: dict[str, list[Books]] = {
    "lost": [replace(GOOD, put=[ONE, TWO, MessageId(3)])],
    "not ended": [replace(GOOD, views=GOOD.views | {TWO: view(2, State.LEASED, session="s")})],
    "illegal paths": [told(*WHOLE[:3], (1, State.HELD), *WHOLE[3:]), told(*WHOLE[1:])],
    "leased twice": [told(*WHOLE[:3], (1, State.LEASED), *WHOLE[3:])],
    "ended twice": [told(*WHOLE, (2, State.DONE)), told(*WHOLE[:-1], (2, State.CANCELLED), (2, State.DONE))],
    "never told": [told(*WHOLE[:1], *WHOLE[2:4])],
    "told what is not": [
        replace(GOOD, views=GOOD.views | {TWO: view(2, State.DEAD, session="s")}),
        replace(GOOD, views={ONE: GOOD.views[ONE]}),
    ],
    "not gone": [replace(GOOD, gone=[TWO])],
    "followers miss": [replace(GOOD, followed=[*GOOD.told[:2], *GOOD.told[3:]]), replace(GOOD, followed=GOOD.told, told=GOOD.told[:-1])],
    "sessions out of order": [told(*WHOLE[:2], *WHOLE[4:], *WHOLE[2:4]), told(*WHOLE[:3], *WHOLE[4:], WHOLE[3])],
    "starved": [told(*passed_by())],
    "recorded again": [
        replace(GOOD, recorded={(ONE, 1): Recorded(b'"yes"', 1.5)}),
        replace(GOOD, recorded={(ONE, 1): Recorded(b'"no"', 2.0)}),
        replace(GOOD, recorded={(TWO, 7): Recorded(b'"yes"', 2.0)}),
    ],
    "asked again": [replace(GOOD, steps=GOOD.steps | {ONE: [asks(1, "1-read", ambiguous=1)]}, asked=GOOD.asked | {"1-read": 2})],
    "paid too often": [
        replace(GOOD, asked=GOOD.asked | {"2-read": 2}),
        replace(GOOD, asked=GOOD.asked | {"1-thank": 3}),
        replace(GOOD, asked=GOOD.asked | {"3-nobody": 1}),
    ],
    "never asked": [replace(GOOD, asked={"1-read": 1, "1-thank": 2})],
    "miscounted": [replace(GOOD, paid_twice=0), replace(GOOD, paid_twice=2)],
    "tools": [replace(GOOD, tool_runs={ONE: 2, TWO: 1}), replace(GOOD, tool_runs={ONE: 1, TWO: 0})],
    "faults": [replace(GOOD, faults=["counts: kept numbers of a queue that are not what is there"])],
}


def test_nothing_is_wrong_in_good_books() -> None:
    assert wrong_in(GOOD) == {}


def test_there_are_bad_books_for_every_check() -> None:
    assert BAD.keys() == CHECKS.keys()


@pytest.mark.parametrize(("name", "books"), [(name, books) for name, several in BAD.items() for books in several])
def test_what_is_wrong_is_found_by_the_check_for_it(name: str, books: Books) -> None:
    assert name in wrong_in(books)


def test_that_one_who_runs_was_called_off_is_no_second_lease() -> None:
    moves = [*WHOLE[:5], (2, State.LEASED), (2, State.CANCELLED)]
    books = replace(told(*moves), views=GOOD.views | {TWO: view(2, State.CANCELLED, session="s")})
    assert wrong_in(books) == {}


def test_one_in_quarantine_is_not_starved_by_those_outside() -> None:
    twice = [(1, State.READY), (1, State.LEASED), (1, State.READY), (1, State.LEASED)]
    assert "starved" not in wrong_in(told(*twice, *passed_by()))
    assert "starved" in wrong_in(told(*twice[2:], *passed_by()))


def test_a_dead_letter_that_was_revived_may_end_once_more() -> None:
    moves = [*WHOLE[:5], (2, State.DEAD), (2, State.READY), (2, State.LEASED), (2, State.DONE)]
    assert wrong_in(told(*moves)) == {}


@pytest.fixture
async def worked_on(tmp_path: Path) -> AsyncIterator[Any]:
    """A store in which one run has one recorded call."""
    settings = Settings.model_validate({"data": tmp_path / "data"})
    settings.data.mkdir(mode=0o700)
    async with open_store(settings) as store:
        lease = await runs(store)
        await store.journal.intend(lease, intent(1, request=b'"[tag:1-read]"'))
        await store.journal.record(lease, 1, b'"yes"')
        yield store, settings, lease


async def test_whoever_looks_on_remembers_each_answer_as_he_first_saw_it(worked_on: Any) -> None:
    store, settings, lease = worked_on
    asked = {"1-read": 1}
    watch = Watch(lambda: dict(asked))
    await watch.look(store)
    asked["1-read"] = 2
    await watch.look(store)
    [(at, recorded)] = watch.recorded.items()
    assert (at, recorded.tag, recorded.asked) == ((lease.message.id, 1), "1-read", 1)
    books = await gathered(store, settings, watch, put=[lease.message.id])
    assert wrong_in(books).keys() == {"not ended", "asked again", "paid too often"}
