"""The contract of where messages are kept.

A store is one object that owns the writer; `messages`, `workers`, `journal`, `memory` and `keys` are
views of it, so that what belongs together is committed together. Every method is atomic, and returns
only after its commit is on disk. Concurrent callers share commits.

Times come from the store's clock alone. Stores are proved by `perdure.testing.MessageStoreKit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts, LeaseLost
from perdure.messages.dead_letters import Edit
from perdure.messages.groups import Group, Members, NewGroup
from perdure.messages.limits import Limit, LimitStatus, Scope
from perdure.messages.message import Attempt, GroupId, Lease, MessageId, NewMessage, Receipt, State, View, Wait, WorkerId
from perdure.messages.routes import Route
from perdure.resources.usage import Usage
from perdure.security.audit import Actor

__all__ = ["Change", "Ended", "Filter", "MessageStore", "Page", "Pause", "QueueStatus", "Tended"]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages to list; None means any."""

    tenant: str | None = None
    state: State | None = None
    queue: str | None = None
    agent: str | None = None
    code: str | None = None
    """Error code, for dead letters."""
    session: str | None = None


class Page(msgspec.Struct, frozen=True):
    """Some of a listing, newest first, and where to go on (None at the end)."""

    views: Sequence[View]
    cursor: str | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One move of one message. `seq` only grows, without regard to commits that failed."""

    seq: int
    id: MessageId
    tenant: str
    queue: str
    agent: str
    state: State
    at: Moment


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Who stopped leasing, when, and why."""

    at: Moment
    who: str | None = None
    why: str | None = None


class QueueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A queue in numbers that are kept, never counted."""

    name: str
    paused: bool
    counts: Mapping[str, int]
    """State to messages in it now, the ends included (as long as they are kept)."""
    totals: Mapping[str, int]
    """Since the store began: `put`, `done`, `dead`, `cancelled`, `retried`, `crashed`, `revived`."""
    oldest_ready_at: Moment | None = None
    """Since when the one lies ready that waits longest, as far as the heads of its routes show."""
    pause: Pause | None = None
    """Who paused it, if it is paused."""


class Tended(msgspec.Struct, frozen=True, kw_only=True):
    """What one round of tending did."""

    due: int = 0
    expired: int = 0
    gave_up: int = 0
    next_due_at: Moment | None = None
    """When the next message becomes due, as far as known."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A message whose agent returned, for `done_many`."""

    lease: Lease
    result: bytes
    """JSON."""
    usage: Usage | None = None
    code_version: str | None = None


