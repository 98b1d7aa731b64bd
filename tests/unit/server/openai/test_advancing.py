"""Batches go on, whoever dies, is slow, or changes his mind in the middle; time is given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from perdure.config.settings import QueueSettings
from perdure.messages.batches import Batch, BatchState
from perdure.messages.files import NewFile
from perdure.messages.message import State, View
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.messages.store import Filter
from perdure.server.openai import advancing, lines
from perdure.server.openai.advancing import Advancing
from perdure.server.openai.lines import Lines
from perdure.stores.inmemory.store import InMemoryStore
from perdure.testing import FakeClock
from perdure.testing.given import take

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


class Killed(BaseException):
    """The server is gone: nobody handles this."""


class Models:
    """There is one."""

    def deployments(self, name: str | None = None) -> Any:
        return SimpleNamespace(lane=None, name=name or "m")


@dataclass
class Ground:
    """A store, and servers that advance its batches."""

    store: Any
    clock: FakeClock

    def server(self) -> Advancing:
        models: Any = Models()
        core: Any = SimpleNamespace(store=self.store, clock=self.clock, models=models)
        return Advancing(core, Lines(self.store.files, models, QueueSettings(), max_line_bytes=1 << 22, max_depth=64))

    async def order(self, bodies: Sequence[Any], *, endpoint: str = CHAT, id: str = "batch_1") -> None:
        written = [{"custom_id": str(n), "method": "POST", "url": endpoint, "body": body} for n, body in enumerate(bodies)]
        await self.store.files.begin(NewFile(id=f"file-{id}", tenant="default", name="lines", purpose="batch"))
        await self.store.files.write(f"file-{id}", b"".join(json.dumps(one).encode() + b"\n" for one in written))
        await self.store.files.finish(f"file-{id}")
        expires_at = self.clock.now() + 86400
        await self.store.batches.add(
            Batch(id=id, tenant="default", input_file=f"file-{id}", endpoint=endpoint, window="24h", expires_at=expires_at, priority=7)
        )

    async def advance(self, rounds: int = 8) -> None:
        server = self.server()
        for _ in range(rounds):
            await server.once()
            self.clock.pass_by(seconds=advancing.LOOK_S)

    async def batch(self, id: str = "batch_1") -> Batch:
        found: Batch = await self.store.batches.get(id, tenant=None)
        return found

    async def views(self) -> Sequence[View]:
        found: Sequence[View] = (await self.store.messages.list(Filter())).views
        return found

    async def told(self, file: str | None) -> list[Any]:
        if file is None:
            return []
        pieces = (await self.store.files.get(file, tenant=None)).pieces
        whole = b"".join([await self.store.files.read(file, at) for at in range(pieces)])
        return [json.loads(one) for one in whole.splitlines()]


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    clock = FakeClock()
    async with InMemoryStore(clock=clock) as store:
        yield Ground(store, clock)


async def test_what_was_put_before_its_server_died_is_called_off_with_the_batch(ground, monkeypatch):
    await ground.order([ASKED] * 3)
    await ground.advance(1)

    async def dies(*_: Any, **__: Any) -> Batch:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(type(ground.store.batches), "keep", dies)
        with pytest.raises(Killed):
            await ground.server().once()
    assert [view.state for view in await ground.views()] == [State.READY] * 3
    await ground.store.batches.cancel("batch_1", tenant=None)
    await ground.advance()
    batch = await ground.batch()
    assert (batch.state, batch.output_file) == (BatchState.CANCELLED, None)
    assert [view.state for view in await ground.views()] == [State.CANCELLED] * 3
    assert [one["error"]["code"] for one in await ground.told(batch.error_file)] == ["batch_cancelled"] * 3


async def test_what_is_being_put_while_another_calls_the_batch_off_is_refused(ground, monkeypatch):
    monkeypatch.setattr(lines, "_AT_ONCE", 2)
    await ground.order([ASKED] * 6)
    await ground.advance(1)
    kind, reached, go = type(ground.store.messages), asyncio.Event(), asyncio.Event()
    put = kind.put

    async def slow(self: Any, messages: Any, *, group: Any = None) -> Any:
        if isinstance(group, int):  # the first two have begun the group
            reached.set()
            await go.wait()
        return await put(self, messages, group=group)

    monkeypatch.setattr(kind, "put", slow)
    first = asyncio.create_task(ground.server().once())
    await reached.wait()
    await ground.store.batches.cancel("batch_1", tenant=None)
    await ground.server().once()
    go.set()
    await first
    await ground.advance()
    assert (await ground.batch()).state is BatchState.CANCELLED
    assert [view.state for view in await ground.views()] == [State.CANCELLED] * 2


async def test_a_batch_that_breaks_stops_no_other_and_fails_in_the_end(ground, monkeypatch):
    await ground.order([ASKED], id="batch_a")
    await ground.order([ASKED], id="batch_b")
    check = Lines.check

    async def breaks(self: Lines, batch: Batch, still: Any) -> Any:
        if batch.id == "batch_a":
            raise TypeError("nobody foresaw this")
        return await check(self, batch, still)

    monkeypatch.setattr(Lines, "check", breaks)
    await ground.advance(4)
    assert ((await ground.batch("batch_a")).state, (await ground.batch("batch_b")).put) == (BatchState.VALIDATING, 1)
    for _ in range(advancing._MOST_BREAKS):
        ground.clock.pass_by(seconds=advancing.HOLD_S)
        await ground.advance(2)
    broken = await ground.batch("batch_a")
    assert (broken.state, [one.code for one in broken.problems]) == (BatchState.FAILED, ["server_error"])


async def test_what_is_not_to_be_stored_is_forgotten_with_a_batch_that_got_no_answer(ground):
    await ground.order([{"model": "m", "input": "secret", "store": False}, {"model": "m", "input": "kept"}], endpoint=RESPONSES)
    await ground.advance(2)
    await ground.store.batches.cancel("batch_1", tenant=None)
    await ground.advance()
    assert [kept.asked.count(b"secret") for _, kept in ground.store._contents.responses.values()] == [0]


async def test_reading_long_files_is_not_begun_again_by_another_server(ground, monkeypatch):
    monkeypatch.setattr(lines, "_AT_ONCE", 1)
    await ground.order([ASKED] * 4)
    read = Lines._read

    def slow(self: Lines, text: bytes, batch: Batch) -> Any:
        ground.clock.pass_by(seconds=0.75 * advancing.HOLD_S)
        return read(self, text, batch)

    monkeypatch.setattr(Lines, "_read", slow)
    await ground.server().once()
    assert ((await ground.batch()).state, (await ground.batch()).total) == (BatchState.IN_PROGRESS, 4)


async def test_large_answers_are_held_few_at_a_time(ground, monkeypatch):
    await ground.order([ASKED] * 6)
    await ground.advance(2)
    worker = await ground.store.workers.register(WorkerCard(host="here", pid=1, slots=9))
    large = json.dumps({"data": "x" * (advancing._PAGE_BYTES // 2)}).encode()
    for lease in await take(ground.store, worker, 6):
        await ground.store.messages.done(lease, large)
    kind, held = type(ground.store.messages), []
    members = kind.members

    async def seen(self: Any, *given: Any, limit: int, **named: Any) -> Any:
        found = await members(self, *given, limit=limit, **named)
        held.append(sum(len(one.result or b"") for one in found.members))
        return found

    monkeypatch.setattr(kind, "members", seen)
    await ground.advance()
    batch = await ground.batch()
    assert ([one["custom_id"] for one in await ground.told(batch.output_file)], max(held)) == ([*"012345"], len(large))


async def test_a_file_that_is_deleted_before_all_is_put_is_told_and_what_was_put_is_called_off(ground, monkeypatch):
    monkeypatch.setattr(lines, "_AT_ONCE", 1)
    await ground.order([ASKED] * 3)
    await ground.advance(1)
    kind = type(ground.store.messages)
    put = kind.put

    async def dies(self: Any, messages: Any, *, group: Any = None) -> Any:
        if isinstance(group, int):
            raise Killed
        return await put(self, messages, group=group)

    with monkeypatch.context() as dying:
        dying.setattr(kind, "put", dies)
        with pytest.raises(Killed):
            await ground.server().once()
    await ground.store.files.delete("file-batch_1", tenant=None)
    ground.clock.pass_by(seconds=advancing.HOLD_S)
    await ground.advance()
    batch = await ground.batch()
    assert (batch.state, batch.total, [one.code for one in batch.problems]) == (BatchState.CANCELLED, 1, ["file_not_found"])
    assert [view.state for view in await ground.views()] == [State.CANCELLED]


async def test_lines_wait_in_the_queue_of_the_agent_that_answers_them(ground):
    own = AgentCard(name="chat", version="1", queue="llm", attempts=2, timeout_s=7.0)
    await ground.store.workers.register(WorkerCard(host="here", pid=1, slots=1, agents=[own]))
    await ground.order([ASKED])
    await ground.advance(2)
    [view] = await ground.views()
    assert (view.message.queue, view.message.attempts, view.message.timeout_s) == ("llm", 2, 7.0)
