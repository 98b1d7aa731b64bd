"""What a worker can serve now, and what stands against the rest."""

from typing import Any

import pytest

from perdure.messages.routes import Route, blocked_by, servable

NOW = 1000.0


def route(**changes: Any) -> Route:
    return Route(**({"id": 1, "queue": "default", "agent": "mail"} | changes))


def serves(one: Route, *, agents: dict[str, str] | None = None, queues: list[str] | None = None, quarantine: bool = False) -> bool:
    return servable([one], agents=agents or {"mail": "v1"}, queues=queues, quarantine=quarantine, now=NOW) == [one]


def test_a_worker_serves_the_agents_it_has() -> None:
    assert serves(route())
    assert not serves(route(agent="other"))


def test_a_version_pin_is_kept() -> None:
    assert serves(route(version="v1"))
    assert not serves(route(version="v2"))


def test_a_worker_with_queues_of_its_own_serves_no_others() -> None:
    assert serves(route(queue="a"), queues=["a", "b"])
    assert not serves(route(queue="c"), queues=["a", "b"])
    assert not serves(route(), queues=[])


def test_a_paused_route_is_not_served() -> None:
    assert not serves(route(paused=True))


@pytest.mark.parametrize(("until", "open"), [(None, True), (NOW - 1, True), (NOW, True), (NOW + 1, False)])
def test_a_closed_lane_opens_at_its_moment(until: float | None, open: bool) -> None:
    assert serves(route(lane="p/m", lane_closed_until=until)) is open


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("quarantine", [True, False])
def test_quarantine_is_served_in_quarantine_and_nothing_else_is(isolated: bool, quarantine: bool) -> None:
    assert serves(route(quarantine=isolated), quarantine=quarantine) is (isolated == quarantine)


def test_the_order_of_routes_is_kept() -> None:
    routes = [route(id=n) for n in (3, 1, 2)]
    assert servable(routes, agents={"mail": "v1"}, queues=None, quarantine=False, now=NOW) == routes


@pytest.mark.parametrize(
    ("changes", "all_paused", "reason"),
    [
        ({}, False, None),
        ({}, True, "all-paused"),
        ({"paused": True}, True, "all-paused"),
        ({"paused": True}, False, "queue-paused"),
        ({"paused": True, "agent": "other"}, False, "queue-paused"),
        ({"agent": "other"}, False, "no-worker"),
        ({"version": "v2"}, False, "no-worker"),
        ({"version": "v1"}, False, None),
        ({"agent": "other", "lane_closed_until": NOW + 1}, False, "no-worker"),
        ({"lane_closed_until": NOW + 1}, False, "lane-closed"),
        ({"lane_closed_until": NOW}, False, None),
    ],
)
def test_the_first_obstacle_is_told(changes: dict[str, Any], all_paused: bool, reason: str | None) -> None:
    assert blocked_by(route(**changes), known={("mail", "v1"), ("more", "v2")}, all_paused=all_paused, now=NOW) == reason


def test_what_is_servable_is_not_blocked() -> None:
    routes = [
        route(id=n, agent=agent, version=version, paused=paused, lane_closed_until=until)
        for n, (agent, version, paused, until) in enumerate(
            (agent, version, paused, until)
            for agent in ("mail", "other")
            for version in (None, "v1", "v2")
            for paused in (False, True)
            for until in (None, NOW - 1, NOW + 1)
        )
    ]
    can = servable(routes, agents={"mail": "v1"}, queues=None, quarantine=False, now=NOW)
    free = [one for one in routes if blocked_by(one, known={("mail", "v1")}, all_paused=False, now=NOW) is None]
    assert can == free != []
