"""The page of providers and their lanes."""

from __future__ import annotations

from typing import Any

from perdure.errors.base import AuthenticationFailed
from perdure.providers.checkup import Checkup
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Need
from perdure.testing.given import alive


async def test_how_providers_are_and_what_their_lanes_take_is_shown(served: Any, inside: Any) -> None:
    page = (await inside.get("/providers")).text
    assert "nobody has looked" in page
    assert "No lane has limits" in page
    error = AuthenticationFailed("the <key> is not taken", hint="Another region?").facts()
    found = {"reachable": True, "key_good": False, "models_there": None, "latency_s": 0.25, "at": 1.0}
    await served.store.health.note(Checkup(provider="fake", ok=False, error=error, **found), every_s=300.0)
    limits = LaneLimits(rpm=60, tpm=6000)
    await served.store.lanes.turn("fake/fake-1", limits, worker=await alive(served.store), needs=[Need(tokens=600)])
    page = (await inside.get("/providers")).text
    for part in ("cannot be used", "the &lt;key&gt; is not taken", "Another region?", "250 ms", "fake/fake-1", "6000"):
        assert part in page, part


async def test_they_are_the_operators(served: Any, browser: Any) -> None:
    await browser.log_in(await served.new_key("acme"))
    assert (await browser.get("/providers")).status == 403
    assert 'href="/providers"' not in (await browser.get("/")).text
