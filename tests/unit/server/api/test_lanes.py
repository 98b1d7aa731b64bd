from __future__ import annotations

from typing import Any

from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Need
from perdure.testing.given import alive


async def test_a_lane_is_listed_with_its_limits_and_what_of_them_is_used(served: Any) -> None:
    store = served.core.store
    limits = LaneLimits(rpm=60, tpm=6000, usd_per_day=2.0)
    needs = [Need(tokens=600, usd=0.5), Need(tokens=600, usd=0.5)]
    await store.lanes.turn("qwen/max", limits, worker=await alive(store), needs=needs)
    [lane] = (await served.get("/api/v1/lanes")).json["data"]
    next_at = lane.pop("next_at")
    assert isinstance(next_at, str)
    assert lane == {
        "object": "lane",
        "name": "qwen/max",
        "limits": {"rpm": 60.0, "tpm": 6000.0, "rps": None, "at_once": None, "usd_per_day": 2.0, "usd_per_month": None},
        "requests": 1,
        "tokens": 600,
        "usd_today": 0.5,
        "usd_this_month": 0.5,
        "at_once": 0,
        "waiting": 1,
        "workers": 1,
        "down": False,
        "closed_until": None,
        "closed_why": None,
    }


async def test_a_closed_lane_is_listed_and_opened_by_hand(served: Any) -> None:
    store = served.core.store
    await store.messages.close_lane("qwen/max", until=served.clock.now() + 3600, why="provider-billing")
    [lane] = (await served.get("/api/v1/lanes")).json["data"]
    assert (lane["name"], lane["closed_why"]) == ("qwen/max", "provider-billing")
    path = "/api/v1/lanes/qwen%2Fmax/open"
    assert (await served.call("POST", path)).json == {"object": "lanes.opened", "opened": ["qwen/max"]}
    assert (await served.get("/api/v1/lanes")).json["data"] == []
    assert (await served.call("POST", "/api/v1/lanes/nobody/open")).status == 404
    [deed] = (await served.get("/api/v1/audit?action=lane.open")).json["data"]
    assert deed["target"] == "qwen/max"


async def test_without_limits_there_is_nothing_to_list(served: Any) -> None:
    assert (await served.get("/api/v1/lanes")).json["data"] == []
