from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from perdure.errors.base import LeaseLost


async def numbers(served):
    answer = await served.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples}


async def test_the_stores_kept_numbers_are_there_by_queue(served):
    await served.put(queue="mail")
    await served.put(queue="mail")
    await served.store.messages.done(await served.lease(), b"1")
    await served.post("/api/v1/queues/mail/pause")
    served.clock.pass_by(seconds=7)
    found = await numbers(served)
    assert found["perdure_messages", "mail", "ready"] == 1
    assert found["perdure_messages", "done", "mail"] == 1
    assert found["perdure_messages_moved_total", "mail", "put"] == 2
    assert found["perdure_oldest_ready_seconds", "mail"] == 7
    assert found["perdure_queue_paused", "mail"] == 1
    assert found["perdure_paused",] == 0
    assert found["perdure_workers",] == 1
    assert found["perdure_worker_slots",] == 4


async def test_counters_of_the_installation_are_there(served):
    await served.put()
    lease = await served.lease()
    await served.store.messages.done(lease, b"1")
    with pytest.raises(LeaseLost):
        await served.store.messages.done(lease, b"1")
    found = await numbers(served)
    assert found["perdure_refused_stale_total",] == 1


async def test_requests_are_counted_by_route_and_never_by_what_callers_write(served):
    sent = await served.put()
    await served.get(f"/api/v1/messages/{sent}")
    await served.get("/api/v1/secret-path-of-a-caller")
    await served.call("PROPFIND", "/healthz")
    found = await numbers(served)
    assert found["perdure_http_requests_total", "/api/v1/messages/{id}", "200", "GET"] == 1
    assert found["perdure_http_requests_total", "404", "GET", "unmatched"] == 1
    assert found["perdure_http_requests_total", "/healthz", "405", "other"] == 1
    assert found["perdure_http_request_seconds_count", "/api/v1/messages/{id}"] == 1
    assert not [key for key in found if sent in key or "secret" in str(key)]


async def test_calls_to_providers_and_their_tokens_are_counted(served):
    await served.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]})
    found = await numbers(served)
    assert found["perdure_chats_total", "fake/fake-1"] == 1
    assert found["perdure_chat_tokens_total", "fake/fake-1", "input"] > 0


async def test_what_lanes_have_cost_and_how_much_of_the_budgets_is_gone(served):
    from perdure.messages.spending import Account, Bill, Budget, BudgetScope, day_of
    from perdure.resources.usage import Usage

    bill = Bill(day=day_of(served.clock.now()), account=Account("acme", "key_1", "mail", "fake/m"))
    await served.store.spending.settle(bill, Usage(calls=1, input_tokens=7, cached_tokens=3).priced(0.25))
    await served.store.spending.settle(bill, Usage(calls=1).priced(None))
    await served.store.spending.set_budget(Budget(scope=BudgetScope.TENANT, name="*", daily_usd=4.0))
    await served.store.spending.set_budget(Budget(scope=BudgetScope.TENANT, name="acme", daily_usd=9.0))
    page = (await served.get("/metrics")).text
    for line in (
        'perdure_lane_calls_total{lane="fake/m"} 2.0',
        'perdure_lane_tokens_total{kind="cached",lane="fake/m"} 3.0',
        'perdure_lane_cost_usd_total{lane="fake/m"} 0.25',
        'perdure_lane_unpriced_calls_total{lane="fake/m"} 1.0',
        'perdure_budget_daily_usd{of="tenant"} 4.0',
        'perdure_budget_spent_usd{of="tenant"} 0.25',
    ):
        assert line in page
    assert "acme" not in page
    assert "nanousd" not in page


async def test_how_looks_found_providers_is_there(served):
    from perdure.errors.base import AuthenticationFailed
    from perdure.providers.checkup import Checkup

    found = {"reachable": True, "key_good": True, "models_there": True, "latency_s": 0.5, "at": 1.0}
    await served.store.health.note(Checkup(provider="qwen", ok=True, **found), every_s=300.0)
    await served.store.health.note(Checkup(provider="gpu", ok=False, error=AuthenticationFailed("no").facts(), **found), every_s=300.0)
    await served.store.health.take(["new"], every_s=300.0)
    there = await numbers(served)
    assert (there["perdure_provider_up", "qwen"], there["perdure_provider_up", "gpu"]) == (1, 0)
    assert there["perdure_provider_check_seconds", "gpu"] == 0.5
    assert there["perdure_provider_checked_timestamp_seconds", "qwen"] == served.clock.now()
    assert ("perdure_provider_up", "new") not in there


async def test_how_long_calls_of_all_processes_took_is_there_by_opentelemetrys_names(served):
    from perdure.monitor.measures import Counted, Measure, Series

    call = {"provider": "qwen", "model": "max", "operation": "chat"}
    good, bad = Series(what=Measure.DURATION, **call), Series(what=Measure.DURATION, **call, kind="timeout")
    wait = Series(what=Measure.WAIT, provider="qwen", model="max")
    await served.store.measures.add(
        [Counted(good, 0, 2, 0.015), Counted(good, 3, 1, 0.06), Counted(bad, 14, 1, 600.0), Counted(wait, 1, 4, 0.06)]
    )
    page = (await served.get("/metrics")).text
    labels = 'gen_ai_operation_name="chat",gen_ai_provider_name="qwen",gen_ai_request_model="max"'
    name = "gen_ai_client_operation_duration_seconds"
    for line in (
        f'{name}_bucket{{error_type="",{labels},le="0.01"}} 2.0',
        f'{name}_bucket{{error_type="",{labels},le="0.04"}} 2.0',
        f'{name}_bucket{{error_type="",{labels},le="0.08"}} 3.0',
        f'{name}_bucket{{error_type="",{labels},le="+Inf"}} 3.0',
        f'{name}_count{{error_type="",{labels}}} 3.0',
        f'{name}_sum{{error_type="",{labels}}} 0.075',
        f'{name}_bucket{{error_type="timeout",{labels},le="81.92"}} 0.0',
        f'{name}_count{{error_type="timeout",{labels}}} 1.0',
        'perdure_lane_wait_seconds_count{gen_ai_provider_name="qwen",gen_ai_request_model="max"} 4.0',
    ):
        assert line in page, line
