from __future__ import annotations

import asyncio


async def test_changes_come_in_order_and_go_on_from_the_last(served):
    one, two = await served.put(), await served.put()
    first = (await served.get("/api/v1/changes?after=0&limit=1")).json
    assert [(change["id"], change["state"], change["agent"]) for change in first["data"]] == [(one, "ready", "echo")]
    rest = (await served.get(f"/api/v1/changes?after={first['last']}")).json
    assert [change["id"] for change in rest["data"]] == [two]
    assert (await served.get(f"/api/v1/changes?after={rest['last']}")).json == {"object": "list", "data": [], "last": rest["last"]}


async def test_without_after_they_begin_now(served):
    await served.put()
    begun = (await served.get("/api/v1/changes")).json
    assert (begun["data"], begun["last"] > 0) == ([], True)


async def test_a_caller_may_wait_for_the_first(served):
    begun = (await served.get("/api/v1/changes")).json
    waiting = asyncio.create_task(served.get(f"/api/v1/changes?after={begun['last']}&wait=15"))
    while not served.core.feed._listeners:
        await asyncio.sleep(0)
    sent = await served.put()
    assert [change["id"] for change in (await asyncio.wait_for(waiting, 30)).json["data"]] == [sent]


async def test_nothing_in_time_is_an_empty_list(served):
    assert (await served.get("/api/v1/changes?wait=0.05")).json["data"] == []


async def test_a_tenant_hears_of_its_own_alone_and_learns_no_number_of_others(served):
    acme = await served.new_key("acme")
    await served.put()
    mine = await served.put(key=acme)
    await served.put()
    heard = (await served.get("/api/v1/changes?after=0", key=acme)).json
    assert [change["id"] for change in heard["data"]] == [mine]
    assert heard["last"] == heard["data"][0]["seq"]
    assert (await served.get("/api/v1/changes?after=0")).json["last"] > heard["last"]
    nothing = {"object": "list", "data": [], "last": heard["last"]}
    assert (await served.get(f"/api/v1/changes?after={heard['last']}", key=acme)).json == nothing
    assert (await served.get("/api/v1/changes", key=acme)).json == nothing
    stranger = await served.new_key("stranger")
    assert (await served.get("/api/v1/changes", key=stranger)).json["last"] == 0


async def test_a_tenant_that_waits_is_told_though_others_were_busy(served):
    acme = await served.new_key("acme")
    await served.put(key=acme)
    last = (await served.get("/api/v1/changes", key=acme)).json["last"]
    await served.put()
    assert (await served.get(f"/api/v1/changes?after={last}&wait=0.05", key=acme)).json["last"] == last
    waiting = asyncio.create_task(served.get(f"/api/v1/changes?after={last}&wait=15", key=acme))
    while not served.core.feed._listeners:
        await asyncio.sleep(0)
    await served.put()
    mine = await served.put(key=acme)
    heard = (await asyncio.wait_for(waiting, 30)).json
    assert [change["id"] for change in heard["data"]] == [mine]
    assert heard["last"] == heard["data"][0]["seq"] > last
