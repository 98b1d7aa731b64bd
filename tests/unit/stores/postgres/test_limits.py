"""Which limits a process knows when it puts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.stores.postgres import limits
from perdure.stores.postgres.limits import KnownLimits
from perdure.testing.given import message


class Database:
    """Answers which limits there are, after a turn of the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.rows = 0, [(1, None, None)]
        monkeypatch.setattr(limits, "ask", self.ask)
        self.known = KnownLimits(None)  # type: ignore[arg-type]

    async def ask(self, *_: Any) -> list[Any]:
        self.asked += 1
        rows = self.rows
        await asyncio.sleep(0)
        return rows


async def test_many_who_put_at_once_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(monkeypatch)
    answers = await asyncio.gather(*(database.known.rule([message()]) for _ in range(50)))
    assert (set(answers), database.asked, database.known.none) == ({False}, 1, True)


async def test_who_puts_after_a_limit_was_set_does_not_share_an_older_look(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(monkeypatch)
    early = asyncio.ensure_future(database.known.rule([message(tenant="acme")]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    database.rows = [(2, "tenant", "acme")]
    database.known.forget()
    assert await database.known.rule([message(tenant="acme")])
    assert await early
    assert database.asked == 2
