"""The blocking client, written from the asynchronous one by `scripts/blocking_client.py`: change those.

A thin one: an `AsyncClient` on a background thread's event loop, and every call waits for its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from perdure.client.aio import AsyncClient, Sent
from perdure.client.answers import (
    AgentJson,
    AttemptJson,
    BiteJson,
    BudgetJson,
    ChangesJson,
    CheckupJson,
    DeadLetterJson,
    DeedsPage,
    EditedJson,
    GroupJson,
    KeyJson,
    LaneJson,
    LimitJson,
    MembersPage,
    MessageJson,
    MessagesPage,
    NewKeyJson,
    PatternJson,
    ProviderJson,
    QueueJson,
    ReportJson,
    ScheduleJson,
    SpentJson,
    StepJson,
    WorkerJson,
)
from perdure.client.background import Background
from perdure.client.new import Named, NewMessageJson, PutOptions

__all__ = ["Client", "SyncSent"]


class Client:
    """Speaks with a Perdure server, blocking. Made once, it may be shared by threads.

    Args:
        base_url (str | None): Where the server is; None for `PERDURE_URL`, else the server of this folder's `.perdure`.
        api_key (str | None): The key; None for `PERDURE_API_KEY`, else the key file in `.perdure`.
        timeout_s (float): For one request.
        retry_for_s (float): How long a lost connection is tried again where that is safe.
    """

    def __init__(
        self, base_url: str | None = None, api_key: str | None = None, *, timeout_s: float = 30.0, retry_for_s: float = 10.0
    ) -> None:
        self._client = AsyncClient(base_url, api_key, timeout_s=timeout_s, retry_for_s=retry_for_s)
        self._loop = Background()

    def __enter__(self) -> Self:
        """Use it with `with`.

        Returns:
            Self: The same client.
        """
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it.

        Args:
            kind (type[BaseException] | None): As Python gives it.
            error (BaseException | None): As Python gives it.
            trace (TracebackType | None): As Python gives it.
        """
        self.close()

    def close(self) -> None:
        """Close all connections and end the background thread."""
        self._loop.close(self._client.aclose())

    def send(self, agent: str | Named, body: Any, **options: Unpack[PutOptions]) -> SyncSent:
        """Put a message. Once this returns, the message is on disk.

        Args:
            agent (str | Named): Who is to do it.
            body (Any): What it is given: anything that JSON can say.
            **options (Unpack[PutOptions]): Queue, priority, delay, dedup key and so on.

        Returns:
            SyncSent: Its id, and the way to its result.

        Raises:
            UnknownAgent: No worker ever registered that agent.
            InvalidInput: The body is not what the agent takes.
            DedupConflict: The key was used for another body.
        """
        return SyncSent(self._loop.wait(self._client.send(agent, body, **options)), self._loop)

    def send_many(
        self, messages: Iterable[NewMessageJson], *, then: NewMessageJson | None = None, group_name: str | None = None
    ) -> list[SyncSent]:
        """Put many messages, as many at a time as a server takes; each such part is put whole or not at all.

        Args:
            messages (Iterable[NewMessageJson]): Each with `agent`, `body`, and what else `send` takes.
            then (NewMessageJson | None): Makes them a group, however many they are: this message runs once all have ended.
            group_name (str | None): Makes them a group with this name, with or without `then`.

        Returns:
            list[SyncSent]: One for each, in their order; `group` says in which.

        Raises:
            InvalidInput: One is not what its agent takes; parts before it are put.
        """
        return [SyncSent(sent, self._loop) for sent in self._loop.wait(self._client.send_many(messages, then=then, group_name=group_name))]

    def group(self, id: str) -> GroupJson:
        """Look how far a group has come.

        Args:
            id (str): `grp_…`: `Sent.group`.

        Returns:
            GroupJson: `total`, `left`, `done`, `dead`, `cancelled`, and the message that joins it as `then`.
        """
        return self._loop.wait(self._client.group(id))

    def members(self, id: str, *, limit: int = 100, cursor: str | None = None) -> MembersPage:
        """List what became of a group's messages, in the order of putting.

        Args:
            id (str): `grp_…`.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): `next_cursor` of the page before.

        Returns:
            MembersPage: Some of them.
        """
        return self._loop.wait(self._client.members(id, limit=limit, cursor=cursor))

    def close_group(self, id: str) -> GroupJson:
        """Say that an open group is complete.

        Args:
            id (str): `grp_…`.

        Returns:
            GroupJson: As it is then.
        """
        return self._loop.wait(self._client.close_group(id))

    def signal(self, id: str, name: str, data: Any = None, *, key: str | None = None) -> MessageJson:
        """Tell a message what its run waits for, or will wait for, with `run.wait_for`.

        Args:
            id (str): `msg_…`.
            name (str): Which of the things it may wait for.
            data (Any): What the wait returns: anything that JSON can say.
            key (str | None): Makes a repeated signal one; None makes up one for this call.

        Returns:
            MessageJson: As it is now.

        Raises:
            Conflict: It has ended.
            DedupConflict: The key was used for other data.
        """
        return self._loop.wait(self._client.signal(id, name, data, key=key))

    def message(self, id: str, *, wait_s: float = 0) -> MessageJson:
        """Look at a message.

        Args:
            id (str): `msg_…`.
            wait_s (float): Let the server wait for its end so long, at most 60 s.

        Returns:
            MessageJson: As it is then.

        Raises:
            NotFound: There is none, or it is not yours.
        """
        return self._loop.wait(self._client.message(id, wait_s=wait_s))

    def ended(self, id: str, *, timeout_s: float | None = None) -> MessageJson:
        """Wait until a message has ended, whichever way.

        Args:
            id (str): `msg_…`.
            timeout_s (float | None): Wait no longer than this; None waits as long as it takes.

        Returns:
            MessageJson: `done`, `dead` or `cancelled`.

        Raises:
            TimeoutError: It has not ended yet; it goes on.
        """
        return self._loop.wait(self._client.ended(id, timeout_s=timeout_s))

    def result(self, id: str, *, timeout_s: float | None = None) -> Any:
        """Wait until a message has ended, and give its result.

        Args:
            id (str): `msg_…`.
            timeout_s (float | None): Wait no longer than this; None waits as long as it takes.

        Returns:
            Any: What the agent returned.

        Raises:
            PerdureError: What the message died of.
            Conflict: It was cancelled.
            TimeoutError: It has not ended yet; it goes on.
        """
        return self._loop.wait(self._client.result(id, timeout_s=timeout_s))

    def messages(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        agent: str | None = None,
        code: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> MessagesPage:
        """List messages, those put last first.

        Args:
            state (str | None): Only those in this state.
            queue (str | None): Only of this queue.
            agent (str | None): Only for this agent.
            code (str | None): Only those that died of this error.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): `next_cursor` of the page before.

        Returns:
            MessagesPage: Some of them.
        """
        return self._loop.wait(self._client.messages(state=state, queue=queue, agent=agent, code=code, limit=limit, cursor=cursor))

    def cancel(self, id: str, *, children: bool = True) -> MessageJson:
        """Call a message off: at once, or within a moment if it runs.

        Args:
            id (str): `msg_…`.
            children (bool): Also what its run has sent.

        Returns:
            MessageJson: As it is now: `cancelled`, or with `cancelling` true until its worker has ended it.
        """
        return self._loop.wait(self._client.cancel(id, children=children))

    def steps(self, id: str) -> list[StepJson]:
        """List what a message's run has recorded.

        Args:
            id (str): `msg_…`.

        Returns:
            list[StepJson]: In the order in which they were first begun.
        """
        return self._loop.wait(self._client.steps(id))

    def attempts(self, id: str) -> list[AttemptJson]:
        """List what went wrong with a message so far.

        Args:
            id (str): `msg_…`.

        Returns:
            list[AttemptJson]: Oldest first.
        """
        return self._loop.wait(self._client.attempts(id))

    def decide(self, id: str, step: int, decision: Literal["happened", "run-again", "bury"], *, result: Any = None) -> None:
        """Say what became of a step whose outcome is unknown.

        Args:
            id (str): `msg_…`, which waits as `outcome-unknown`.
            step (int): Its number.
            decision (Literal["happened", "run-again", "bury"]): What is true, or what to do.
            result (Any): For `happened`: what the step returned.
        """
        self._loop.wait(self._client.decide(id, step, decision, result=result))

    def chat(self, messages: Sequence[Mapping[str, Any]], *, model: str | None = None, **params: Any) -> dict[str, Any]:
        """Ask a model at once, without a message.

        Args:
            messages (Sequence[Mapping[str, Any]]): The conversation, as OpenAI's API has it.
            model (str | None): `provider/model` or an alias; None for the server's default.
            **params (Any): What else a chat request has.

        Returns:
            dict[str, Any]: An OpenAI `chat.completion`.
        """
        return self._loop.wait(self._client.chat(messages, model=model, **params))

    def changes(self, after: int | None = None, *, wait_s: float = 0, limit: int = 1000) -> ChangesJson:
        """Read which messages moved.

        Args:
            after (int | None): `last` of the answer before; None begins now.
            wait_s (float): Let the server wait for a change so long, at most 60 s.
            limit (int): At most this many, 1 to 1000.

        Returns:
            ChangesJson: In order.
        """
        return self._loop.wait(self._client.changes(after, wait_s=wait_s, limit=limit))

    def dead_letters(
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
        return self._loop.wait(self._client.dead_letters(queue=queue, agent=agent, code=code, limit=limit, cursor=cursor))

    def dead_letter(self, id: str) -> DeadLetterJson:
        """Look at one dead letter, with what every attempt ended with.

        Args:
            id (str): `msg_…`.

        Returns:
            DeadLetterJson: As it is now.
        """
        return self._loop.wait(self._client.dead_letter(id))

    def queues(self) -> list[QueueJson]:
        """List queues with their numbers.

        Returns:
            list[QueueJson]: By name.
        """
        return self._loop.wait(self._client.queues())

    def pause(self, queue: str | None = None, *, why: str | None = None) -> None:
        """Let nothing of a queue start. What runs goes on.

        Args:
            queue (str | None): Its name; None for everything.
            why (str | None): What to tell whoever asks.
        """
        self._loop.wait(self._client.pause(queue, why=why))

    def resume(self, queue: str | None = None) -> None:
        """Lift a pause.

        Args:
            queue (str | None): Its name; None for the pause of everything.
        """
        self._loop.wait(self._client.resume(queue))

    def limits(self) -> list[LimitJson]:
        """List how many may run at once, of whom, and how many do.

        Returns:
            list[LimitJson]: By scope and name.
        """
        return self._loop.wait(self._client.limits())

    def lanes(self) -> list[LaneJson]:
        """List the lanes of providers that have limits, or were down, with what of them is taken.

        Returns:
            list[LaneJson]: By name.
        """
        return self._loop.wait(self._client.lanes())

    def open_lane(self, name: str) -> list[str]:
        """Open a closed lane by hand: its messages start, and those that were parked for it go on.

        Args:
            name (str): `provider/model`; or a model, for all its deployments.

        Returns:
            list[str]: What was opened; empty if all was open.
        """
        return self._loop.wait(self._client.open_lane(name))

    def set_limit(self, scope: str, name: str, at_once: int) -> LimitJson:
        """Let only so many run at once.

        Args:
            scope (str): `queue`, `agent`, `tenant`; or `key` for each key in a queue.
            name (str): Of whom; for `key` the queue.
            at_once (int): How many may be ready or running.

        Returns:
            LimitJson: As it is now.
        """
        return self._loop.wait(self._client.set_limit(scope, name, at_once))

    def drop_limit(self, scope: str, name: str) -> None:
        """Lift a limit.

        Args:
            scope (str): Of what kind.
            name (str): Of whom.
        """
        self._loop.wait(self._client.drop_limit(scope, name))

    def usage(self, *, by: str = "lane", since: str | None = None, until: str | None = None) -> list[SpentJson]:
        """Say what was used and what it cost.

        Args:
            by (str): `day`, `lane`, `agent`, `tenant` or `key`.
            since (str | None): The first day (UTC), such as `2026-11-30`; None is the last one.
            until (str | None): The last day; None is today.

        Returns:
            list[SpentJson]: The most expensive first; days in their order.
        """
        return self._loop.wait(self._client.usage(by=by, since=since, until=until))

    def budgets(self) -> list[BudgetJson]:
        """List how much may be spent in a day, and how much is today.

        Returns:
            list[BudgetJson]: By scope and name.
        """
        return self._loop.wait(self._client.budgets())

    def set_budget(self, scope: str, name: str, daily_usd: float | None) -> BudgetJson:
        """Let only so much be spent in a day.

        Args:
            scope (str): `installation`, `tenant` or `key`.
            name (str): Of a tenant, the id of a key, or `*` for each without one of its own; the installation's is `*`.
            daily_usd (float | None): In US dollars; None is as much as it takes.

        Returns:
            BudgetJson: As it is now.
        """
        return self._loop.wait(self._client.set_budget(scope, name, daily_usd))

    def keys(self) -> list[KeyJson]:
        """List API keys, never the keys themselves.

        Returns:
            list[KeyJson]: Newest first, revoked ones too.
        """
        return self._loop.wait(self._client.keys())

    def create_key(
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
        return self._loop.wait(self._client.create_key(name, scopes=scopes, tenant=tenant, expires_at=expires_at))

    def revoke_key(self, id: str) -> KeyJson | None:
        """Let a key open nothing any more.

        Args:
            id (str): `key_…`.

        Returns:
            KeyJson | None: As it is now, if the server tells.
        """
        return self._loop.wait(self._client.revoke_key(id))

    def agents(self) -> list[AgentJson]:
        """List the agents that workers have registered.

        Returns:
            list[AgentJson]: By name.
        """
        return self._loop.wait(self._client.agents())

    def workers(self) -> list[WorkerJson]:
        """List living workers, and the dead of the last hour.

        Returns:
            list[WorkerJson]: Newest first.
        """
        return self._loop.wait(self._client.workers())

    def providers(self) -> list[ProviderJson]:
        """List who answers prompts, and what they did since the server started.

        Returns:
            list[ProviderJson]: By name.
        """
        return self._loop.wait(self._client.providers())

    def check_provider(self, name: str) -> CheckupJson:
        """Find out whether a provider can be used.

        Args:
            name (str): As in the server's settings.

        Returns:
            CheckupJson: Also where it cannot.
        """
        return self._loop.wait(self._client.check_provider(name))

    def models(self) -> list[str]:
        """List the models one can name.

        Returns:
            list[str]: `provider/model`, and aliases.
        """
        return self._loop.wait(self._client.models())

    def fork(self, id: str, *, from_step: int, changes: Mapping[str, Any] | None = None) -> MessageJson:
        """Let a run go on anew from one of its steps, as another message; the original stays as it is.

        Args:
            id (str): `msg_…`.
            from_step (int): The first step that is made anew; those before it are taken over as they are recorded.
            changes (Mapping[str, Any] | None): What is different: `body`, `priority`, `version` (None for any code).

        Returns:
            MessageJson: The new message.
        """
        return self._loop.wait(self._client.fork(id, from_step=from_step, changes=changes))

    def export_run(self, id: str) -> dict[str, Any]:
        """Write a run down, without secrets: message, attempts, steps and decisions.

        Args:
            id (str): `msg_…`.

        Returns:
            dict[str, Any]: A `perdure.run/1`, for `import_run`.
        """
        return self._loop.wait(self._client.export_run(id))

    def import_run(self, run: Mapping[str, Any], *, start: bool = False, tenant: str | None = None) -> MessageJson:
        """Bring a run that was exported, as a new message.

        Args:
            run (Mapping[str, Any]): What `export_run` gave.
            start (bool): Whether one that had not ended goes on; else it is kept as cancelled, to be looked at.
            tenant (str | None): Whose it will be, where an operator brings it.

        Returns:
            MessageJson: The new message.
        """
        return self._loop.wait(self._client.import_run(run, start=start, tenant=tenant))

    def edit_dead_letter(self, id: str, changes: Mapping[str, Any]) -> MessageJson:
        """Change a dead letter; what it was before is kept.

        Args:
            id (str): `msg_…`.
            changes (Mapping[str, Any]): Any of `body`, `priority`, `attempts`, `timeout_s`, `deadline`, `max_wait_s`,
                `version`, `metadata`.

        Returns:
            MessageJson: As it is now, still dead.
        """
        return self._loop.wait(self._client.edit_dead_letter(id, changes))

    def edits(self, id: str) -> list[EditedJson]:
        """List how a message was edited.

        Args:
            id (str): `msg_…`.

        Returns:
            list[EditedJson]: Oldest first.
        """
        return self._loop.wait(self._client.edits(id))

    def revive(self, id: str, changes: Mapping[str, Any] | None = None) -> MessageJson:
        """Give a dead letter another life, its journal kept.

        Args:
            id (str): `msg_…`.
            changes (Mapping[str, Any] | None): What is to be different about it first, as for `edit_dead_letter`.

        Returns:
            MessageJson: As it is now.
        """
        return self._loop.wait(self._client.revive(id, changes))

    def discard(self, id: str) -> None:
        """Forget a dead letter with its journal.

        Args:
            id (str): `msg_…`.
        """
        self._loop.wait(self._client.discard(id))

    def revive_many(
        self, filter: Mapping[str, Any], *, per_s: float | None = None, dry_run: bool = False, limit: int = 1000, cursor: str | None = None
    ) -> BiteJson:
        """Give the dead letters that fit another life; go on with `next_cursor` until it is None.

        Args:
            filter (Mapping[str, Any]): Any of `tenant`, `queue`, `agent`, `code`, `died_after`, `died_before`, `text`, `pattern`.
            per_s (float | None): So many become due in a second; None is all at once.
            dry_run (bool): Only count them.
            limit (int): At most so many now.
            cursor (str | None): `next_cursor` of the answer before.

        Returns:
            BiteJson: What was done.
        """
        return self._loop.wait(self._client.revive_many(filter, per_s=per_s, dry_run=dry_run, limit=limit, cursor=cursor))

    def discard_many(
        self, filter: Mapping[str, Any], *, per_s: float | None = None, dry_run: bool = False, limit: int = 1000, cursor: str | None = None
    ) -> BiteJson:
        """Forget the dead letters that fit; go on with `next_cursor` until it is None.

        Args:
            filter (Mapping[str, Any]): As for `revive_many`.
            per_s (float | None): So many in a second, over all calls of one cursor; None is as fast as it goes.
            dry_run (bool): Only count them.
            limit (int): At most so many now.
            cursor (str | None): `next_cursor` of the answer before.

        Returns:
            BiteJson: What was done.
        """
        return self._loop.wait(self._client.discard_many(filter, per_s=per_s, dry_run=dry_run, limit=limit, cursor=cursor))

    def edit_many(
        self,
        filter: Mapping[str, Any],
        changes: Mapping[str, Any],
        *,
        per_s: float | None = None,
        dry_run: bool = False,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> BiteJson:
        """Change the dead letters that fit; go on with `next_cursor` until it is None.

        Args:
            filter (Mapping[str, Any]): As for `revive_many`.
            changes (Mapping[str, Any]): As for `edit_dead_letter`, with `body_patch` (merged into each body) for `body`.
            per_s (float | None): As for `discard_many`.
            dry_run (bool): Only count them.
            limit (int): At most so many now.
            cursor (str | None): `next_cursor` of the answer before.

        Returns:
            BiteJson: What was done.
        """
        return self._loop.wait(self._client.edit_many(filter, changes, per_s=per_s, dry_run=dry_run, limit=limit, cursor=cursor))

    def cancel_many(self, filter: Mapping[str, Any], *, dry_run: bool = False, limit: int = 1000, cursor: str | None = None) -> BiteJson:
        """Call off the messages that fit and do not run; go on with `next_cursor` until it is None.

        Args:
            filter (Mapping[str, Any]): `state` (ready, later, held or waiting), and perhaps `queue` and `agent`.
            dry_run (bool): Only count them.
            limit (int): At most so many now.
            cursor (str | None): `next_cursor` of the answer before.

        Returns:
            BiteJson: What was done.
        """
        return self._loop.wait(self._client.cancel_many(filter, dry_run=dry_run, limit=limit, cursor=cursor))

    def audit(
        self,
        *,
        who: str | None = None,
        action: str | None = None,
        target: str | None = None,
        after: datetime | str | None = None,
        before: datetime | str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DeedsPage:
        """List who did what, newest first.

        Args:
            who (str | None): A key's id.
            action (str | None): Such as `dead-letter.revive`.
            target (str | None): A message's id, the name of a queue or schedule, the id of a key.
            after (datetime | str | None): Not before this moment.
            before (datetime | str | None): Only before this moment.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): `next_cursor` of the page before.

        Returns:
            DeedsPage: Some of it.
        """
        return self._loop.wait(
            self._client.audit(who=who, action=action, target=target, after=after, before=before, limit=limit, cursor=cursor)
        )

    def errors(
        self,
        *,
        code: str | None = None,
        agent: str | None = None,
        provider: str | None = None,
        trend: str | None = None,
        spikes: bool = False,
        unmapped: bool = False,
        limit: int = 50,
    ) -> list[PatternJson]:
        """List patterns among errors, those that came last first.

        Args:
            code (str | None): Only with this code.
            agent (str | None): Only from runs of this agent.
            provider (str | None): Only from this provider.
            trend (str | None): Only those that are `new`, `rising`, `steady`, `falling` or `quiet`.
            spikes (bool): Only those with a spike.
            unmapped (bool): Only answers of providers that no rule knew.
            limit (int): At most this many, 1 to 1000.

        Returns:
            list[PatternJson]: Each with counts, trend and what it comes together with.
        """
        return self._loop.wait(
            self._client.errors(code=code, agent=agent, provider=provider, trend=trend, spikes=spikes, unmapped=unmapped, limit=limit)
        )

    def error_pattern(self, pattern: str) -> PatternJson:
        """Look at one pattern.

        Args:
            pattern (str): `pat_…`.

        Returns:
            PatternJson: As it is now.
        """
        return self._loop.wait(self._client.error_pattern(pattern))

    def pattern_dead_letters(self, pattern: str, *, limit: int = 50, cursor: str | None = None) -> MessagesPage:
        """List the dead letters that died of a pattern, those put last first.

        Args:
            pattern (str): `pat_…`.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): `next_cursor` of the page before.

        Returns:
            MessagesPage: Some of them; it may be short where many died of something else.
        """
        return self._loop.wait(self._client.pattern_dead_letters(pattern, limit=limit, cursor=cursor))

    def error_report(self, id: str) -> ReportJson:
        """Say all about why a message died.

        Args:
            id (str): `msg_…`, a dead letter.

        Returns:
            ReportJson: Causes, every attempt, its steps, its pattern, and what such an error leads to.
        """
        return self._loop.wait(self._client.error_report(id))

    def schedules(self, *, tenant: str | None = None) -> list[ScheduleJson]:
        """List schedules.

        Args:
            tenant (str | None): For operators: only this tenant's.

        Returns:
            list[ScheduleJson]: By name.
        """
        return self._loop.wait(self._client.schedules(tenant=tenant))

    def schedule(self, name: str, *, next: int = 5, tenant: str | None = None) -> ScheduleJson:
        """Look at a schedule.

        Args:
            name (str): Its name.
            next (int): How many of its next moments to show.
            tenant (str | None): For operators: whose.

        Returns:
            ScheduleJson: As it is now.
        """
        return self._loop.wait(self._client.schedule(name, next=next, tenant=tenant))

    def put_schedule(self, name: str, *, cron: str, agent: str | Named, body: Any, replace: bool = True, **options: Any) -> ScheduleJson:
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
        return self._loop.wait(self._client.put_schedule(name, cron=cron, agent=agent, body=body, replace=replace, **options))

    def pause_schedule(self, name: str, *, tenant: str | None = None) -> ScheduleJson:
        """Let a schedule fire no more.

        Args:
            name (str): Its name.
            tenant (str | None): For operators: whose.

        Returns:
            ScheduleJson: As it is now.
        """
        return self._loop.wait(self._client.pause_schedule(name, tenant=tenant))

    def resume_schedule(self, name: str, *, tenant: str | None = None) -> ScheduleJson:
        """Let a schedule fire again, from its next moment on.

        Args:
            name (str): Its name.
            tenant (str | None): For operators: whose.

        Returns:
            ScheduleJson: As it is now.
        """
        return self._loop.wait(self._client.resume_schedule(name, tenant=tenant))

    def run_schedule(self, name: str, *, tenant: str | None = None) -> str:
        """Put a schedule's message now.

        Args:
            name (str): Its name.
            tenant (str | None): For operators: whose.

        Returns:
            str: The message's id.
        """
        return self._loop.wait(self._client.run_schedule(name, tenant=tenant))

    def remove_schedule(self, name: str, *, tenant: str | None = None) -> None:
        """Forget a schedule. What it has put stays.

        Args:
            name (str): Its name.
            tenant (str | None): For operators: whose.
        """
        self._loop.wait(self._client.remove_schedule(name, tenant=tenant))


class SyncSent:
    """A message that was put.

    Args:
        sent (Sent): The same for asynchronous programs.
        loop (Background): Where its client runs.
    """

    def __init__(self, sent: Sent, loop: Background) -> None:
        self._sent = sent
        self._loop = loop

    @property
    def id(self) -> str:
        """`msg_…`."""
        return self._sent.id

    @property
    def duplicate(self) -> bool:
        """True if its `dedup_key` had brought this message before."""
        return self._sent.duplicate

    @property
    def group(self) -> str | None:
        """The group it was put into.

        Returns:
            str | None: `grp_…`.
        """
        return self._sent.group

    def __repr__(self) -> str:
        """Show which.

        Returns:
            str: For people.
        """
        return repr(self._sent)

    def result(self, *, timeout_s: float | None = None) -> Any:
        """Wait until it has ended, and give its result.

        Args:
            timeout_s (float | None): Wait no longer than this; None waits as long as it takes.

        Returns:
            Any: What the agent returned.

        Raises:
            PerdureError: What it died of.
            Conflict: It was cancelled.
            TimeoutError: It has not ended yet; it goes on.
        """
        return self._loop.wait(self._sent.result(timeout_s=timeout_s))

    def message(self, *, wait_s: float = 0) -> MessageJson:
        """Look at it.

        Args:
            wait_s (float): Let the server wait for its end so long, at most 60 s.

        Returns:
            MessageJson: As it is then.
        """
        return self._loop.wait(self._sent.message(wait_s=wait_s))

    def signal(self, name: str, data: Any = None, *, key: str | None = None) -> MessageJson:
        """Tell it what its run waits for.

        Args:
            name (str): Which of the things it may wait for.
            data (Any): What the wait returns.
            key (str | None): Makes a repeated signal one.

        Returns:
            MessageJson: As it is now.
        """
        return self._loop.wait(self._sent.signal(name, data, key=key))

    def cancel(self) -> MessageJson:
        """Call it off.

        Returns:
            MessageJson: As it is now.
        """
        return self._loop.wait(self._sent.cancel())
