"""A large body is kept once for all runs, also while one of them is being forgotten."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator

import pytest

from perdure.agents.journal import StepKind
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql.erase import forget_journals
from perdure.stores.sql.parcels import BODY_BYTES
from perdure.testing import FakeClock
from perdure.testing.given import intent, leased, put


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(postgres_url, clock=FakeClock()) as opened:
        yield opened


async def test_a_body_is_there_for_whoever_refers_to_it_while_its_last_user_goes(store: PostgresStore) -> None:
    dice = random.Random(1)
    body = json.dumps("".join(chr(dice.randrange(0x4E00, 0x9FFF)) for _ in range(BODY_BYTES))).encode()
    before = await leased(store, await put(store))
    await store.journal.settle(before, intent(1, kind=StepKind.VALUE), body)
    for _ in range(12):
        after = await leased(store, await put(store))
        await asyncio.gather(
            store.journal.settle(after, intent(1, kind=StepKind.VALUE), body),
            store._engine.write(forget_journals, [before.message.id]),
        )
        [step] = await store.journal.steps(after.message.id)
        assert step.result == body
        before = after

    await store._engine.write(forget_journals, [before.message.id])
    assert await store._engine.read(lambda run: run("SELECT count(*) FROM body").get) == 0
