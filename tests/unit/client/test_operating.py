"""What operators do from a program."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from perdure.errors.base import Conflict, NotFound


async def test_letters_are_edited_revived_and_discarded(served: Any) -> None:
    async with served.client() as client:
        sent = await client.send_many([{"agent": "echo", "body": n} for n in range(3)])
        await served.bury()
        edited = await client.edit_dead_letter(sent[0].id, {"body": {"n": 1}, "deadline": datetime(2099, 1, 1, tzinfo=UTC)})
        assert (edited["state"], edited["body"], edited["deadline"]) == ("dead", {"n": 1}, "2099-01-01T00:00:00.000Z")
        [edit] = await client.edits(sent[0].id)
        assert edit["body_before"] == 0
        assert (await client.revive(sent[0].id, {"priority": 1}))["priority"] == 1
        await client.discard(sent[1].id)
        with pytest.raises(NotFound):
            await client.message(sent[1].id)
        with pytest.raises(Conflict):
            await client.discard(sent[0].id)


async def test_many_are_done_by_filter(served: Any) -> None:
    async with served.client() as client:
        await client.send_many([{"agent": "echo", "body": {"n": n}} for n in range(3)])
        await served.bury()
        wanted = {"agent": "echo", "died_after": datetime(2020, 1, 1, tzinfo=UTC)}
        assert (await client.revive_many(wanted, dry_run=True))["done"] == 3
        assert (await client.edit_many(wanted, {"body_patch": {"x": 1}}))["done"] == 3
        first = await client.revive_many(wanted, per_s=1000, limit=2)
        assert (first["done"], (await client.discard_many(wanted))["done"]) == (2, 1)
        assert (await client.cancel_many({"state": "ready"}, dry_run=True))["done"] >= 1
        page = await client.audit(action="dead-letters.revive", limit=5)
        assert [deed["details"]["count"] for deed in page["data"]] == [2]
        assert (await client.audit(before=datetime(2020, 1, 1, tzinfo=UTC)))["data"] == []


async def test_a_schedule_is_put_at_each_start_of_a_program(served: Any) -> None:
    async with served.client() as client:
        for _ in range(2):
            kept = await client.put_schedule("hourly", cron="@hourly", agent="echo", body={"n": 1}, timezone="Europe/Berlin", queue=None)
        assert (kept["cron"], [one["name"] for one in await client.schedules()]) == ("@hourly", ["hourly"])
        with pytest.raises(Conflict):
            await client.put_schedule("hourly", cron="@hourly", agent="echo", body=1, replace=False)
        assert len((await client.schedule("hourly", next=2))["upcoming"]) == 2
        assert (await client.pause_schedule("hourly"))["paused"]
        assert not (await client.resume_schedule("hourly"))["paused"]
        assert (await client.message(await client.run_schedule("hourly")))["body"] == {"n": 1}
        await client.remove_schedule("hourly")
        with pytest.raises(NotFound):
            await client.schedule("hourly")


async def test_a_pause_says_why(served: Any) -> None:
    async with served.client() as client:
        await client.send("echo", 1)
        await client.pause("default", why="for now")
        assert [queue["pause"] and queue["pause"]["why"] for queue in await client.queues()] == ["for now"]
