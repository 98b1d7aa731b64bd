"""What a program or an operator does to schedules."""

from __future__ import annotations

from typing import Any

from perdure.client.answers import ScheduleJson
from perdure.client.new import Named, as_json
from perdure.client.transport import Transport, segment

__all__ = ["Scheduling"]


class Scheduling:
    """The part of `AsyncClient` for messages that are put by a calendar."""

    _wire: Transport

    async def schedules(self, *, tenant: str | None = None) -> list[ScheduleJson]:
        """List schedules.

        Args:
            tenant (str | None): For operators: only this tenant's.

        Returns:
            list[ScheduleJson]: By name.
        """
        schedules: list[ScheduleJson] = (await self._wire.get("/api/v1/schedules", {"tenant": tenant}))["data"]
        return schedules

    async def schedule(self, name: str, *, next: int = 5, tenant: str | None = None) -> ScheduleJson:
        """Look at a schedule.

        Args:
            name (str): Its name.
            next (int): How many of its next moments to show.
            tenant (str | None): For operators: whose.

        Returns:
            ScheduleJson: As it is now.
        """
        schedule: ScheduleJson = await self._wire.get(_path(name), {"next": next, "tenant": tenant})
        return schedule

    async def put_schedule(
        self, name: str, *, cron: str, agent: str | Named, body: Any, replace: bool = True, **options: Any
    ) -> ScheduleJson:
        """Keep a schedule, in the place of the one with its name if there is one: safe to do at each start of a program.

        Args:
            name (str): Its name.
            cron (str): Five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
            agent (str | Named): Who is to do it.
            body (Any): What it is given: anything that JSON can say.
            replace (bool): False refuses a name that is taken.
            **options (Any): `timezone`, `misfire`, `overlap`, and what a message may say: `queue`, `priority`, `attempts`,
                `timeout_s`, `max_wait_s`, `version`, `metadata`, `tenant`.

        Returns:
            ScheduleJson: As kept.
        """
        who = agent if isinstance(agent, str) else agent.name
        said = {"name": name, "cron": cron, "agent": who, **{key: value for key, value in options.items() if value is not None}}
        written = as_json({**said, "body": body}, "the schedule")
        method, path = ("PUT", _path(name)) if replace else ("POST", "/api/v1/schedules")
        schedule: ScheduleJson = await self._wire.ask(method, path, body=written, repeatable=replace)
        return schedule

    async def pause_schedule(self, name: str, *, tenant: str | None = None) -> ScheduleJson:
        """Let a schedule fire no more.

        Args:
            name (str): Its name.
            tenant (str | None): For operators: whose.

        Returns:
            ScheduleJson: As it is now.
        """
        schedule: ScheduleJson = await self._wire.ask("POST", _path(name, "/pause"), query={"tenant": tenant}, repeatable=True)
        return schedule

    async def resume_schedule(self, name: str, *, tenant: str | None = None) -> ScheduleJson:
        """Let a schedule fire again, from its next moment on.

        Args:
            name (str): Its name.
            tenant (str | None): For operators: whose.

        Returns:
            ScheduleJson: As it is now.
        """
        schedule: ScheduleJson = await self._wire.ask("POST", _path(name, "/resume"), query={"tenant": tenant}, repeatable=True)
        return schedule

    async def run_schedule(self, name: str, *, tenant: str | None = None) -> str:
        """Put a schedule's message now.

        Args:
            name (str): Its name.
            tenant (str | None): For operators: whose.

        Returns:
            str: The message's id.
        """
        receipt = await self._wire.ask("POST", _path(name, "/run"), query={"tenant": tenant})
        return str(receipt["id"])

    async def remove_schedule(self, name: str, *, tenant: str | None = None) -> None:
        """Forget a schedule. What it has put stays.

        Args:
            name (str): Its name.
            tenant (str | None): For operators: whose.
        """
        await self._wire.ask("DELETE", _path(name), query={"tenant": tenant})


def _path(name: str, rest: str = "") -> str:
    return f"/api/v1/schedules/{segment(name)}{rest}"
