from __future__ import annotations

import pytest

from perdure.messages.spending import Account, Bill, day_of
from perdure.resources.usage import Usage


async def spends(served, usd, **whose):
    account = {"tenant": "default", "key": "key_1", "agent": "echo", "lane": "fake/m"} | whose
    bill = Bill(day=day_of(served.clock.now()), account=Account(**account), held_nanousd=0)
    usage = Usage(calls=1, input_tokens=10, output_tokens=4).priced(usd)
    await served.store.spending.settle(bill, usage)
    return bill.day


async def test_a_budget_is_set_and_shown_with_what_is_spent(served):
    await spends(served, 0.75)
    answer = await served.call("PUT", "/api/v1/budgets/installation/*", {"daily_usd": 2.5})
    assert (answer.status, answer.json) == (
        200,
        {"object": "budget", "scope": "installation", "name": "*", "daily_usd": 2.5, "spent_usd": 0.75, "unseen": False},
    )
    await served.call("PUT", "/api/v1/budgets/tenant/acme", {"daily_usd": None})
    listed = (await served.get("/api/v1/budgets")).json["data"]
    assert [(one["scope"], one["name"], one["daily_usd"]) for one in listed] == [("installation", "*", 2.5), ("tenant", "acme", None)]
    [deed, _] = (await served.get("/api/v1/audit?action=budget.set")).json["data"]
    assert deed["target"] == "tenant acme"


@pytest.mark.parametrize("body", [{"daily_usd": -1}, {"daily_usd": "3"}, {}, {"daily_usd": 1, "monthly_usd": 2}])
async def test_a_budget_that_makes_no_sense_is_refused(served, body):
    assert (await served.call("PUT", "/api/v1/budgets/installation/*", body)).status == 422
    assert (await served.get("/api/v1/budgets")).json["data"] == []


@pytest.mark.parametrize(("path", "status"), [("colour/red", 404), ("installation/x", 422), ("tenant/a%00b", 404)])
async def test_there_is_no_budget_of_what_cannot_be(served, path, status):
    assert (await served.call("PUT", f"/api/v1/budgets/{path}", {"daily_usd": 1})).status == status


async def test_a_budget_of_a_key_that_nobody_has_is_refused_and_one_of_a_tenant_that_nobody_knows_is_told(served):
    assert (await served.call("PUT", "/api/v1/budgets/key/key_x", {"daily_usd": 1})).status == 404
    assert (await served.get("/api/v1/budgets")).json["data"] == []
    [key, *_] = (await served.get("/api/v1/keys")).json["data"]
    assert (await served.call("PUT", f"/api/v1/budgets/key/{key['id']}", {"daily_usd": 1})).json["unseen"] is False
    assert (await served.call("PUT", "/api/v1/budgets/tenant/acme", {"daily_usd": 1})).json["unseen"] is True
    await served.new_key("acme", ["usage:read"])
    await spends(served, 0.25, tenant="other")
    for tenant in ("acme", "other", "default", "*"):
        assert (await served.call("PUT", f"/api/v1/budgets/tenant/{tenant}", {"daily_usd": 1})).json["unseen"] is False


async def test_usage_is_summed_by_what_is_asked_for_and_unknown_costs_are_counted(served):
    await spends(served, 0.25)
    await spends(served, 0.5, lane="fake/n", agent="triage")
    today = await spends(served, None, lane="fake/n", tenant="acme", key="")
    by_lane = (await served.get("/api/v1/usage")).json["data"]
    assert [(one["name"], one["calls"], one["cost_usd"], one["unpriced"]) for one in by_lane] == [
        ("fake/n", 2, 0.5, 1),
        ("fake/m", 1, 0.25, 0),
    ]
    for by, names in (("agent", ["triage", "echo"]), ("tenant", ["default", "acme"]), ("key", ["key_1", ""]), ("day", [today])):
        assert [one["name"] for one in (await served.get(f"/api/v1/usage?by={by}&since={today}")).json["data"]] == names


@pytest.mark.parametrize(
    "query", ["by=colour", "since=2026-13-01", "since=yesterday", "since=2020-01-01&until=2019-01-01", "since=2000-01-01&until=2020-01-01"]
)
async def test_a_range_that_is_none_is_refused(served, query):
    assert (await served.get(f"/api/v1/usage?{query}")).status == 422


async def test_a_tenant_sees_what_it_has_used_itself_and_no_budgets(served):
    await spends(served, 0.25, tenant="acme")
    await spends(served, 0.5, tenant="other")
    key = await served.new_key("acme", ["usage:read", "budgets:read"])
    seen = await served.get("/api/v1/usage?by=tenant", key=key)
    assert [one["name"] for one in seen.json["data"]] == ["acme"]
    assert (await served.get("/api/v1/budgets", key=key)).status == 403
