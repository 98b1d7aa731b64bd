"""The kit that proves a store of schedules: each moment fired once, whatever happens around it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from perdure.clock import Moment
from perdure.errors.base import Conflict, InvalidInput, NotFound
from perdure.messages.calendar import AT_MOST, Misfire
from perdure.messages.message import Message, NewMessage, State
from perdure.messages.schedules import NewSchedule, Overlap, Schedule
from perdure.messages.store import Filter
from perdure.security.audit import Actor, DeedFilter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import leased, message
from perdure.testing.kit import Kit

__all__ = ["ScheduleKit"]

ANNA = Actor("key_anna")


def schedule(**changes: Any) -> NewSchedule:
    """Write a schedule that puts a message each hour.

    Args:
        **changes (Any): What is different about it; `tenant` about its message.

    Returns:
        NewSchedule: For `add`.
    """
    fields: dict[str, Any] = {"name": "report", "cron": "0 * * * *", "message": message(tenant=changes.pop("tenant", "default"))}
    return NewSchedule(**(fields | changes))


def at(text: str, zone: str = "UTC") -> Moment:
    """Read a moment.

    Args:
        text (str): `2026-03-29 01:00`.
        zone (str): Where that is the time.

    Returns:
        Moment: It.
    """
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def go_to(clock: FakeClock, text: str) -> None:
    """Let it be a moment.

    Args:
        clock (FakeClock): The store's time.
        text (str): When, in UTC.
    """
    clock.pass_by(seconds=at(text) - clock.now())


async def fired(store: Store) -> list[Message]:
    """Fire what is to be fired, and list what was ever put.

    Args:
        store (Store): Where.

    Returns:
        list[Message]: Oldest first.
    """
    await store.schedules.fire()
    return [view.message for view in reversed((await store.messages.list(Filter(), limit=1000)).views)]


def planned(messages: list[Message]) -> list[str]:
    """Tell for which moments messages were put.

    Args:
        messages (list[Message]): By schedules.

    Returns:
        list[str]: Day, hour and minute in UTC.
    """
    return [message.metadata["planned_at"][8:16].replace("T", " ") for message in messages]


class ScheduleKit(Kit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and your store of schedules is proved."""

    async def test_a_schedule_fires_at_its_moments_and_at_no_other(self, store: Store, clock: FakeClock) -> None:
        go_to(clock, "2027-01-01 10:59:59")
        kept = await store.schedules.add(schedule(name="report"))
        assert (kept.next_at, kept.paused, kept.last_id, kept.fired) == (at("2027-01-01 11:00"), False, None, 0)
        assert await fired(store) == []
        clock.pass_by(seconds=1)
        [first] = await fired(store)
        assert [message.id for message in await fired(store)] == [first.id]
        assert (first.agent, first.body, first.metadata["schedule"]) == ("mail", b'{"n":1}', "report")
        go_to(clock, "2027-01-01 12:00:03")
        assert planned(await fired(store)) == ["01 11:00", "01 12:00"]
        kept = await store.schedules.get("report")
        assert (kept.next_at, kept.last_at, kept.fired, kept.passed_over) == (at("2027-01-01 13:00"), at("2027-01-01 12:00"), 2, 0)

    async def test_what_it_puts_is_what_it_was_given(self, store: Store, clock: FakeClock) -> None:
        put = NewMessage(
            agent="triage", body=b'{"x":[1]}', queue="support", tenant="acme", priority=2, attempts=7, max_wait_s=60.0, metadata={"a": "b"}
        )
        await store.schedules.add(schedule(message=put, cron="@daily", timezone="Asia/Tokyo", misfire=Misfire.ALL, overlap=Overlap.SKIP))
        kept = await store.schedules.get("report", tenant="acme")
        assert (kept.message, kept.cron, kept.timezone, kept.misfire, kept.overlap) == (put, "@daily", "Asia/Tokyo", "all", "skip")
        clock.pass_by(seconds=24 * 3600)
        [message] = await fired(store)
        assert (message.queue, message.tenant, message.priority, message.attempts, message.max_wait_s) == ("support", "acme", 2, 7, 60.0)
        assert json.loads(message.body) == {"x": [1]}
        assert dict(message.metadata) == {"a": "b", "schedule": "report", "planned_at": message.metadata["planned_at"]}

    async def test_many_who_fire_at_once_put_one_message(self, store: Store, clock: FakeClock) -> None:
        await store.schedules.add(schedule())
        clock.pass_by(seconds=3600)
        rounds = await asyncio.gather(*(store.schedules.fire() for _ in range(8)))
        assert sum(len(one.put) for one in rounds) == 1
        assert len(await fired(store)) == 1

    async def test_a_round_tells_when_the_next_one_fires(self, store: Store, clock: FakeClock) -> None:
        assert (await store.schedules.fire()).next_at is None
        go_to(clock, "2027-01-01 10:30")
        await store.schedules.add(schedule(name="daily", cron="@daily"))
        await store.schedules.add(schedule(name="hourly"))
        assert (await store.schedules.fire()).next_at == at("2027-01-01 11:00")
        go_to(clock, "2027-01-01 11:00")
        assert (await store.schedules.fire()).next_at == at("2027-01-01 12:00")

    # What was missed -------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("misfire", "put", "passed_over"),
        [("skip", [], 3), ("once", ["01 13:00"], 2), ("all", ["01 11:00", "01 12:00", "01 13:00"], 0)],
    )
    async def test_what_was_missed_follows_the_policy(
        self, store: Store, clock: FakeClock, misfire: str, put: list[str], passed_over: int
    ) -> None:
        go_to(clock, "2027-01-01 10:30")
        await store.schedules.add(schedule(misfire=Misfire(misfire)))
        go_to(clock, "2027-01-01 13:10")
        assert planned(await fired(store)) == put
        kept = await store.schedules.get("report")
        assert (kept.passed_over, kept.next_at) == (passed_over, at("2027-01-01 14:00"))
        go_to(clock, "2027-01-01 14:00:30")  # on time again
        assert planned(await fired(store)) == [*put, "01 14:00"]

    async def test_the_newest_moment_is_on_time_though_others_were_missed(self, store: Store, clock: FakeClock) -> None:
        go_to(clock, "2027-01-01 10:30")
        await store.schedules.add(schedule(misfire=Misfire.SKIP))
        go_to(clock, "2027-01-01 13:00:59")
        assert planned(await fired(store)) == ["01 13:00"]

    async def test_not_everything_is_made_up_for_after_a_year(self, store: Store, clock: FakeClock) -> None:
        await store.schedules.add(schedule(cron="* * * * *", misfire=Misfire.ALL))
        go_to(clock, "2028-01-01 10:00:30")
        put = await fired(store)
        assert len(put) == AT_MOST
        assert (planned(put)[0], planned(put)[-1]) == ("01 08:21", "01 10:00")
        assert (await store.schedules.get("report")).next_at == at("2028-01-01 10:01")

    async def test_no_moment_is_fired_while_the_last_message_goes_on(self, store: Store, clock: FakeClock) -> None:
        await store.schedules.add(schedule(overlap=Overlap.SKIP))
        clock.pass_by(seconds=3600)
        [first] = await fired(store)
        clock.pass_by(seconds=3600)
        assert len(await fired(store)) == 1
        kept = await store.schedules.get("report")
        assert (kept.fired, kept.passed_over, kept.last_id) == (1, 1, first.id)
        await store.messages.done(await leased(store, first.id), b"1")
        clock.pass_by(seconds=3600)
        assert len(await fired(store)) == 2

    # Where clocks are changed ----------------------------------------------------------------------

    async def test_a_time_that_spring_skips_comes_right_after_the_gap(self, store: Store, clock: FakeClock) -> None:
        go_to(clock, "2026-12-01 00:00")
        go_to(clock, "2027-03-26 12:00")
        await store.schedules.add(schedule(cron="30 2 * * *", timezone="Europe/Berlin", misfire=Misfire.ALL))
        go_to(clock, "2027-03-30 00:00")
        assert planned(await fired(store)) == ["27 01:30", "28 01:00", "29 00:30"]  # two o'clock on the 28th never is

    async def test_a_time_that_autumn_repeats_comes_once(self, store: Store, clock: FakeClock) -> None:
        go_to(clock, "2027-10-29 12:00")
        await store.schedules.add(schedule(cron="30 2 * * *", timezone="Europe/Berlin"))
        seen: list[str] = []
        for hour in range(96):  # somebody looks each hour
            go_to(clock, f"2027-{'10' if hour < 60 else '11'}-{(29 + (12 + hour) // 24 - 1) % 31 + 1:02} {(12 + hour) % 24:02}:31")
            seen = planned(await fired(store))
        assert seen == ["30 00:30", "31 00:30", "01 01:30", "02 01:30"]

    async def test_every_half_hour_is_every_half_hour_whatever_the_clocks_do(self, store: Store, clock: FakeClock) -> None:
        go_to(clock, "2027-10-30 23:45")
        await store.schedules.add(schedule(cron="*/30 * * * *", timezone="Europe/Berlin", misfire=Misfire.ALL))
        go_to(clock, "2027-10-31 02:00")
        assert planned(await fired(store)) == ["31 00:00", "31 00:30", "31 01:00", "31 01:30", "31 02:00"]

    # What people do to them ------------------------------------------------------------------------

    async def test_a_paused_one_fires_no_more_and_misses_nothing(self, store: Store, clock: FakeClock) -> None:
        go_to(clock, "2027-01-01 10:30")
        await store.schedules.add(schedule(misfire=Misfire.ALL))
        paused = await store.schedules.pause("report", by=ANNA)
        assert (paused.paused, paused.next_at) == (True, None)
        go_to(clock, "2027-01-01 13:10")
        assert await fired(store) == []
        resumed = await store.schedules.resume("report", by=ANNA)
        assert (resumed.paused, resumed.next_at) == (False, at("2027-01-01 14:00"))
        await store.schedules.resume("report", by=ANNA)
        assert await actions(store) == ["schedule.pause", "schedule.resume"]

    async def test_it_can_be_run_by_hand_beside_its_calendar(self, store: Store, clock: FakeClock) -> None:
        before = await store.schedules.add(schedule())
        await store.schedules.pause("report")
        receipts = [await store.schedules.run("report", by=ANNA) for _ in range(2)]
        assert receipts[0].id != receipts[1].id
        kept = await store.schedules.get("report")
        assert (kept.last_id, kept.last_at, kept.fired, kept.paused) == (receipts[1].id, clock.now(), 2, True)
        assert (await store.schedules.resume("report")).next_at == before.next_at
        assert await actions(store) == ["schedule.run", "schedule.run"]

    async def test_a_name_is_taken_once_for_each_tenant(self, store: Store) -> None:
        await store.schedules.add(schedule())
        await store.schedules.add(schedule(tenant="acme"))
        with pytest.raises(Conflict):
            await store.schedules.add(schedule(cron="@daily"))
        assert [kept.message.tenant for kept in await store.schedules.list()] == ["acme", "default"]
        assert [kept.cron for kept in await store.schedules.list(tenant="default")] == ["0 * * * *"]

    async def test_one_that_is_replaced_keeps_its_past(self, store: Store, clock: FakeClock) -> None:
        go_to(clock, "2027-01-01 10:30")
        await store.schedules.add(schedule())
        go_to(clock, "2027-01-01 11:00")
        [first] = await fired(store)
        same_times = await store.schedules.add(schedule(message=message(body=b"2")), replace=True, by=ANNA)
        assert (same_times.next_at, same_times.last_id, same_times.message.body) == (at("2027-01-01 12:00"), first.id, b"2")
        other_times = await store.schedules.add(schedule(cron="15 * * * *"), replace=True)
        assert (other_times.next_at, other_times.fired) == (at("2027-01-01 11:15"), 1)
        await store.schedules.pause("report")
        assert (await store.schedules.add(schedule(), replace=True)).next_at is None
        new = await store.schedules.add(schedule(name="other"), replace=True, by=ANNA)
        assert new.fired == 0
        assert await actions(store) == ["schedule.change", "schedule.add"]

    async def test_a_removed_one_is_gone_and_what_it_put_stays(self, store: Store, clock: FakeClock) -> None:
        await store.schedules.add(schedule(), by=ANNA)
        clock.pass_by(seconds=3600)
        [first] = await fired(store)
        await store.schedules.remove("report", by=ANNA)
        clock.pass_by(seconds=3600)
        assert [message.id for message in await fired(store)] == [first.id]
        assert (await store.messages.get(first.id)).state is State.READY
        assert await actions(store) == ["schedule.add", "schedule.remove"]

    async def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        await store.schedules.add(schedule(tenant="acme"))
        for ask in (store.schedules.get, store.schedules.pause, store.schedules.resume, store.schedules.remove, store.schedules.run):
            with pytest.raises(NotFound):
                await ask("report", tenant="other")

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"cron": "* * * *"}, "five fields"),
            ({"cron": "* * * * * *"}, "five fields"),
            ({"cron": "61 * * * *"}, "bad minute"),
            ({"cron": "0 0 30 2 *"}, "bad day-of-month"),
            ({"cron": "@reboot"}, "@daily"),
            ({"timezone": "Mars/Olympus"}, "time zone"),
            ({"timezone": "../etc/passwd"}, "time zone"),
            ({"timezone": ""}, "time zone"),
        ],
    )
    async def test_what_means_nothing_is_refused_with_words(self, store: Store, changes: dict[str, str], says: str) -> None:
        with pytest.raises(InvalidInput, match=says):
            await store.schedules.add(schedule(**changes))
        assert list(await store.schedules.list()) == []

    async def test_a_key_that_somebody_else_has_used_holds_nothing_up(self, store: Store, clock: FakeClock) -> None:
        kept: Schedule = await store.schedules.add(schedule())
        assert kept.next_at is not None
        written = datetime.fromtimestamp(kept.next_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        await store.messages.put([message(body=b"2", dedup_key=f"schedule:report:{written}")])
        clock.pass_by(seconds=3600)
        await store.schedules.fire()
        assert (await store.schedules.get("report")).passed_over == 1
        clock.pass_by(seconds=3600)
        assert len(await fired(store)) == 2


async def actions(store: Store) -> list[str]:
    """Tell what was done.

    Args:
        store (Store): Where.

    Returns:
        list[str]: Oldest first.
    """
    return [deed.action for deed in reversed((await store.audit.list(DeedFilter())).deeds)]
