"""The page of schedules."""

from __future__ import annotations

from typing import Any

from perdure.testing.schedules import schedule


async def test_schedules_are_shown_paused_and_run_from_the_page(served: Any, browser: Any) -> None:
    await served.store.schedules.add(schedule(name="nightly", cron="30 2 * * *", timezone="Europe/Berlin"))
    await browser.log_in()
    page = (await browser.get("/schedules")).text
    assert ("nightly" in page, "30 2 * * *" in page, "Europe/Berlin" in page) == (True, True, True)

    await browser.submit("/schedules/default/nightly/pause")
    assert "paused" in (await browser.get("/schedules")).text
    await browser.submit("/schedules/default/nightly/resume")
    await browser.submit("/schedules/default/nightly/run")
    kept = await served.store.schedules.get("nightly")
    assert (kept.paused, kept.fired) == (False, 1)


async def test_a_tenant_sees_its_own_schedules_alone(served: Any, browser: Any) -> None:
    await served.store.schedules.add(schedule(name="theirs", tenant="acme"))
    await browser.log_in(await served.new_key("other"))
    assert "theirs" not in (await browser.get("/schedules")).text
    await browser.submit("/schedules/acme/theirs/pause")
    assert not (await served.store.schedules.get("theirs", tenant="acme")).paused


async def test_a_pause_is_shown_with_who_and_why(served: Any, browser: Any) -> None:
    await served.post("/api/v1/pause", {"why": "the bill is <too> high"})
    await browser.log_in()
    assert "the bill is &lt;too&gt; high" in (await browser.get("/")).text
