"""Workers are killed and frozen, the store is busy, answers come late: whatever the dice say, every promise holds.

SEEDS=2000 pytest tests/simulation        many seeds
SEED=1234 pytest tests/simulation         one, again
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from perdure.stores.inmemory import InMemoryStore
from simulation.inline import inline_store
from simulation.loop import SeededLoop, Stuck, seeded
from simulation.world import Pulse, World

SEEDS = int(os.environ.get("SEEDS", "40"))
FIRST = int(os.environ.get("SEED", "0"))


STORES = {"inmemory": InMemoryStore, "sql": inline_store}


async def simulated(loop: SeededLoop, kind: str = "sql") -> World:
    store: Any
    async with STORES[kind](clock=loop) as store:
        world = World(loop, store)
        await world.run()
        assert await world.wrongs() == []
        return world


@pytest.fixture(autouse=True)
def pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.worker.worker.Heartbeat", Pulse)


@pytest.mark.parametrize("kind", sorted(STORES))
@pytest.mark.parametrize("seed", range(FIRST, FIRST + (1 if "SEED" in os.environ else SEEDS)))
def test_whatever_happens_every_promise_holds(seed: int, kind: str) -> None:
    with seeded(seed) as loop:
        loop.run_until_complete(simulated(loop, kind))


def test_the_same_seed_is_the_same_run() -> None:
    def told(seed: int) -> tuple[int, float, list[tuple[str, int]]]:
        with seeded(seed) as loop:
            world = loop.run_until_complete(simulated(loop))
            return loop.turns, loop.passed_s, sorted(world.billed.items())

    assert told(3) == told(3)
    assert told(3) != told(4)


def test_a_loop_in_which_nothing_can_happen_says_so() -> None:
    async def forever() -> None:
        await loop.create_future()

    with seeded(0) as loop, pytest.raises(Stuck):
        loop.run_until_complete(forever())
