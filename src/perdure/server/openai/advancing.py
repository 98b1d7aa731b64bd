"""Batches go on: whichever server takes one does a part of it, and writes how far that came.

Theory of operation: the lines are checked, then put as messages of one group, each with a key by which a repeated put brings
the same message again. From then on the workers do the work, and the batch is only looked at. When all its messages have
ended, what came of them is written into files page by page, and the files are seen together with the end of the batch. A server
that dies in the middle of anything leaves a batch that is due again when its time is up; who takes it checks anew, goes on
putting where the last commit was, or begins new files, and no message is made or paid twice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import msgspec

from perdure.agents.chat import chat
from perdure.errors.base import Conflict, DedupConflict, LeaseLost, NotFound, StoreError
from perdure.errors.handler import handle
from perdure.messages.batches import Batch, BatchProblem, BatchState, Taken, batch_lost
from perdure.messages.files import PIECE_BYTES, NewFile
from perdure.messages.groups import Group, Member, Members, NewGroup
from perdure.messages.message import ENDS, GroupId, MessageId, NewMessage, Receipt, State
from perdure.server.core import Core
from perdure.server.openai.lines import Bite, Lines
from perdure.server.openai.outcomes import outcome_line
from perdure.server.openai.response_lines import ResponseLines
from perdure.stores.store import Store

HOLD_S = 20.0
"""How long a batch is left alone whose server says nothing any more."""
LOOK_S = 1.0
"""How far looks at a batch lie apart whose messages are at work."""
_HELD_BACK_S = 3600.0
"""How long what is put only to be called off may not begin."""
_IDLE_S, _AT_ONCE_S = 0.5, 0.01
_PAGE, _PAGE_BYTES = 100, 4 * 1024 * 1024
"""Of answers, at a time."""
_MOST_BREAKS = 5

__all__ = ["HOLD_S", "LOOK_S", "Advancing"]


class Advancing:
    """Takes a batch that is due, and does a part of it.

    Args:
        core (Core): Of the server.
        lines (Lines): Reads what is in their files.
    """

    def __init__(self, core: Core, lines: Lines) -> None:
        self._core, self._lines = core, lines
        self._store, self._clock = core.store, core.clock

    async def once(self) -> float:
        """Do a part of one batch.

        Returns:
            float: Seconds until the next round.
        """
        taken = await self._store.batches.take(lasts_s=HOLD_S)
        if taken is None:
            return _IDLE_S
        try:
            await self._advance(taken)
        except LeaseLost:  # it took too long; whoever has it now goes on
            return _IDLE_S
        except StoreError:
            raise
        except Exception as error:  # the others must go on, whatever is in this one
            handle(error, where="server.batches", what=f"the batch {taken.batch.id} broke", broke=True)
            await self._broken(taken)
        return _AT_ONCE_S

    async def _advance(self, taken: Taken) -> None:
        batch = taken.batch
        unwanted = self._unwanted(batch)
        if batch.state is BatchState.VALIDATING:
            await self._validate(taken, batch)
        elif batch.state is BatchState.FINALIZING:
            await _Writing(self._core, taken).write()
        elif batch.put < batch.total and (not unwanted or batch.group is None):
            await self._put(taken, batch, held_back=unwanted)
        else:
            await self._look(taken, batch)

    def _unwanted(self, batch: Batch) -> bool:
        return batch.cancelling_at is not None or self._clock.now() >= batch.expires_at

    async def _broken(self, taken: Taken) -> None:
        """Try it again later, and give it up in the end: nobody is helped by a batch that goes on for ever."""
        batch = await self._store.batches.get(taken.batch.id, tenant=None)
        batch = msgspec.structs.replace(batch, broke=batch.broke + 1)
        if batch.broke >= _MOST_BREAKS:
            problem = BatchProblem(code="server_error", message="Something went wrong inside, again and again; the server's log says what.")
            batch = msgspec.structs.replace(self._at(batch, BatchState.FAILED), problems=(*batch.problems, problem))
        with suppress(LeaseLost):
            await self._store.batches.keep(taken, batch, due_s=HOLD_S)

    async def _validate(self, taken: Taken, batch: Batch) -> None:
        if batch.cancelling_at is not None:
            await self._store.batches.keep(taken, self._at(batch, BatchState.CANCELLED), due_s=0.0)
            return
        checked = await self._lines.check(batch, lambda: self._store.batches.keep(taken, batch, due_s=HOLD_S))
        if checked.problems:
            failed = msgspec.structs.replace(self._at(batch, BatchState.FAILED), problems=checked.problems)
            await self._store.batches.keep(taken, failed, due_s=0.0)
            return
        found = msgspec.structs.replace(self._at(batch, BatchState.IN_PROGRESS), total=checked.total, model=checked.model)
        await self._store.batches.keep(taken, found, due_s=0.0)

    async def _put(self, taken: Taken, batch: Batch, *, held_back: bool) -> None:
        """Put what is not put yet.

        A batch that nobody wants any more may have been put by a server that died before it could write so: its first lines are put
        once more, to find their group, and held back meanwhile.
        """
        responses, card = ResponseLines(self._core, batch), await self._store.workers.agent(chat.name)
        due_at = self._clock.now() + _HELD_BACK_S if held_back else None
        async with aclosing(self._lines.messages(batch, card, due_at=due_at)) as bites:
            while (bite := await self._next(bites)) is not None:
                if isinstance(bite, BatchProblem):
                    batch = msgspec.structs.replace(batch, problems=(bite,), total=batch.put)
                    batch = await self._store.batches.keep(taken, batch, due_s=HOLD_S)
                    await self._store.batches.cancel(batch.id, tenant=None)
                    break
                receipts = await self._receipts(batch, bite.messages)
                await responses.keep(bite.lines, receipts)
                further = msgspec.structs.replace(batch, put=batch.put + len(bite.messages), group=receipts[0].group)
                batch = await self._store.batches.keep(taken, further, due_s=HOLD_S)
                if self._unwanted(batch):
                    break
        if batch.group is not None:
            await self._store.messages.close_group(batch.group)
        await self._store.batches.keep(taken, batch, due_s=0.0)

    async def _receipts(self, batch: Batch, messages: Sequence[NewMessage]) -> Sequence[Receipt]:
        group = NewGroup(name=batch.id, open=True) if batch.group is None else batch.group
        try:
            return await self._store.messages.put(messages, group=group)
        except DedupConflict:
            raise
        except Conflict as error:  # closed by whoever was quicker, and calls the batch off
            raise batch_lost(batch.id) from error

    async def _next(self, bites: AsyncGenerator[Bite, None]) -> Bite | BatchProblem | None:
        try:
            return await anext(bites, None)
        except NotFound as error:
            return BatchProblem(code="file_not_found", message=f"{error.message}: it was deleted before all of it was put")

    async def _look(self, taken: Taken, batch: Batch) -> None:
        group = await self._group(batch)
        if group is not None and self._unwanted(batch) and not batch.called_off:
            await self._store.messages.close_group(group.id)  # from now on nobody else puts anything into it
            await self._call_off(taken, batch, group.id)
            batch, group = msgspec.structs.replace(batch, called_off=True), await self._group(batch)
        if group is None or not group.left:
            ended = self._at(batch, BatchState.FINALIZING)
            await self._store.batches.keep(taken, ended, due_s=0.0)
            return
        await self._store.batches.keep(taken, batch, due_s=LOOK_S)

    async def _group(self, batch: Batch) -> Group | None:
        try:
            return None if batch.group is None else await self._store.messages.group(batch.group)
        except NotFound:
            return None

    async def _call_off(self, taken: Taken, batch: Batch, group: GroupId) -> None:
        """What runs is ended by its worker; the next look finds that."""
        cursor: str | None = None
        while True:
            page = await self._store.messages.members(group, limit=_PAGE, cursor=cursor)
            await asyncio.gather(*(self._cancel(one.id) for one in page.members if one.state not in ENDS))
            cursor = page.cursor
            if cursor is None:
                return
            await self._store.batches.keep(taken, batch, due_s=HOLD_S)

    async def _cancel(self, message: MessageId) -> None:
        try:
            await self._store.messages.cancel(message)
        except (Conflict, NotFound):
            return  # it has ended meanwhile

    def _at(self, batch: Batch, state: BatchState) -> Batch:
        return msgspec.structs.replace(batch, state=state, reached={**batch.reached, state.value: self._clock.now()})


class _Writing:
    """The files of one batch, as they are written."""

    def __init__(self, core: Core, taken: Taken) -> None:
        self._store, self._taken, self._clock = core.store, taken, core.clock
        self._output = _Out(core.store, taken.batch, "output")
        self._error = _Out(core.store, taken.batch, "error")
        self._responses = ResponseLines(core, taken.batch)
        self._expired = False
        self._largest = 0
        """The longest answer so far; by it one knows how many can be held at once."""

    async def write(self) -> None:
        """Write what came of each line, and end the batch."""
        try:
            await self._write()
        except BaseException:
            for out in (self._output, self._error):
                await asyncio.shield(out.give_up())
            raise

    async def _write(self) -> None:
        batch, cursor, size, since = self._taken.batch, None, 1, 0
        late = batch.cancelling_at is None and batch.reached[BatchState.FINALIZING.value] >= batch.expires_at
        while (page := await self._page(batch, cursor, size)) is not None:
            for member in page.members:
                self._largest = max(self._largest, len(member.result or b""))
                line, good = await self._line(member, expired=late)
                self._expired = self._expired or (late and member.state not in (State.DONE, State.DEAD))
                await (self._output if good else self._error).add(line)
            cursor = page.cursor
            if cursor is None:
                break
            size, since = max(1, min(_PAGE, _PAGE_BYTES // max(1, self._largest))), since + len(page.members)
            if since >= _PAGE:
                since = 0
                await self._store.batches.keep(self._taken, batch, due_s=HOLD_S)
        await self._end(batch)

    async def _line(self, member: Member, *, expired: bool) -> tuple[bytes, bool]:
        endpoint = self._taken.batch.endpoint
        if endpoint != "/v1/responses":
            return outcome_line(member, endpoint, expired=expired)
        if member.state is not State.DONE:
            await self._responses.unanswered(member)
            return outcome_line(member, endpoint, expired=expired)
        return outcome_line(member, endpoint, expired=expired, response=await self._responses.told(member))

    async def _page(self, batch: Batch, cursor: str | None, size: int) -> Members | None:
        if batch.group is None:
            return None
        try:
            return await self._store.messages.members(batch.group, limit=size, cursor=cursor)
        except NotFound:  # retention was quicker than the batch
            return None

    async def _end(self, batch: Batch) -> None:
        kept = BatchState.EXPIRED if self._expired else BatchState.COMPLETED
        state = BatchState.CANCELLED if batch.cancelling_at is not None else kept
        lost = batch.put - self._output.lines - self._error.lines
        ended = msgspec.structs.replace(
            batch,
            state=state,
            reached={**batch.reached, state.value: self._clock.now()},
            problems=(*batch.problems, *([_forgotten(lost)] if lost > 0 else [])),
            completed=self._output.lines,
            failed=self._error.lines + max(0, lost),
            output_file=await self._output.whole(),
            error_file=await self._error.whole(),
        )
        await self._store.batches.finish(self._taken, ended)
        await self._responses.forget()


def _forgotten(lost: int) -> BatchProblem:
    return BatchProblem(code="results_forgotten", message=f"What came of {lost:,} lines was kept too briefly (`retention`) to be written.")


class _Out:
    """A file of answers, or of errors, that begins with its first line."""

    def __init__(self, store: Store, batch: Batch, kind: str) -> None:
        self.lines = 0
        self._files = store.files
        self._new = NewFile(
            id="file-" + secrets.token_hex(12), tenant=batch.tenant, name=f"{batch.id}_{kind}.jsonl", purpose="batch_output"
        )
        self._held = bytearray()
        self._begun = False

    async def add(self, line: bytes) -> None:
        self.lines += 1
        self._held += line
        while len(self._held) >= PIECE_BYTES:
            await self._put(PIECE_BYTES)

    async def whole(self) -> str | None:
        """Write what is left; its id, or None if there is no line."""
        if self._held:
            await self._put(len(self._held))
        return self._new.id if self._begun else None

    async def give_up(self) -> None:
        if self._begun:
            await self._files.give_up(self._new.id)

    async def _put(self, size: int) -> None:
        if not self._begun:
            await self._files.begin(self._new)
            self._begun = True
        await self._files.write(self._new.id, bytes(self._held[:size]))
        del self._held[:size]
