"""Calls of `/v1` with an `Idempotency-Key`: each is made once, whoever hangs up, comes back or dies.

Theory of operation: the call is made by a task of its own, not by the request that asked for it. Requests read what the task
has so far, from its beginning; one that goes away takes nothing with it, one that comes later reads the same from the start.
What was answered is recorded before its last piece is given out, so whoever has all of it will get the same again, of any
server, also after this one was killed. An error, or a stream that broke, is told and not kept: the next to ask with the
same key makes the call again, and if the one before may have been paid for, that is counted.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import msgspec

from perdure.clock import awake
from perdure.errors.base import Billed, CallUnderWay, DedupConflict, InvalidInput, PerdureError, StoreError
from perdure.errors.handler import handle
from perdure.events import tell
from perdure.messages.calls import Begun, CallStore, KeptAnswer, KeyedCall, UnderWay
from perdure.server.answer import Answer, Streamed
from perdure.server.door import Call, Door
from perdure.server.gone import while_there

HEADER = "idempotency-key"
LASTS_S, RENEW_S = 15.0, 4.0
PATIENCE_S = 25.0
"""How long a request waits for a call that another server makes; then it is told to come again."""
_LOOK_S, _LAST_S = 0.25, 5.0
_REPLAYED = (("perdure-replayed", "true"), ("perdure-attempts", "0"), ("perdure-cost-usd", "0"))

__all__ = ["HEADER", "LASTS_S", "Once"]


class Once:
    """Makes the calls of this process that have a key.

    Args:
        store (CallStore): Where they are kept.
    """

    def __init__(self, store: CallStore) -> None:
        self._store = store
        self._beginning: set[asyncio.Task[_Making | UnderWay | KeptAnswer]] = set()
        self._making: dict[tuple[str, str], _Making] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def answer(self, call: Call, door: Door) -> Answer | Streamed:
        """Answer a call with a key.

        Args:
            call (Call): With the key in its headers.
            door (Door): Makes it.

        Returns:
            Answer | Streamed: Made now, under way, or recorded.

        Raises:
            DedupConflict: The key was used for another call.
            CallUnderWay: Another server still makes it.
        """
        asked = _keyed(call, door.path)
        found = await while_there(call.receive, self._found(asked, call, door))
        if found is None:
            return Answer(499)
        if isinstance(found, KeptAnswer):
            call.says[:] = [*_REPLAYED, *found.headers]
            tell("call.replayed", tenant=asked.tenant, request_id=call.request_id)
            return Answer(found.status, found.body, found.media_type)
        making, mine = found
        answer = await while_there(call.receive, making.head())
        if answer is None:
            return Answer(499)
        call.says[:] = [*making.call.says, *(() if mine else _REPLAYED[:1])]
        return answer

    async def close(self) -> None:
        """Stop; what is not made within a moment is left to whoever asks again."""
        tasks = [making.task for making in self._making.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_LAST_S)
            for task in late:
                task.cancel()
            await asyncio.wait(tasks)
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait((self._renewing,))

    async def _found(self, asked: KeyedCall, call: Call, door: Door) -> tuple[_Making, bool] | KeptAnswer:
        until = awake() + PATIENCE_S
        while True:
            making = self._making.get((asked.tenant, asked.key))
            if making is not None:
                if making.asked.fingerprint != asked.fingerprint:
                    raise DedupConflict(f"the key {asked.key[:60]!r} is being used for another call", hint="Use a new key for each call.")
                return making, False
            beginning = asyncio.create_task(self._begin(asked, call, door))
            self._beginning.add(beginning)
            beginning.add_done_callback(self._beginning.discard)
            found = await asyncio.shield(beginning)  # who hangs up now has begun it all the same
            if isinstance(found, _Making):
                return found, True
            if isinstance(found, KeptAnswer):
                return found
            await self._wait(found, until)

    async def _wait(self, found: UnderWay, until: float) -> None:
        if awake() >= until:
            raise CallUnderWay("the call with this key is still being made", retry_at=found.until, hint="Ask again with the same key.")
        await asyncio.sleep(_LOOK_S)

    async def _begin(self, asked: KeyedCall, call: Call, door: Door) -> _Making | UnderWay | KeptAnswer:
        begun = await self._store.begin(asked, lasts_s=LASTS_S)
        if not isinstance(begun, Begun):
            return begun
        own = replace(call, receive=_never_gone, says=[], again=begun.again)
        making = self._making[asked.tenant, asked.key] = _Making(self._store, asked, begun, own, door)
        making.task.add_done_callback(lambda _: self._made(making))
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew())
        return making

    def _made(self, making: _Making) -> None:
        name = (making.asked.tenant, making.asked.key)
        if self._making.get(name) is making:  # and not one that was begun since
            del self._making[name]

    async def _renew(self) -> None:
        while self._making:
            await asyncio.sleep(RENEW_S)
            try:
                await self._store.renew([(making.asked, making.begun) for making in self._making.values()], lasts_s=LASTS_S)
            except StoreError as error:  # the calls go on; whoever asks elsewhere meanwhile may make one again
                handle(error, where="server", what="the calls under way could not be renewed")


class _Making:
    """One call while it is made."""

    def __init__(self, store: CallStore, asked: KeyedCall, begun: Begun, call: Call, door: Door) -> None:
        self.asked, self.begun, self.call = asked, begun, call
        self._store, self._door = store, door
        self._head: asyncio.Future[Answer | Streamed] = asyncio.get_running_loop().create_future()
        self._pieces: list[bytes] = []
        self._over = False
        self._readers: set[asyncio.Event] = set()
        self.task: asyncio.Task[None] = asyncio.create_task(self._run())

    async def head(self) -> Answer | Streamed:
        """Wait until it is known how the answer begins.

        Returns:
            Answer | Streamed: For one reader.
        """
        answer = await asyncio.shield(self._head)
        return replace(answer, pieces=self._read()) if isinstance(answer, Streamed) else answer

    async def _run(self) -> None:
        try:
            answer = await self._door.handle(self.call)
            if isinstance(answer, Streamed):
                await self._stream(answer)
            else:
                await self._whole(answer)
        except PerdureError as error:
            await self._failed(error, paid=self.call.paid or error.billed is not Billed.NO)
        except BaseException as error:
            await self._failed(error, paid=True)
            if not isinstance(error, Exception):
                raise
        finally:
            self._over = True
            self._stir()

    async def _whole(self, answer: Answer) -> None:
        found = await self._recorded(answer, answer.body)
        self._head.set_result(Answer(found.status, found.body, found.media_type, answer.headers))

    async def _stream(self, answer: Streamed) -> None:
        self._head.set_result(answer)
        held: list[bytes] = []
        async for piece in answer.pieces:
            if answer.is_whole():
                held.append(piece)
            else:
                self._pieces.append(piece)
                self._stir()
        if answer.is_whole():
            await self._recorded(answer, b"".join((*self._pieces, *held)))
        else:
            await self._given_up(paid=True)
        self._pieces += held

    async def _recorded(self, answer: Answer | Streamed, body: bytes) -> KeptAnswer:
        lane = [(name, value) for name, value in self.call.says if name == "perdure-lane"]
        kept = KeptAnswer(status=answer.status, media_type=answer.media_type, headers=lane, body=body)
        try:
            return await self._store.record(self.asked, self.begun, kept)
        except StoreError as trouble:  # whoever waits gets it all the same: an answer in hand is worth more than an error
            handle(trouble, where="server", what="an answer could not be recorded")
            return kept

    async def _given_up(self, *, paid: bool) -> None:
        try:
            await self._store.give_up(self.asked, self.begun, paid=paid)
        except StoreError as trouble:  # it counts as being made until its time is up
            handle(trouble, where="server", what="that a call has failed could not be kept")

    async def _failed(self, error: BaseException, *, paid: bool) -> None:
        await self._given_up(paid=paid)
        if not self._head.done():
            self._head.set_exception(error if isinstance(error, Exception) else CallUnderWay("the server stops", hint="Ask again."))
            self._head.exception()  # seen: everybody may have hung up

    async def _read(self) -> AsyncGenerator[bytes, None]:
        news = asyncio.Event()
        self._readers.add(news)
        try:
            at = 0
            while True:
                if at < len(self._pieces):
                    several, at = self._pieces[at:], len(self._pieces)
                    yield b"".join(several)
                elif self._over:
                    return
                else:
                    news.clear()
                    await news.wait()
        finally:
            self._readers.discard(news)

    def _stir(self) -> None:
        for news in self._readers:
            news.set()


def _keyed(call: Call, path: str) -> KeyedCall:
    key = call.headers[HEADER]
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise InvalidInput("Idempotency-Key must be 1 to 255 printable ASCII letters")
    asked = hashlib.sha256(path.encode() + b"\0" + msgspec.json.encode(call.body, order="sorted")).digest()
    return KeyedCall(tenant=call.tenant or "default", key=key, fingerprint=asked)


async def _never_gone() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")
