"""Synchronous functions over an asynchronous connection."""

from __future__ import annotations

import asyncio

import pytest

from perdure.stores.postgres.bridge import Rows, drive, wait_for


async def soon(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def failing() -> int:
    await asyncio.sleep(0)
    raise KeyError("not there")


async def test_what_is_waited_for_is_the_answer_of_the_call() -> None:
    assert await drive(lambda a, *, b: wait_for(soon(a)) + wait_for(soon(b)), 1, b=2) == 3


async def test_a_function_that_waits_for_nothing_just_returns() -> None:
    assert await drive(lambda: 5) == 5


async def test_an_error_is_raised_where_it_was_waited_for() -> None:
    def careful() -> str:
        try:
            wait_for(failing())
        except KeyError:
            return f"caught, and went on to {wait_for(soon(7))}"
        return "not reached"

    assert await drive(careful) == "caught, and went on to 7"


async def test_an_error_nobody_catches_reaches_the_caller() -> None:
    with pytest.raises(KeyError):
        await drive(lambda: wait_for(failing()))


async def test_others_go_on_while_a_call_waits() -> None:
    gate, said = asyncio.Event(), []

    def slow() -> None:
        wait_for(gate.wait())
        said.append("slow")

    async def quick() -> None:
        said.append("quick")
        gate.set()

    await asyncio.gather(drive(slow), quick())
    assert said == ["quick", "slow"]


async def test_who_is_cancelled_while_waiting_cleans_up() -> None:
    said = []

    def interrupted() -> None:
        try:
            wait_for(asyncio.Event().wait())
        finally:
            said.append("cleaned up")

    waiting = asyncio.create_task(drive(interrupted))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert said == ["cleaned up"]


def test_rows_are_read_like_a_cursors() -> None:
    rows = Rows([(1, "a"), (2, "b"), (3, "c")])
    assert (rows.get, rows.fetchone(), next(rows), rows.fetchall(), rows.fetchone()) == ((1, "a"), (1, "a"), (2, "b"), [(3, "c")], None)
    assert (Rows([]).get, Rows([]).fetchone(), Rows([(None,)]).get, list(Rows([(1,), (2,)]))) == (None, None, None, [(1,), (2,)])
