"""The page of what was spent: unknown is said as unknown, and a tenant sees its own."""

from __future__ import annotations

from typing import Any

from perdure.messages.spending import Account, Bill, Budget, BudgetScope, day_of
from perdure.resources.usage import Usage


async def spend(served: Any, usd: float | None, *, tenant: str = "acme", lane: str = "qwen/max", agent: str = "mail") -> None:
    bill = Bill(day=day_of(served.clock.now()), account=Account(tenant, "key_1", agent, lane))
    await served.store.spending.settle(bill, Usage(calls=1, input_tokens=1200, output_tokens=7).priced(usd))


async def test_spending_is_shown_by_day_lane_agent_tenant_and_key(served: Any, browser: Any) -> None:
    await spend(served, 1.5)
    served.clock.pass_by(seconds=86_400)
    await spend(served, 0.25, lane="gpu/small", agent="triage", tenant="other")
    await browser.log_in()
    page = (await browser.get("/cost")).text
    for part in ("$1.7500", "qwen/max", "gpu/small", "mail", "triage", "acme", "other", "key_1", "$1.5000", "$0.2500"):
        assert part in page, part
    assert page.count('<rect class="usd"') == 30
    today = (await browser.get("/cost?days=1")).text
    assert ("gpu/small" in today, "qwen/max" in today) == (True, False)
    assert (await browser.get("/cost?days=nonsense")).status == 200


async def test_an_unknown_price_is_said_and_never_zero(served: Any, inside: Any) -> None:
    await spend(served, None, lane="dark/one")
    await spend(served, None, lane="half/one")
    await spend(served, 0.5, lane="half/one")
    page = (await inside.get("/cost")).text
    assert "known to be spent" in page
    rows = {row.split("</td>")[0]: row for row in page.split("<tr>\n      <td>")}
    assert ">unknown</span>" in rows["dark/one"]
    assert "$" not in rows["dark/one"]
    assert "$0.5000" in rows["half/one"]
    assert "+ 1 unknown" in rows["half/one"]
    assert '<rect class="unknown"' in page


async def test_what_replay_saved_and_how_far_budgets_are_used(served: Any, inside: Any) -> None:
    await served.put(tenant="acme")
    await served.store.journal.replayed(await served.lease(), Usage(calls=3).priced(0.75))
    await spend(served, 4.5)
    await served.store.spending.set_budget(Budget(scope=BudgetScope.TENANT, name="acme", daily_usd=5.0))
    await served.store.spending.set_budget(Budget(scope=BudgetScope.INSTALLATION, name="*", daily_usd=None))
    page = (await inside.get("/cost")).text
    assert "saved by replay · 3 calls" in page
    assert "$0.7500" in page
    assert "90 % used" in page
    assert 'class="warn" width="90.0"' in page
    assert "no bound" in page


async def test_a_tenant_sees_its_own_and_no_budgets(served: Any, browser: Any) -> None:
    await spend(served, 1.5, tenant="acme")
    await spend(served, 2.5, tenant="other", agent="secretive")
    await served.store.spending.set_budget(Budget(scope=BudgetScope.TENANT, name="acme", daily_usd=5.0))
    await browser.log_in(await served.new_key("acme", scopes=("messages:read", "usage:read")))
    page = (await browser.get("/cost")).text
    assert "$1.5000" in page
    for hidden in ("secretive", "$4.0000", "$2.5000", "Budgets", "Tenants"):
        assert hidden not in page, hidden


async def test_who_may_not_see_usage_sees_no_page(served: Any, browser: Any) -> None:
    await browser.log_in(await served.new_key("acme", scopes=("messages:read",)))
    assert (await browser.get("/cost")).status == 403
    assert 'href="/cost"' not in (await browser.get("/")).text