class MessageStore(Protocol):
    """Keeps messages until each has ended.

    A message is in one place at a time (`MOVES`). A method that takes a lease is refused with
    `LeaseLost` when that lease is no longer held; nothing of the call is then written.

    Ids and tokens come from one sequence that only grows. Which of two ready messages of one priority comes
    first, their tags say (`order.py`): tenants take turns. A message is held while the line of its session
    or a limit (`limits.py`) leaves it no room. Attempts are used up by `done`, `retry` and `bury`; what a
    message has used so far, plus one, is the number of the attempt under way.

    When a message ends, its usage is what the call says, and where that says nothing the sum over the
    steps of its journal.

    Whatever a message waits for wakes it in the transaction in which it comes: a signal, the end of the last
    awaited child, the end of a group's last member. A `park` looks in its own transaction whether that is there
    already, and then leaves the message ready. So no wake-up is lost, and nobody looks for what may have come.

    After its commit a store tells `message.put`, `leased`, `done`, `retried`, `dead`, `parked`, `released`, `held`,
    `admitted`, `woken`, `signalled`, `cancelling`, `cancelled` and `revived` with the facts `message`, `agent`, `queue`,
    `tenant`, `attempt` and `code` (of the error, or None); `leased` also `worker` and `waited_s`, `done` also `took_s`,
    `parked` also `why`, `signalled` also `name`; and `worker.died` (`worker`, `host`) and `worker.reaped` (`worker`,
    `released`, `quarantined`, `buried`, `cancelled`).

    Raises:
        StoreBusy: From any method: the database stayed locked longer than the store waits.
        StoreFull: From any writing method: there is no room on the disk.
        StoreClosed: From any method after the store was closed.
    """

    async def put(self, messages: Sequence[NewMessage], *, group: NewGroup | GroupId | None = None) -> list[Receipt]:
        """Accept messages: all of them, or none.

        Args:
            messages (Sequence[NewMessage]): One to 10,000, validated.
            group (NewGroup | GroupId | None): Begin a group with them, or add them to one that is open. The receipts say
                which; a message that a `dedup_key` brought from before stays where it was.

        Returns:
            list[Receipt]: One for each, in their order. A known `dedup_key` (per tenant, whichever
            state its message is in) brings the id it had, if agent and body are the same.

        Raises:
            DedupConflict: A `dedup_key` came with another body or agent; nothing was put.
            NotFound: There is no such group (of this tenant).
            Conflict: The group is closed.
            InvalidInput: A message goes into a session that one of its ancestors is in, which would wait for it for
                ever, or a group's join names a session.
        """
        ...

    async def routes(self) -> Sequence[Route]:
        """List every route there is, with what stands against it. Cheap; made for every lease.

        Returns:
            Sequence[Route]: In no particular order.
        """
        ...

    async def lease(self, routes: Sequence[Route], *, limit: int, worker: WorkerId) -> list[Lease]:
        """Take the most urgent ready messages of some routes.

        While the worker lives, no other call on any machine returns its messages. Once it is declared
        dead they are ready again, and whatever it still writes is refused. A route whose queue (or
        everything) is paused or whose lane is closed *now* gives nothing, whatever the worker has read
        of it before.

        Args:
            routes (Sequence[Route]): What the worker can serve now.
            limit (int): At most this many messages, 1 to 1000.
            worker (WorkerId): Who takes them; must be registered and alive.

        Returns:
            list[Lease]: Zero to `limit` leases: by priority, then tag, over all given routes; every
            16th message taken is the one put earliest instead. Empty means nothing is ready.

        Raises:
            WorkerFenced: The worker was declared dead; it must stop.
        """
        ...

    async def done(self, lease: Lease, result: bytes, *, usage: Usage | None = None, code_version: str | None = None) -> None:
        """End a message well.

        Args:
            lease (Lease): The right to it.
            result (bytes): JSON.
            usage (Usage | None): All that its run used.
            code_version (str | None): The agent's code that did it.

        Raises:
            LeaseLost: It is no longer this worker's.
        """
        ...

    async def done_many(self, ended: Sequence[Ended]) -> Sequence[LeaseLost | None]:
        """End many messages well, in as few commits as it takes.

        Args:
            ended (Sequence[Ended]): Which, and with what.

        Returns:
            Sequence[LeaseLost | None]: For each, in their order, why it was refused; None where it is done.
        """
        lost: list[LeaseLost | None] = []
        for one in ended:
            try:
                await self.done(one.lease, one.result, usage=one.usage, code_version=one.code_version)
            except LeaseLost as error:
                lost.append(error)
            else:
                lost.append(None)
        return lost

    async def retry(self, lease: Lease, error: ErrorFacts, *, at: Moment, step: int | None = None, usage: Usage | None = None) -> None:
        """Use up this attempt and try again at a moment.

        Args:
            lease (Lease): The right to it.
            error (ErrorFacts): What ended the attempt.
            at (Moment): When to run again.
            step (int | None): The step whose recorded failure ended the attempt; it is made again then.
                A step that is recorded as done stays so, and one whose outcome is unknown stays unknown.
            usage (Usage | None): All that its run used so far.

        Raises:
            LeaseLost: It is no longer this worker's.
        """
        ...

    async def bury(
        self, lease: Lease, error: ErrorFacts, *, step: int | None = None, usage: Usage | None = None, uses_attempt: bool = True
    ) -> None:
        """Give a message up: it becomes a dead letter with every attempt's error.

        Args:
            lease (Lease): The right to it.
            error (ErrorFacts): Why.
            step (int | None): The recorded step that failed; made again if the letter is revived.
            usage (Usage | None): All that its run used.
            uses_attempt (bool): False for `deadline-passed` and the like.

        Raises:
            LeaseLost: It is no longer this worker's.
        """
        ...

    async def park(self, lease: Lease, wait: Wait) -> None:
        """Let a message wait without a worker, no attempt used.

        With `wait.until` it is `later`, without it, or with `wait.events`, it is `waiting`; if one of the events
        has come by now it is ready. A wait without a stated end (no `until`, or `open_ended`) is counted from
        the first such wait on (`Lease.waiting_since`), until the message waits for something else, is woken,
        retried, decided on or revived.

        Args:
            lease (Lease): The right to it.
            wait (Wait): For what.

        Raises:
            LeaseLost: It is no longer this worker's.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Give a message back, ready at once (or held, if its route is blocked), no attempt and no crash counted (orderly stop).

        Args:
            lease (Lease): The right to it.

        Raises:
            LeaseLost: It is no longer this worker's.
        """
        ...

    async def cancel(self, id: MessageId, *, tenant: str | None = None, children: bool = True, by: Actor | None = None) -> View:
        """Call a message off.

        One that nobody holds is cancelled at once. One that runs is marked: no new step of it may begin, its
        worker is told (`called_off`), and whatever it then does with the lease - retry, bury, park, release,
        even dying - makes the message `cancelled`; only a `done` that is committed first wins.

        Args:
            id (MessageId): Which.
            tenant (str | None): Only if it is this tenant's.
            children (bool): Also call off what its run has sent and has not ended, and what those have sent.
            by (Actor | None): Who does it, for the audit log.

        Returns:
            View: As it is now. Cancelling a cancelled message changes nothing.

        Raises:
            NotFound: No such message (of this tenant).
            Conflict: It has ended.
        """
        ...

    async def called_off(self, worker: WorkerId) -> Sequence[MessageId]:
        """List what a worker holds and somebody has called off. Cheap; asked whenever something has changed.

        Args:
            worker (WorkerId): Who asks.

        Returns:
            Sequence[MessageId]: To be brought to an end now.
        """
        ...

    async def signal(self, id: MessageId, name: str, data: bytes, *, tenant: str | None = None, key: str | None = None) -> View:
        """Tell a message something, for which its run waits or will wait (`run.wait_for`).

        A signal is kept until a wait takes it, oldest first; a message that waits for one of that name is woken.

        Args:
            id (MessageId): Which.
            name (str): Which of the things it may wait for.
            data (bytes): JSON; what the wait returns.
            tenant (str | None): Only if it is this tenant's.
            key (str | None): Makes a repeated signal one: the same key and name again changes nothing.

        Returns:
            View: As it is then.

        Raises:
            NotFound: No such message (of this tenant).
            Conflict: It has ended, or too many signals wait to be taken.
            DedupConflict: The key came with other data.
        """
        ...

    async def group(self, id: GroupId, *, tenant: str | None = None) -> Group:
        """Look how far a group has come.

        Args:
            id (GroupId): Which.
            tenant (str | None): Only if it is this tenant's.

        Returns:
            Group: In kept numbers.

        Raises:
            NotFound: No such group (of this tenant).
        """
        ...

    async def members(self, id: GroupId, *, limit: int = 100, cursor: str | None = None, tenant: str | None = None) -> Members:
        """List what became of a group's messages.

        Args:
            id (GroupId): Which.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): Where the page before ended.
            tenant (str | None): Only if it is this tenant's.

        Returns:
            Members: In the order of putting.

        Raises:
            NotFound: No such group (of this tenant).
            InvalidInput: The cursor is none of ours.
        """
        ...

    async def close_group(self, id: GroupId, *, tenant: str | None = None) -> Group:
        """Say that an open group is complete: from now on its join waits for what is there.

        Args:
            id (GroupId): Which; a closed one stays as it is.
            tenant (str | None): Only if it is this tenant's.

        Returns:
            Group: As it is then.

        Raises:
            NotFound: No such group (of this tenant).
        """
        ...

    async def revive(self, id: MessageId, *, tenant: str | None = None, edit: Edit | None = None, by: Actor | None = None) -> View:
        """Give a dead letter another life with all its attempts, its journal and its log kept.

        Its crashes are forgotten with its error; what it needs of a worker is as at first. It joins its session at
        the end, unless that stands because of it (`on_dead` is `block`): then it goes on from the head.

        Args:
            id (MessageId): Which.
            tenant (str | None): Only if it is this tenant's.
            edit (Edit | None): What is to be different about it first, as by `DeadLetters.edit`.
            by (Actor | None): Who does it, for the audit log.

        Returns:
            View: As it is now: ready, or held.

        Raises:
            NotFound: No such message (of this tenant).
            Conflict: It is no dead letter, or its deadline has passed, so that it would be buried at once.
        """
        ...

    async def get(self, id: MessageId, *, tenant: str | None = None) -> View:
        """Look at one message.

        Args:
            id (MessageId): Which.
            tenant (str | None): Only if it is this tenant's.

        Returns:
            View: With its result, error and usage.

        Raises:
            NotFound: No such message (of this tenant).
        """
        ...

    async def list(self, filter: Filter, *, limit: int = 50, cursor: str | None = None) -> Page:
        """List messages, those put last first. Results and bodies are included.

        Args:
            filter (Filter): Which.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): Where the page before ended.

        Returns:
            Page: Costs what it returns, whatever the backlog.

        Raises:
            InvalidInput: The cursor is none of ours.
        """
        ...

    async def attempts(self, id: MessageId) -> Sequence[Attempt]:
        """List what went wrong with a message so far, oldest first.

        Args:
            id (MessageId): Which.

        Returns:
            Sequence[Attempt]: Empty where nothing did.
        """
        ...

    async def queues(self) -> Sequence[QueueStatus]:
        """List queues that ever had a message or were paused, by name.

        Returns:
            Sequence[QueueStatus]: From kept counters.
        """
        ...

    async def pause(self, queue: str | None, *, why: str | None = None, by: Actor | None = None) -> None:
        """Stop leasing from a queue, or from all. Running messages go on. It stands until it is lifted, whatever restarts.

        Args:
            queue (str | None): Its name; None for everything.
            why (str | None): What to tell whoever asks.
            by (Actor | None): Who does it, for them and for the audit log.
        """
        ...

    async def resume(self, queue: str | None, *, by: Actor | None = None) -> None:
        """Lift a pause. Lifting the pause of everything leaves single queues paused.

        Args:
            queue (str | None): Its name; None for everything.
            by (Actor | None): Who does it, for the audit log.
        """
        ...

    async def paused(self) -> bool:
        """Tell whether everything is paused.

        Returns:
            bool: True after `pause(None)`.
        """
        ...

    async def pause_of_all(self) -> Pause | None:
        """Tell who paused everything.

        Returns:
            Pause | None: None unless everything is paused.
        """
        ...

    async def close_lane(self, lane: str, *, until: Moment, why: str) -> None:
        """Let nothing of a lane start before a moment (a rate limit, an account that needs a person).

        Args:
            lane (str): `provider/model`.
            until (Moment): When it opens by itself; an earlier one than stands is ignored.
            why (str): Error code, for people.
        """
        ...

    async def open_lane(self, lane: str, *, by: Actor | None = None) -> bool:
        """Open a lane by hand, whatever closed it: its messages may start, and what its book says against a start is forgotten.

        Those of its messages that were parked until a moment for a limit or an account, a thousand at most, are due within a
        second. Whoever meets the same again closes it again.

        Args:
            lane (str): `provider/model`.
            by (Actor | None): Who does it, for the audit log.

        Returns:
            bool: False if it was open; then nothing is changed.
        """
        ...

    async def set_limit(self, limit: Limit) -> LimitStatus:
        """Let only so many messages of a queue, agent, tenant or key be ready or leased at once.

        What is ready beyond a new limit is held, those put last; of a large backlog tending does the rest. What
        already counts under it when it is lowered runs out. When it is raised, held ones are admitted, by
        priority and tag.

        Args:
            limit (Limit): In place of the one of its scope and name, if there is one.

        Returns:
            LimitStatus: As it stands now.
        """
        ...

    async def drop_limit(self, scope: Scope, name: str) -> bool:
        """Lift a limit; what it held is admitted, of a large backlog by and by.

        Args:
            scope (Scope): Of what kind.
            name (str): Of whom.

        Returns:
            bool: Whether there was one.
        """
        ...

    async def limits(self) -> Sequence[LimitStatus]:
        """List the limits, by scope and name.

        Returns:
            Sequence[LimitStatus]: With kept numbers.
        """
        ...

    async def tend(self) -> Tended:
        """Do what time demands: deadlines, waits that took too long, due messages, limits, old changes.

        First, a message that is ready under a limit while its route is blocked (but not for want of a quarantine
        process) is held, so that others have its place, and those held are admitted whose route is open again.
        Then in this order, for messages nobody holds: a passed deadline makes a dead letter
        `deadline-passed`; a wait without a stated end longer than `max_wait_s` one with the account's
        own error, or `waited-too-long`; a ready message on a blocked route (`View.blocked_by`) likewise,
        counted from when the block was first seen by this method or the message became ready,
        whichever was later; and one held since so long; what is due becomes ready, the earliest due first. None of
        this uses an attempt.

        Any living worker may call it at any moment; costs one look when there is nothing to do. At
        most 1,000 messages of a kind move per call.

        Returns:
            Tended: What was done.
        """
        ...

    async def changes(self, after: int, *, limit: int = 1000, tenant: str | None = None) -> Sequence[Change]:
        """Read the change sequence.

        Args:
            after (int): Only changes with a larger number.
            limit (int): At most this many.
            tenant (str | None): Only this tenant's.

        Returns:
            Sequence[Change]: In order. Kept for an hour, unless the settings say otherwise.
        """
        ...

    async def last_change(self) -> int:
        """Tell the number of the newest change.

        Returns:
            int: 0 in a new store.
        """
        ...

    def heard(self) -> int:
        """Tell the newest change that this process has heard of. Asks nobody; to be passed to `changed` after a look.

        Returns:
            int: Never more than `last_change`.
        """
        ...

    async def changed(self, after: int, *, timeout_s: float) -> int:
        """Wait until something changes, in whichever process.

        Args:
            after (int): The newest change the caller knows.
            timeout_s (float): Wait no longer than this.

        Returns:
            int: The newest change now; `after` if nothing happened in time.
        """
        ...

    async def counters(self) -> Mapping[str, int]:
        """Read the kept totals of the installation.

        Returns:
            Mapping[str, int]: From steps: `possibly_paid_twice`, `hedged`, `divergences`, `calls`,
            `input_tokens`, `output_tokens`. Messages that crashed: `crashes`. Workers declared dead: `reaped`. Writes
            refused for a stale lease: `refused_stale`. Absent means none yet.
        """
        ...
