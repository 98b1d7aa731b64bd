"""lanes: against a server over a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Need
from perdure.testing.given import alive

Perdure = Callable[..., Any]


def test_lanes_are_listed_with_what_of_their_limits_is_used(perdure: Perdure, served: Any) -> None:
    limits = LaneLimits(rpm=60, tpm=6000, at_once=4)
    needs = [Need(tokens=600), Need(tokens=600)]
    served.ask(served.store.lanes.turn("qwen/max", limits, worker=served.ask(alive(served.store)), needs=needs))
    listed = perdure("lanes", "list").out
    assert "qwen/max" in listed
    assert all(part in listed for part in ("1/60", "600/6000", "1/4"))
    [lane] = perdure("lanes", "list", "--json").json
    assert (lane["name"], lane["waiting"], lane["limits"]["rpm"]) == ("qwen/max", 1, 60.0)
    served.ask(served.store.messages.close_lane("qwen/max", until=4e9, why="provider-billing"))
    assert "(provider-billing)" in perdure("lanes", "list").out
    assert "opened qwen/max" in perdure("lanes", "open", "qwen/max").err
    assert "closed" not in perdure("lanes", "list").out
    assert "qwen/max was open" in perdure("lanes", "open", "qwen/max").err
    assert perdure("lanes", "open", "qwen/max", "--json").json == []
    assert "there is no lane 'nobody'" in perdure("lanes", "open", "nobody").err
