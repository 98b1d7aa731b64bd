"""Runs made of other runs, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from perdure.agents.journal import StepState
from perdure.agents.runs import IMPORTED, RECORDED, Brought, Ended, Fork, Runs, forked
from perdure.clock import Moment
from perdure.messages.message import MessageId, NewMessage, State, View, Wait, after
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.messages import InMemoryMessages
from perdure.stores.inmemory.rows import Row
from perdure.stores.inmemory.views import view

__all__ = ["InMemoryRuns"]


@dataclass(frozen=True)
class InMemoryRuns(Runs):
    """Makes runs of other runs.

    Args:
        contents (Contents): What the store keeps.
    """

    contents: Contents

    async def fork(self, id: MessageId, fork: Fork, *, tenant: str | None = None) -> View:
        """Put a message like another one, whose run goes on from a step of that one's."""
        with self.contents.open() as now:
            original = self.contents.row(id, tenant)
            steps = self.contents.steps.get(id, {})
            new = await self._put(forked(original.message, fork, last=max(steps, default=0)))
            self.contents.steps[new.message.id] = {
                number: msgspec.structs.replace(step, origin=id if step.origin is None else step.origin, handle=None)
                for number, step in steps.items()
                if number < fork.step and step.state in RECORDED
            }
            new.origin, new.origin_step = id, fork.step
            self._count_results(new)
            return view(self.contents, new, now)

    async def bring(self, run: Brought) -> View:
        """Put a message that comes with its journal."""
        with self.contents.open() as now:
            row = await self._put(run.message)
            self.contents.steps[row.message.id] = {
                step.number: msgspec.structs.replace(step, origin=MessageId(IMPORTED), handle=None) for step in run.steps
            }
            row.origin, row.used = MessageId(IMPORTED), run.used
            row.log = list(run.attempts)
            self._count_results(row)
            if run.ended is not None:
                self._end(row, run.ended, now)
            elif run.wait is not None:
                self._wait(row, run.wait, now)
            return view(self.contents, row, now)

    async def _put(self, new: NewMessage) -> Row:
        [receipt] = await InMemoryMessages(self.contents).put([new])
        return self.contents.row(receipt.id)

    def _count_results(self, row: Row) -> None:
        row.results_at_crash = sum(step.state is StepState.DONE for step in self.contents.steps[row.message.id].values())

    def _end(self, row: Row, ended: Ended, now: Moment) -> None:
        row.state, row.ended_at, row.used = ended.state, now, ended.attempts
        row.started_at, row.code_version, row.usage = ended.started_at, ended.code_version, ended.usage
        row.error, row.result = ended.error, ended.result
        self.contents.note(row, None)
        self.contents.total(row, ended.state.value)

    def _wait(self, row: Row, wait: Wait, now: Moment) -> None:
        row.state, row.wait = after(State.LEASED, wait.move), wait
        row.waiting_since = now if wait.is_endless else None
        self.contents.note(row, None)
