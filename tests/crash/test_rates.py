"""Limits of a lane are exact, used, and fair, with several worker processes over one store.

The short form counts a short minute, of which what lies between a grant and its arrival is a large part;
CRASH_RATES_S=180 is the long form, with minutes of 60 s, in which no more than a twentieth may be left unused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.conftest import Ground
from crash.rates import RATES_S, Arrivals, Limits, Traffic, reply
from perdure.testing.upstream import Upstream

LONG = RATES_S >= 120
OF_A_MINUTE = Limits(rpm=100, tpm=10_000, minute_s=60.0) if LONG else Limits(rpm=20, tpm=2_000, minute_s=6.0)
USED = 0.95 if LONG else 0.7
SMALL_EVERY_S = 3.0 if LONG else 1.5


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(delay_s=1.0 if LONG else 0.2, reply=reply) as upstream:
        yield upstream


@pytest.fixture
def grounds() -> Iterator[list[Ground]]:
    made: list[Ground] = []
    yield made
    for ground in made:
        ground.end()


def judge(traffic: Traffic, arrivals: Arrivals) -> None:
    limits = traffic.limits
    requests, tokens = arrivals.most()
    used = arrivals.used(limits, RATES_S)
    print(
        f"\n{len(arrivals.moments)} arrived; most in a minute: {requests} of {limits.rpm} requests, {tokens} of {limits.tpm} tokens; "
        f"used {used:.1%}; the small tenant's {len(traffic.waited_s)} waited {max(traffic.waited_s):.1f} s at most"
    )
    assert requests <= 1.01 * limits.rpm
    assert tokens <= 1.01 * limits.tpm
    assert used >= USED
    assert len(traffic.waited_s) >= RATES_S / SMALL_EVERY_S * 0.6
    assert max(traffic.waited_s) < (15.0 if LONG else 8.0)


@pytest.mark.timeout(RATES_S + 120)
@pytest.mark.parametrize("answers", [[60], [10, 60, 110]], ids=["both-bind", "tokens-bind"])
async def test_four_workers_on_postgres_stay_within_both_limits_and_use_them(
    tmp_path: Path, postgres_url: str, upstream: Upstream, grounds: list[Ground], answers: list[int]
) -> None:
    traffic = Traffic(tmp_path, postgres_url, OF_A_MINUTE, upstream)
    grounds.append(traffic.ground)
    judge(traffic, await traffic.flow(4, RATES_S, every_s=SMALL_EVERY_S, answers=answers))


@pytest.mark.timeout(RATES_S + 120)
async def test_two_workers_on_sqlite_do_so_too(tmp_path: Path, upstream: Upstream, grounds: list[Ground]) -> None:
    traffic = Traffic(tmp_path, None, OF_A_MINUTE, upstream)
    grounds.append(traffic.ground)
    judge(traffic, await traffic.flow(2, RATES_S, every_s=SMALL_EVERY_S, answers=[60]))
