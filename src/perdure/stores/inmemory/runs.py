"""Runs made of other runs, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from perdure.agents.journal import Step, StepKind, StepState
from perdure.agents.runs import IMPORTED, RECORDED, Asked, Brought, Ended, Fork, Record, Runs, Said, forked
from perdure.agents.talk import Talk, chain, head_of, split, text_of
from perdure.clock import Moment
from perdure.messages.ids import write
from perdure.messages.message import MessageId, NewMessage, State, View, Wait, after
from perdure.security.audit import Actor
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

    async def fork(self, id: MessageId, fork: Fork, *, tenant: str | None = None, by: Actor | None = None) -> View:
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
            self.contents.note_deed(by, "run.fork", write(new.message.id), original=write(id), step=fork.step)
            return view(self.contents, new, now)

    async def record(self, id: MessageId, *, tenant: str | None = None) -> tuple[View, Record]:
        """Read all there is of a run, as of one moment."""
        with self.contents.open() as now:
            row = self.contents.row(id, tenant)
            kept = self.contents.steps.get(id, {})
            steps = [kept[number] for number in sorted(kept)]
            log, seen = list(row.log), view(self.contents, row, now)
        said, asked = _apart(steps)
        bare = [msgspec.structs.replace(step, request=None) if step.number in asked else step for step in steps]
        return seen, Record(attempts=log, steps=bare, said=said, asked=asked)

    async def bring(self, run: Brought, *, by: Actor | None = None) -> View:
        """Put a message that comes with its journal."""
        with self.contents.open() as now:
            row = await self._put(msgspec.structs.replace(run.message, session=None))  # its line is elsewhere
            self.contents.steps[row.message.id] = {
                step.number: msgspec.structs.replace(
                    step, request=_whole(run.record, step.number) or step.request, origin=MessageId(IMPORTED), handle=None
                )
                for step in run.record.steps
            }
            row.origin, row.used = MessageId(IMPORTED), run.used
            row.log = list(run.record.attempts)
            self._count_results(row)
            if run.ended is not None:
                self._end(row, run.ended, now)
            elif run.wait is not None:
                self._wait(row, run.wait, now)
            goes_on = run.ended is None
            self.contents.note_deed(by, "run.import", write(row.message.id), steps=len(run.record.steps), goes_on=goes_on)
            return view(self.contents, row, now)

    async def _put(self, new: NewMessage) -> Row:
        [receipt] = await InMemoryMessages(self.contents).put([new])
        return self.contents.row(receipt.id)

    def _count_results(self, row: Row) -> None:
        row.results_at_crash = sum(step.state is StepState.DONE for step in self.contents.steps[row.message.id].values())

    def _leave(self, row: Row) -> None:
        had, row.gates, row.held_under, row.state = row.gates, (), None, State.LATER
        self.contents.admit(had)

    def _end(self, row: Row, ended: Ended, now: Moment) -> None:
        self._leave(row)
        row.state, row.ended_at, row.used = ended.state, now, ended.attempts
        row.started_at, row.code_version, row.usage = ended.started_at, ended.code_version, ended.usage
        row.error, row.result = ended.error, ended.result
        self.contents.note(row, None)
        self.contents.total(row, ended.state.value)

    def _wait(self, row: Row, wait: Wait, now: Moment) -> None:
        self._leave(row)
        row.state, row.wait = after(State.LEASED, wait.move), wait
        row.waiting_since = now if wait.is_endless else None
        self.contents.note(row, None)


def _apart(steps: Sequence[Step]) -> tuple[list[Said], dict[int, Asked]]:
    places: dict[bytes, int] = {}
    said: list[Said] = []
    asked: dict[int, Asked] = {}
    for step in steps:
        talk = split(step.request) if step.request is not None and step.key.kind is StepKind.LLM else None
        if talk is None:
            continue
        place = -1
        for name, message in zip(chain(talk.messages), talk.messages, strict=True):
            if name not in places:
                places[name] = len(said)
                said.append(Said(place, message))
            place = places[name]
        asked[step.number] = Asked(text_of(talk.head), place)
    return said, asked


def _whole(record: Record, number: int) -> bytes | None:
    asked = record.asked.get(number)
    if asked is None:
        return None
    messages: list[bytes] = []
    place = asked.last
    while place >= 0:
        place, message = record.said[place]
        messages.append(message)
    return Talk(head_of(asked.head), messages[::-1]).whole()
