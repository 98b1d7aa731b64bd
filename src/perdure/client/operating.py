"""What an operator asks of a server: dead letters, queues, keys, workers, models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from perdure.client.answers import (
    AgentJson,
    BudgetJson,
    CheckupJson,
    DeadLetterJson,
    KeyJson,
    LaneJson,
    LimitJson,
    MessageJson,
    MessagesPage,
    NewKeyJson,
    ProviderJson,
    QueueJson,
    SpentJson,
    WorkerJson,
)
from perdure.client.new import as_json
from perdure.client.transport import Transport, segment

__all__ = ["Operating"]


class Operating:
    """The part of `AsyncClient` for operators."""

    _wire: Transport

    async def dead_letters(
        self, *, queue: str | None = None, agent: str | None = None, code: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> MessagesPage:
        """List dead letters, those put last first.

        Args:
            queue (str | None): Only of this queue.
            agent (str | None): Only for this agent.
            code (str | None): Only those that died of this error.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): `next_cursor` of the page before.

        Returns:
            MessagesPage: Some of them.
        """
        query = {"queue": queue, "agent": agent, "code": code, "limit": limit, "cursor": cursor}
        page: MessagesPage = await self._wire.get("/api/v1/dead-letters", query)
        return page

    async def dead_letter(self, id: str) -> DeadLetterJson:
        """Look at one dead letter, with what every attempt ended with.

        Args:
            id (str): `msg_…`.

        Returns:
            DeadLetterJson: As it is now.
        """
        letter: DeadLetterJson = await self._wire.get(f"/api/v1/dead-letters/{segment(id)}")
        return letter

    async def queues(self) -> list[QueueJson]:
        """List queues with their numbers.

        Returns:
            list[QueueJson]: By name.
        """
        queues: list[QueueJson] = (await self._wire.get("/api/v1/queues"))["data"]
        return queues

    async def pause(self, queue: str | None = None, *, why: str | None = None) -> None:
        """Let nothing of a queue start. What runs goes on.

        Args:
            queue (str | None): Its name; None for everything.
            why (str | None): What to tell whoever asks.
        """
        body = None if why is None else as_json({"why": why}, "the reason")
        await self._wire.ask("POST", _switch(queue, "pause"), body=body, repeatable=True)

    async def resume(self, queue: str | None = None) -> None:
        """Lift a pause.

        Args:
            queue (str | None): Its name; None for the pause of everything.
        """
        await self._wire.ask("POST", _switch(queue, "resume"), repeatable=True)

    async def limits(self) -> list[LimitJson]:
        """List how many may run at once, of whom, and how many do.

        Returns:
            list[LimitJson]: By scope and name.
        """
        limits: list[LimitJson] = (await self._wire.get("/api/v1/limits"))["data"]
        return limits

    async def lanes(self) -> list[LaneJson]:
        """List the lanes of providers that have limits, or were down, with what of them is taken.

        Returns:
            list[LaneJson]: By name.
        """
        lanes: list[LaneJson] = (await self._wire.get("/api/v1/lanes"))["data"]
        return lanes

    async def open_lane(self, name: str) -> list[str]:
        """Open a closed lane by hand: its messages start, and those that were parked for it go on.

        Args:
            name (str): `provider/model`; or a model, for all its deployments.

        Returns:
            list[str]: What was opened; empty if all was open.
        """
        opened: list[str] = (await self._wire.ask("POST", f"/api/v1/lanes/{segment(name)}/open", repeatable=True))["opened"]
        return opened

    async def set_limit(self, scope: str, name: str, at_once: int) -> LimitJson:
        """Let only so many run at once.

        Args:
            scope (str): `queue`, `agent`, `tenant`; or `key` for each key in a queue.
            name (str): Of whom; for `key` the queue.
            at_once (int): How many may be ready or running.

        Returns:
            LimitJson: As it is now.
        """
        limit: LimitJson = await self._wire.ask(
            "PUT", _limit(scope, name), body=as_json({"at_once": at_once}, "the limit"), repeatable=True
        )
        return limit

    async def drop_limit(self, scope: str, name: str) -> None:
        """Lift a limit.

        Args:
            scope (str): Of what kind.
            name (str): Of whom.
        """
        await self._wire.ask("DELETE", _limit(scope, name), repeatable=True)

    async def usage(self, *, by: str = "lane", since: str | None = None, until: str | None = None) -> list[SpentJson]:
        """Say what was used and what it cost.

        Args:
            by (str): `day`, `lane`, `agent`, `tenant` or `key`.
            since (str | None): The first day (UTC), such as `2026-11-30`; None is the last one.
            until (str | None): The last day; None is today.

        Returns:
            list[SpentJson]: The most expensive first; days in their order.
        """
        spent: list[SpentJson] = (await self._wire.get("/api/v1/usage", {"by": by, "since": since, "until": until}))["data"]
        return spent

    async def budgets(self) -> list[BudgetJson]:
        """List how much may be spent in a day, and how much is today.

        Returns:
            list[BudgetJson]: By scope and name.
        """
        budgets: list[BudgetJson] = (await self._wire.get("/api/v1/budgets"))["data"]
        return budgets

    async def set_budget(self, scope: str, name: str, daily_usd: float | None) -> BudgetJson:
        """Let only so much be spent in a day.

        Args:
            scope (str): `installation`, `tenant` or `key`.
            name (str): Of a tenant, the id of a key, or `*` for each without one of its own; the installation's is `*`.
            daily_usd (float | None): In US dollars; None is as much as it takes.

        Returns:
            BudgetJson: As it is now.
        """
        path = f"/api/v1/budgets/{segment(scope)}/{segment(name)}"
        budget: BudgetJson = await self._wire.ask("PUT", path, body=as_json({"daily_usd": daily_usd}, "the budget"), repeatable=True)
        return budget

    async def keys(self) -> list[KeyJson]:
        """List API keys, never the keys themselves.

        Returns:
            list[KeyJson]: Newest first, revoked ones too.
        """
        keys: list[KeyJson] = (await self._wire.get("/api/v1/keys"))["data"]
        return keys

    async def create_key(
        self, name: str, *, scopes: Sequence[str], tenant: str | None = None, expires_at: datetime | str | None = None
    ) -> NewKeyJson:
        """Make an API key.

        Args:
            name (str): For people.
            scopes (Sequence[str]): What it may do, such as `messages:write`.
            tenant (str | None): Whose it is; None for that of the key in use.
            expires_at (datetime | str | None): When it opens nothing any more.

        Returns:
            NewKeyJson: With `key`, told this once.
        """
        until = expires_at.isoformat() if isinstance(expires_at, datetime) else expires_at
        said = {"name": name, "scopes": list(scopes), "tenant": tenant, "expires_at": until}
        body = as_json({field: value for field, value in said.items() if value is not None}, "the key")
        key: NewKeyJson = await self._wire.ask("POST", "/api/v1/keys", body=body)
        return key

    async def revoke_key(self, id: str) -> KeyJson | None:
        """Let a key open nothing any more.

        Args:
            id (str): `key_…`.

        Returns:
            KeyJson | None: As it is now, if the server tells.
        """
        key: KeyJson | None = await self._wire.ask("DELETE", f"/api/v1/keys/{segment(id)}", repeatable=True)
        return key

    async def agents(self) -> list[AgentJson]:
        """List the agents that workers have registered.

        Returns:
            list[AgentJson]: By name.
        """
        agents: list[AgentJson] = (await self._wire.get("/api/v1/agents"))["data"]
        return agents

    async def workers(self) -> list[WorkerJson]:
        """List living workers, and the dead of the last hour.

        Returns:
            list[WorkerJson]: Newest first.
        """
        workers: list[WorkerJson] = (await self._wire.get("/api/v1/workers"))["data"]
        return workers

    async def providers(self) -> list[ProviderJson]:
        """List who answers prompts, and what they did since the server started.

        Returns:
            list[ProviderJson]: By name.
        """
        providers: list[ProviderJson] = (await self._wire.get("/api/v1/providers"))["data"]
        return providers

    async def check_provider(self, name: str) -> CheckupJson:
        """Find out whether a provider can be used.

        Args:
            name (str): As in the server's settings.

        Returns:
            CheckupJson: Also where it cannot.
        """
        found: CheckupJson = await self._wire.ask("POST", f"/api/v1/providers/{segment(name)}/check", repeatable=True)
        return found

    async def models(self) -> list[str]:
        """List the models one can name.

        Returns:
            list[str]: `provider/model`, and aliases.
        """
        answer: dict[str, Any] = await self._wire.get("/v1/models")
        return [model["id"] for model in answer["data"]]

    async def fork(self, id: str, *, from_step: int, changes: Mapping[str, Any] | None = None) -> MessageJson:
        """Let a run go on anew from one of its steps, as another message; the original stays as it is.

        Args:
            id (str): `msg_…`.
            from_step (int): The first step that is made anew; those before it are taken over as they are recorded.
            changes (Mapping[str, Any] | None): What is different: `body`, `priority`, `version` (None for any code).

        Returns:
            MessageJson: The new message.
        """
        body = as_json({"from_step": from_step, **(changes or {})}, "what is different")
        message: MessageJson = await self._wire.ask("POST", f"/api/v1/messages/{segment(id)}/fork", body=body)
        return message

    async def export_run(self, id: str) -> dict[str, Any]:
        """Write a run down, without secrets: message, attempts, steps and decisions.

        Args:
            id (str): `msg_…`.

        Returns:
            dict[str, Any]: A `perdure.run/1`, for `import_run`.
        """
        run: dict[str, Any] = await self._wire.get(f"/api/v1/messages/{segment(id)}/export")
        return run

    async def import_run(self, run: Mapping[str, Any], *, start: bool = False, tenant: str | None = None) -> MessageJson:
        """Bring a run that was exported, as a new message.

        Args:
            run (Mapping[str, Any]): What `export_run` gave.
            start (bool): Whether one that had not ended goes on; else it is kept as cancelled, to be looked at.
            tenant (str | None): Whose it will be, where an operator brings it.

        Returns:
            MessageJson: The new message.
        """
        query = {"start": "true" if start else None, "tenant": tenant}
        message: MessageJson = await self._wire.ask("POST", "/api/v1/messages/import", body=as_json(dict(run), "the run"), query=query)
        return message


def _switch(queue: str | None, verb: str) -> str:
    return f"/api/v1/{verb}" if queue is None else f"/api/v1/queues/{segment(queue)}/{verb}"


def _limit(scope: str, name: str) -> str:
    return f"/api/v1/limits/{segment(scope)}/{segment(name)}"
