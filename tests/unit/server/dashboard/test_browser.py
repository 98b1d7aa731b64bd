"""The pages in a real browser: they follow what happens, on a laptop and a phone, and run nothing of others."""

from __future__ import annotations

import os
import shutil

import pytest

from perdure.errors.base import AgentFailed, AuthenticationFailed
from perdure.providers.checkup import Checkup

pytestmark = pytest.mark.skipif(os.environ.get("NO_BROWSER") == "1", reason="NO_BROWSER=1")


@pytest.fixture
async def chromium():
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        await browser.close()


@pytest.fixture
async def page(served, chromium):
    """A laptop's page with an operator logged in; it must end without a complaint in its console."""
    page = await chromium.new_page(viewport={"width": 1280, "height": 800})
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    await log_in(page, served)
    yield page
    assert complaints == []


async def log_in(page, served):
    await page.goto(served.url)
    await page.fill("#key", served.key)
    await page.click("text=Log in")
    await page.wait_for_selector("h2:has-text('Messages')")


async def test_the_overview_follows_what_happens_without_being_reloaded(served, page):
    await page.wait_for_selector("#live[data-state=on]")
    sent = await served.put("echo", "the first of all")
    await page.wait_for_selector(f"#{sent} .state.ready")
    lease = await served.lease()
    await page.wait_for_selector(f"#{sent} .state.leased")
    await served.store.messages.done(lease, b'"said and done"')
    await page.wait_for_selector(f"#{sent} >> text=said and done")


async def test_a_person_revives_a_dead_letter(served, page):
    sent = await served.put()
    await served.store.messages.bury(await served.lease(), AgentFailed("it broke").facts())
    await page.click(f"#{sent} a")
    await page.wait_for_selector("text=it broke")
    await page.click("button:has-text('Revive')")
    await page.wait_for_selector("#top[data-state=ready]")


async def test_a_person_pauses_everything_after_a_question(served, page):
    await served.put()
    await page.click("button:has-text('Pause everything')")
    await page.wait_for_selector("text=Everything is paused.")
    assert await served.store.messages.paused()


async def test_a_link_from_elsewhere_leads_to_its_page_although_strict_cookies_stay_at_home(served, page):
    sent = await served.put()
    await page.set_content(f"<a href='{served.url}/messages/{sent}'>a link in a chat</a>")
    await page.evaluate("location.href")
    await page.goto("about:blank")
    await page.set_content(f"<a href='{served.url}/messages/{sent}'>a link in a chat</a>")
    await page.click("a")
    await page.wait_for_selector(f"code:has-text('{sent}')")


async def test_what_others_wrote_runs_nothing(served, page):
    evil = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    sent = await served.put("echo", evil)
    await page.wait_for_selector(f"#{sent}")
    await page.goto(f"{served.url}/messages/{sent}")
    await page.wait_for_selector("pre")
    assert await page.title() != "owned"


def _unusable(message, *, hint):
    error = AuthenticationFailed(message, hint=hint).facts()
    return Checkup(provider="fake", ok=False, reachable=True, key_good=False, models_there=None, latency_s=0.2, at=1.0, error=error)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
async def test_nothing_sticks_out_on_any_screen_and_all_can_be_read_in_both_lights(served, chromium, width, theme):
    long = await served.put("triage", {"ticket": "w" * 3000}, metadata={"k" * 60: "v" * 500}, queue="q" * 100)
    await served.store.messages.bury(await served.lease(), AgentFailed("e" * 900, hint="h" * 300).facts())
    await served.store.health.note(_unusable("e" * 900, hint="h" * 300), every_s=300.0)
    context = await chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
    page = await context.new_page()
    await log_in(page, served)
    for path in ("/", f"/messages/{long}", "/providers", "/cost", "/cost?days=90"):
        await page.goto(served.url + path)
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
    ground, ink = await page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color].map(c => c.match(/\\d+/g).map(Number)[0])"
    )
    assert (ground < ink) if theme == "dark" else (ground > ink)
    await context.close()
