from __future__ import annotations

import pytest


async def test_queues_are_shown_in_numbers(served):
    await served.put(queue="b")
    await served.put(queue="a")
    [first, second] = (await served.get("/api/v1/queues")).json["data"]
    assert (first["object"], first["name"], first["counts"]["ready"], first["totals"]["put"], second["name"]) == ("queue", "a", 1, 1, "b")
    assert first["oldest_ready_at"].endswith("Z")


async def test_a_paused_queue_leases_nothing_until_it_is_resumed(served):
    sent = await served.put(queue="mail")
    assert (await served.post("/api/v1/queues/mail/pause")).json["paused"] is True
    assert (await served.get(f"/api/v1/messages/{sent}")).json["blocked_by"] == "queue-paused"
    assert (await served.post("/api/v1/queues/mail/resume")).json["paused"] is False
    assert (await served.get(f"/api/v1/messages/{sent}")).json["blocked_by"] is None


async def test_a_queue_can_be_paused_before_its_first_message(served):
    assert (await served.post("/api/v1/queues/soon/pause")).json["paused"] is True
    assert (await served.post("/api/v1/queues/soon/resume")).json == {
        "object": "queue",
        "name": "soon",
        "paused": False,
        "counts": {},
        "totals": {},
        "oldest_ready_at": None,
        "pause": None,
    }


async def test_the_pause_of_everything_stops_all_and_leaves_paused_queues_paused(served):
    sent = await served.put(queue="mail")
    await served.post("/api/v1/queues/mail/pause")
    assert (await served.post("/api/v1/pause")).json["paused"] is True
    assert (await served.get(f"/api/v1/messages/{sent}")).json["blocked_by"] == "all-paused"
    assert (await served.post("/api/v1/resume")).json == {"object": "pause", "paused": False, "pause": None}
    assert (await served.get(f"/api/v1/messages/{sent}")).json["blocked_by"] == "queue-paused"


@pytest.mark.parametrize("name", ["nope", "..%2f..%2fkeys", "a%00b", "a%0a", "%20", "x" * 200])
async def test_a_queue_that_cannot_be_is_404(served, name):
    assert (await served.post(f"/api/v1/queues/{name}/resume")).status == 404


@pytest.mark.parametrize("name", ["..%2f..%2fkeys", "a%00b", "a%0a", "%20", "x" * 200])
async def test_no_queue_of_an_impossible_name_comes_to_be(served, name):
    assert (await served.post(f"/api/v1/queues/{name}/pause")).status == 404
    assert (await served.get("/api/v1/queues")).json["data"] == []


async def test_agents_are_listed_with_their_schemas(served):
    agents = {agent["name"]: agent for agent in (await served.get("/api/v1/agents")).json["data"]}
    assert set(agents) == {"chat", "echo", "triage"}
    assert agents["triage"]["input_schema"]["required"] == ["ticket"]
    assert (agents["triage"]["attempts"], agents["echo"]["input_schema"]) == (3, None)


async def test_workers_are_listed_with_their_agents(served):
    [worker] = (await served.get("/api/v1/workers")).json["data"]
    assert (worker["object"], worker["host"], worker["alive"], worker["slots"]) == ("worker", "here", True, 4)
    assert worker["agents"] == {"echo": "1", "triage": "1", "chat": "1"}
