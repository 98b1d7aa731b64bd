"""Schedules through the doors."""

from typing import Any

import pytest

HOURLY = {"cron": "0 * * * *", "agent": "triage", "body": {"ticket": "a"}}


async def test_a_schedule_is_kept_shown_with_its_next_moments_and_listed(served: Any) -> None:
    made = await served.post("/api/v1/schedules", {"name": "hourly", "timezone": "Europe/Berlin", "overlap": "skip", **HOURLY})

    assert made.status == 201, made.text
    shown = (await served.get("/api/v1/schedules/hourly?next=3")).json
    assert (shown["cron"], shown["timezone"], shown["misfire"], shown["overlap"], shown["tenant"]) == (
        *("0 * * * *", "Europe/Berlin", "once", "skip", "default"),
    )
    assert shown["upcoming"] == ["2026-09-21T15:00:00.000Z", "2026-09-21T16:00:00.000Z", "2026-09-21T17:00:00.000Z"]
    assert shown["next_at"] == shown["upcoming"][0]
    put = shown["message"]
    assert (put["agent"], put["body"], put["queue"], put["attempts"]) == ("triage", {"ticket": "a"}, "support", 3)
    assert [kept["name"] for kept in (await served.get("/api/v1/schedules")).json["data"]] == ["hourly"]


async def test_a_name_is_taken_once_and_put_replaces(served: Any) -> None:
    await served.post("/api/v1/schedules", {"name": "hourly", **HOURLY})
    assert (await served.post("/api/v1/schedules", {"name": "hourly", **HOURLY})).status == 409
    for _ in range(2):
        assert (await served.call("PUT", "/api/v1/schedules/hourly", {**HOURLY, "cron": "@daily"})).json["cron"] == "@daily"
    assert (await served.call("PUT", "/api/v1/schedules/hourly", {"name": "other", **HOURLY})).status == 422
    assert (await served.call("PUT", "/api/v1/schedules/not%20a%20name", HOURLY)).status == 422


async def test_it_is_paused_resumed_run_and_removed(served: Any) -> None:
    await served.post("/api/v1/schedules", {"name": "hourly", **HOURLY})
    paused = (await served.post("/api/v1/schedules/hourly/pause")).json
    assert (paused["paused"], paused["next_at"]) == (True, None)
    ran = await served.post("/api/v1/schedules/hourly/run")
    assert ran.status == 202
    assert (await served.get(ran.headers["location"])).json["metadata"]["schedule"] == "hourly"
    assert (await served.post("/api/v1/schedules/hourly/resume")).json["last_id"] == ran.json["id"]
    assert (await served.call("DELETE", "/api/v1/schedules/hourly")).status == 200
    assert (await served.get("/api/v1/schedules/hourly")).status == 404
    rows = (await served.get("/api/v1/audit?target=hourly")).json["data"]
    assert [row["action"].partition(".")[2] for row in rows] == ["remove", "resume", "run", "pause", "add"]


async def test_a_server_fires_what_is_due(served: Any) -> None:
    await served.post("/api/v1/schedules", {"name": "hourly", **HOURLY})
    served.clock.pass_by(seconds=3600)
    changed = await served.store.messages.changed(0, timeout_s=10)
    assert changed > 0
    [message] = (await served.get("/api/v1/messages")).json["data"]
    assert message["metadata"]["planned_at"] == "2026-09-21T15:00:00.000Z"


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"cron": "every day"}, 422, "five fields"),
        ({"timezone": "Mars"}, 422, "time zone"),
        ({"body": {"urgency": 1}}, 422, "ticket"),
        ({"agent": "triag"}, 404, "triage"),
        ({"misfire": "maybe"}, 422, "misfire"),
        ({"name": None}, 422, "name"),
    ],
)
async def test_what_means_nothing_is_refused(served: Any, changes: dict[str, Any], status: int, says: str) -> None:
    answer = await served.post("/api/v1/schedules", {"name": "hourly", **HOURLY, **changes})
    assert (answer.status, says in answer.text) == (status, True), answer.text


async def test_a_tenant_has_its_own(served: Any) -> None:
    theirs, strangers = await served.new_key("acme"), await served.new_key("other")
    assert (await served.post("/api/v1/schedules", {"name": "hourly", **HOURLY}, key=theirs)).json["tenant"] == "acme"
    assert (await served.get("/api/v1/schedules/hourly", key=strangers)).status == 404
    assert (await served.get("/api/v1/schedules", key=strangers)).json["data"] == []
    assert (await served.post("/api/v1/schedules", {"name": "x", "tenant": "acme", **HOURLY}, key=strangers)).status == 403
    assert (await served.get("/api/v1/schedules/hourly?tenant=acme")).status == 200
    assert (await served.get("/api/v1/schedules/hourly")).status == 404
    assert (await served.get("/api/v1/schedules/hourly?tenant=acme", key=strangers)).status == 404
