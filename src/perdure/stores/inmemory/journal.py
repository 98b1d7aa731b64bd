"""The steps of runs, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from perdure.agents.journal import Decision, Intent, Journal, MemoryWrite, Obtained, Step, StepKind, StepState, enough, missed
from perdure.clock import Moment
from perdure.errors.base import Conflict, ErrorFacts, NotFound, RunCancelled
from perdure.messages.children import Outcome, failure_of, not_sent, outcomes_as_json, too_deep
from perdure.messages.dead import after_decision
from perdure.messages.ids import write
from perdure.messages.message import ENDS, Lease, MessageId, Move, NewMessage, State
from perdure.messages.spending import Bill, to_nano
from perdure.resources.usage import Usage
from perdure.security.audit import Actor
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.messages import InMemoryMessages
from perdure.stores.inmemory.rows import Row
from perdure.stores.inmemory.spending import charge, check, hold, save

__all__ = ["InMemoryJournal"]


@dataclass(frozen=True)
class InMemoryJournal(Journal):
    """Keeps steps by message and number.

    Args:
        contents (Contents): What the store keeps.
    """

    contents: Contents

    async def steps(self, id: MessageId, *, shown: bool = True, after: int = 0, most_bytes: int | None = None) -> list[Step]:
        """Read the steps of a message's run, by number."""
        with self.contents.open():
            kept = self.contents.steps.get(id, {})
            steps = [kept[number] for number in sorted(kept) if number > after]
        return list(enough(steps if shown else [msgspec.structs.replace(step, request=None) for step in steps], most_bytes))

    async def intend(self, lease: Lease, intent: Intent) -> None:
        """Commit that a step is about to be made."""
        with self.contents.open() as now:
            self._may_begin(lease)
            check(self.contents, intent.bill)
            self._begin(lease, intent, now)
            hold(self.contents, intent.bill)

    async def record(
        self,
        lease: Lease,
        number: int,
        result: bytes,
        *,
        usage: Usage | None = None,
        memory: MemoryWrite | None = None,
        bill: Bill | None = None,
        lane: str | None = None,
    ) -> None:
        """Commit a step's result."""
        with self.contents.open() as now:
            step = self._intended(lease, number)
            step = step if lane is None else msgspec.structs.replace(step, lane=lane)
            self._end(lease, step, now, state=StepState.DONE, result=result, usage=usage)
            self._remember(lease, memory)
            charge(self.contents, bill, usage)

    async def settle(self, lease: Lease, intent: Intent, result: bytes, *, memory: MemoryWrite | None = None) -> None:
        """Commit a step that has no outside effect in one go."""
        with self.contents.open() as now:
            step = self._begin(lease, intent, now)
            self._end(lease, step, now, state=StepState.DONE, result=result)
            self._remember(lease, memory)

    async def obtain(self, lease: Lease, intent: Intent) -> Obtained | None:
        """Begin to wait for something, or take it if it is there."""
        with self.contents.open() as now:
            row, before = self._may_begin(lease), self.contents.steps.get(lease.message.id, {}).get(intent.number)
            if before is not None and before.state is StepState.DONE:
                raise Conflict(f"step {intent.number} of message {write(row.message.id)!r} is recorded already")
            for child in intent.children:
                if child not in self.contents.rows or self.contents.rows[child].message.parent != row.message.id:
                    raise not_sent(child)
            step = before if before is not None and before.state is StepState.INTENT else self._begin(lease, intent, now)
            obtained = self._signal(row, intent) if intent.signal is not None else self._children(row, intent)
            if obtained is not None:
                state = StepState.DONE if obtained.error is None else StepState.FAILED
                self._end(lease, step, now, state=state, result=obtained.result, error=obtained.error)
            return obtained

    async def send(self, lease: Lease, intent: Intent, messages: Sequence[NewMessage], *, max_depth: int) -> list[MessageId]:
        """Put messages and record the step that sends them."""
        with self.contents.open() as now:
            row = self._may_begin(lease)
            if row.depth + 1 > max_depth:
                raise too_deep(row.depth + 1, max_depth)
            step = self._begin(lease, intent, now)
            kin = {"parent": row.message.id, "tenant": row.message.tenant, "dedup_key": None}
            receipts = InMemoryMessages(self.contents).accept([msgspec.structs.replace(new, **kin) for new in messages])
            for receipt in receipts:
                self.contents.rows[receipt.id].depth = row.depth + 1
            self._end(lease, step, now, state=StepState.DONE, result=msgspec.json.encode([write(one.id) for one in receipts]))
            return [receipt.id for receipt in receipts]

    async def fail(self, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None = None, bill: Bill | None = None) -> None:
        """Commit that a step failed."""
        with self.contents.open() as now:
            step = self._intended(lease, number)
            self._end(lease, step, now, state=StepState.FAILED, error=error, usage=usage)
            charge(self.contents, bill, usage)

    async def defer(self, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None = None, bill: Bill | None = None) -> None:
        """Commit that a step did not happen and will be made again."""
        with self.contents.open() as now:
            step = self._intended(lease, number, or_in=StepState.FAILED)
            self._end(lease, step, now, state=StepState.AGAIN, error=error, usage=usage)
            charge(self.contents, bill, usage)

    async def handle(self, lease: Lease, number: int, handle: str) -> None:
        """Commit what the provider calls a call that is under way."""
        with self.contents.open():
            step = self._intended(lease, number)
            self.contents.steps[lease.message.id][number] = msgspec.structs.replace(step, handle=handle)

    async def replayed(self, lease: Lease, saved: Usage) -> None:
        """Count recorded answers of models that were replayed instead of paid for."""
        with self.contents.open() as now:
            row = self.contents.held(lease)
            save(self.contents, lease, saved, now)
            self.contents.counters["replayed_cost_nanousd"] += to_nano(saved.cost_usd)
            row.replayed = saved if row.replayed is None else row.replayed + saved
            self.contents.counters["replayed_calls"] += saved.calls
            self.contents.counters["replayed_input_tokens"] += saved.input_tokens or 0
            self.contents.counters["replayed_output_tokens"] += saved.output_tokens or 0

    async def decide(
        self, id: MessageId, number: int, decision: Decision, *, by: str, result: bytes | None = None, tenant: str | None = None
    ) -> None:
        """Say what became of a step whose outcome is unknown."""
        with self.contents.open() as now:
            row = self.contents.row(id, tenant)
            step = self.contents.steps.get(id, {}).get(number)
            if step is None:
                raise NotFound(f"message {write(id)!r} has no step {number}")
            if row.state is not State.WAITING or row.wait is None or (row.wait.why, row.wait.step) != ("outcome-unknown", number):
                raise Conflict(
                    f"message {write(id)!r} does not wait for the outcome of step {number}",
                    hint="Only a message that waits as `outcome-unknown` can be decided, and only once.",
                )
            self.contents.note_deed(Actor(by), "step.decide", write(id), step=number, decision=decision.value)
            self._decided(row, msgspec.structs.replace(step, decided_by=by), decision, result or b"null", now)

    def _decided(self, row: Row, step: Step, decision: Decision, result: bytes, now: Moment) -> None:
        kept = self.contents.steps[row.message.id]
        self.contents.tells("step.decided", row, step=step.number, decision=decision.value)
        if decision is Decision.BURY:
            kept[step.number] = step
            row.error = after_decision(step.number, row.wait)
            self.contents.move(row, Move.BURY)
            self.contents.total(row, "dead")
            return
        if decision is Decision.HAPPENED:
            step = msgspec.structs.replace(step, state=StepState.DONE, result=result, error=None, ended_at=now)
        else:
            step = msgspec.structs.replace(step, state=StepState.AGAIN, ended_at=now)
        kept[step.number] = step
        self.contents.move(row, Move.WAKE)

    def _signal(self, row: Row, intent: Intent) -> Obtained | None:
        for signal in row.signals:
            if signal.name == intent.signal and signal.step is None:
                signal.step = intent.number
                return Obtained(result=signal.data)
        return None

    def _children(self, row: Row, intent: Intent) -> Obtained | None:
        self.contents.kin.awaited[row.message.id, intent.number] = set(intent.children)
        children = [self.contents.rows[child] for child in intent.children]
        if any(child.state not in ENDS for child in children):
            return None
        outcomes = [
            Outcome(id=write(one.message.id), state=one.state, result=msgspec.Raw(one.result or b"null"), error=one.error)
            for one in children
        ]
        error = None if intent.lenient else failure_of(outcomes)
        return Obtained(error=error) if error is not None else Obtained(result=outcomes_as_json(outcomes))

    def _may_begin(self, lease: Lease) -> Row:
        row = self.contents.held(lease)
        if row.called_off:
            raise RunCancelled(f"message {write(row.message.id)!r} was called off", hint="Nothing new is begun; the run ends.")
        return row

    def _begin(self, lease: Lease, intent: Intent, now: Moment) -> Step:
        self._may_begin(lease)
        kept = self.contents.steps.setdefault(lease.message.id, {})
        before = kept.get(intent.number)
        if before is not None and before.state is StepState.DONE:
            raise Conflict(
                f"step {intent.number} of message {write(lease.message.id)!r} is recorded and is never made again",
                hint="Return the recorded result.",
            )
        step = Step(
            number=intent.number,
            key=intent.key,
            state=StepState.INTENT,
            attempt=lease.attempt,
            tries=1 if before is None else before.tries + 1,
            ambiguous=intent.ambiguous + (0 if before is None else before.ambiguous),
            began_at=now,
            until=intent.until,
            idempotent=intent.idempotent,
            diverged=intent.diverged or (before is not None and before.diverged),
            tool_version=intent.tool_version,
            request=intent.request,
            usage=None if before is None else before.usage,
            lane=intent.lane,
            failed_tries=() if before is None else missed(before.failed_tries, before.ended_at, before.lane, before.error),
        )
        kept[intent.number] = step
        self.contents.counters["divergences"] += intent.diverged
        self.contents.counters["possibly_paid_twice"] += intent.ambiguous and intent.key.kind is StepKind.LLM
        return step

    def _intended(self, lease: Lease, number: int, *, or_in: StepState = StepState.INTENT) -> Step:
        self.contents.held(lease)
        step = self.contents.steps.get(lease.message.id, {}).get(number)
        if step is None or step.state not in {StepState.INTENT, or_in}:
            raise Conflict(
                f"step {number} of message {write(lease.message.id)!r} is not under way",
                hint="`intend` comes first, and each intent has one outcome.",
            )
        return step

    def _end(
        self,
        lease: Lease,
        step: Step,
        now: Moment,
        *,
        state: StepState,
        result: bytes | None = None,
        error: ErrorFacts | None = None,
        usage: Usage | None = None,
    ) -> None:
        total = usage if step.usage is None else step.usage if usage is None else step.usage + usage
        ended = msgspec.structs.replace(step, state=state, ended_at=now, result=result, error=error, usage=total)
        self.contents.steps[lease.message.id][step.number] = ended
        if usage is not None:
            self.contents.counters["calls"] += usage.calls
            self.contents.counters["hedged"] += usage.hedged
            self.contents.counters["input_tokens"] += usage.input_tokens or 0
            self.contents.counters["output_tokens"] += usage.output_tokens or 0
            self.contents.counters["cost_nanousd"] += to_nano(usage.cost_usd)
            self.contents.counters["unpriced_calls"] += usage.unpriced

    def _remember(self, lease: Lease, memory: MemoryWrite | None) -> None:
        if memory is None:
            return
        space = self.contents.memory.setdefault((lease.message.tenant, memory.space), {})
        if memory.key is None:
            space.clear()
        elif memory.value is None:
            space.pop(memory.key, None)
        else:
            space[memory.key] = memory.value
