"""Shares are fair over any stretch of time, and a newcomer waits for no backlog."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.messages.order import clock_at, tag_admitted, tag_after


class Line:
    """One priority of one route, by the rules alone."""

    def __init__(self) -> None:
        self.ready: list[tuple[int, int, str]] = []
        self.lasts: defaultdict[str, int] = defaultdict(int)
        self.clock = self.number = 0

    def put(self, tenant: str, cost: int = 1) -> None:
        here = clock_at(self.clock, min(self.ready)[0] if self.ready else None)
        self.number += 1
        self.lasts[tenant] = tag_after(here, self.lasts[tenant], cost)
        self.ready.append((self.lasts[tenant], self.number, tenant))

    def take(self) -> str:
        head = min(self.ready)
        self.ready.remove(head)
        self.clock = max(self.clock, head[0])
        return head[2]


TENANTS = ["a", "b", "c", "d"]
puts = st.lists(st.tuples(st.sampled_from(TENANTS), st.integers(1, 30)), min_size=1, max_size=8)


@given(before=puts, taken=st.integers(0, 60), k=st.integers(2, 4))
@settings(max_examples=200, deadline=None)
def test_over_any_stretch_the_shares_of_those_with_a_backlog_differ_by_little(before: list[tuple[str, int]], taken: int, k: int) -> None:
    line = Line()
    for tenant, n in before:
        for _ in range(n):
            line.put(tenant)
    for _ in range(min(taken, len(line.ready))):
        line.take()
    busy = TENANTS[:k]
    for tenant in busy:
        for _ in range(200):
            line.put(tenant)
    order = [line.take() for _ in range(160)]
    idle = {tenant for tenant, _ in before} - set(busy)
    settled = [tenant for tenant in order if tenant not in idle]
    for begin in range(0, 80, 7):
        window = settled[begin : begin + 60]
        shares = [window.count(tenant) for tenant in busy]
        assert max(shares) - min(shares) <= 2 * k + max((n for _, n in before), default=0)


@given(backlogs=st.lists(st.integers(1, 200), min_size=1, max_size=6), taken=st.integers(0, 100))
@settings(max_examples=200, deadline=None)
def test_a_newcomer_is_served_within_as_many_turns_as_there_are_tenants(backlogs: list[int], taken: int) -> None:
    line = Line()
    for tenant, n in enumerate(backlogs):
        for _ in range(n):
            line.put(str(tenant))
    for _ in range(min(taken, len(line.ready) - 1)):
        line.take()
    line.put("newcomer")
    assert "newcomer" in [line.take() for _ in range(min(len(line.ready), len(backlogs) + 1))]


@given(costs=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_what_costs_more_is_served_less_often(costs: tuple[int, int]) -> None:
    line = Line()
    for tenant, cost in zip("ab", costs, strict=True):
        for _ in range(300):
            line.put(tenant, cost)
    order = [line.take() for _ in range(200)]
    spent = [order.count(tenant) * cost for tenant, cost in zip("ab", costs, strict=True)]
    assert abs(spent[0] - spent[1]) <= 2 * max(costs)


def test_the_clock_of_a_route_is_behind_where_its_head_is() -> None:
    assert clock_at(100, 40) == 39
    assert clock_at(100, 300) == clock_at(100, None) == 100


def test_one_that_was_held_keeps_a_tag_that_lies_ahead() -> None:
    assert (tag_admitted(10, 50), tag_admitted(50, 10)) == (50, 51)
