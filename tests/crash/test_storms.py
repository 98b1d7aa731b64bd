"""PostgreSQL is stopped, killed, frozen and started while workers are busy, and their connections are cut.

Callers wait, and nothing is lost or done twice. CRASH_STORM_S=300 is a long storm.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from crash.storm import Storm
from perdure.config.settings import Ability
from perdure.testing.upstream import Upstream
from servers.chaos import Chaos
from servers.server import Server

WITHOUT_ALL = tuple(get_args(Ability))
FROZEN_S = 7.0
"""Longer than a worker trusts its last beat, shorter than the silence after which it is called dead."""


@dataclass
class Weather:
    """A storm over one server, and what it may strike."""

    storm: Storm
    server: Server
    chaos: Chaos


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(delay_s=0.15) as upstream:
        yield upstream


@pytest.fixture
def without() -> Sequence[str]:
    """What the server cannot do."""
    return ()


@pytest.fixture
async def weather(tmp_path: Path, upstream: Upstream, private_postgres: Server, without: Sequence[str]) -> AsyncIterator[Weather]:
    url = await private_postgres.create("storm")
    async with Chaos(url) as chaos:
        storm = Storm(tmp_path, upstream, chaos.url, seen_from=url, without=without)
        try:
            yield Weather(storm, private_postgres, chaos)
        finally:
            storm.ground.end()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_server_that_is_stopped_and_started_under_load_costs_nothing_but_time(weather: Weather, mode: Any) -> None:
    async def restart(dice: random.Random) -> None:
        await weather.server.stop(mode)
        await asyncio.sleep(dice.uniform(0.1, 1.0))
        await weather.server.start()

    await weather.storm.rage(restart)
    await weather.storm.check()


@pytest.mark.timeout(600)
async def test_a_server_that_stands_still_for_seconds_costs_nothing_but_time(weather: Weather) -> None:
    async def freeze(dice: random.Random) -> None:
        weather.server.freeze()
        try:
            await asyncio.sleep(dice.choice([0.5, 3.0, FROZEN_S]))
        finally:
            weather.server.thaw()

    await weather.storm.rage(freeze)
    await weather.storm.check()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("without", [(), WITHOUT_ALL], ids=["able", "without-all"])
async def test_connections_that_are_cut_cost_nothing_but_time(weather: Weather) -> None:
    chaos = weather.chaos

    async def cut(dice: random.Random) -> None:
        match dice.randrange(4):
            case 0:
                chaos.cut()
            case 1:
                chaos.lose_answer()
            case 2:
                chaos.cut_after(dice.randrange(1, 4000))
            case _:
                chaos.stall()
                await asyncio.sleep(dice.uniform(0.1, 1.0))
                await chaos.heal()

    await weather.storm.rage(cut)
    await chaos.heal()
    await weather.storm.check()
