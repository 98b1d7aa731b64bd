"""Messages and queues in PostgreSQL: the shared view, with the hot calls in statements for many."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Sequence

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts, LeaseLost, StoreClosed
from perdure.messages.groups import NewGroup
from perdure.messages.limits import Limit, LimitStatus, Scope
from perdure.messages.message import GroupId, Lease, NewMessage, Receipt, Wait, WorkerId
from perdure.messages.routes import Route
from perdure.messages.store import Ended
from perdure.resources.usage import Usage
from perdure.stores.postgres.endings import Endings
from perdure.stores.postgres.engine import Engine
from perdure.stores.postgres.hot import ask, hot
from perdure.stores.postgres.interned import Interned
from perdure.stores.postgres.leasing import Leasing
from perdure.stores.postgres.limits import KnownLimits
from perdure.stores.postgres.putting import Putting
from perdure.stores.postgres.received import ReceivedMessages
from perdure.stores.postgres.setbacks import Setbacks
from perdure.stores.postgres.takeover import return_all

__all__ = ["PostgresMessages"]

_MARKS = hot("route_marks")


class PostgresMessages(ReceivedMessages):
    """Keeps messages until each has ended.

    Args:
        engine (Engine): Of the store.
    """

    _returned = staticmethod(return_all)

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._ground = engine
        self._limits = KnownLimits(engine)
        self._hot: tuple[Putting, Leasing, Endings, Setbacks] | None = None
        self._seen: tuple[object, builtins.list[Route]] = (None, [])

    def open(self) -> None:
        """Begin to gather calls; once the engine is open."""
        names = Interned(self._ground)
        put = Putting(self._ground, names, self._limits)
        self._hot = (put, Leasing(self._ground, names), Endings(self._ground, names), Setbacks(self._ground))

    async def close(self) -> None:
        """Write what was accepted, then end; before the engine is closed."""
        parts, self._hot = self._hot, None
        for part in parts or ():
            await part.close()

    async def put(self, messages: Sequence[NewMessage], *, group: NewGroup | GroupId | None = None) -> builtins.list[Receipt]:
        """Accept messages: all of them, or none."""
        return await self._parts()[0].put(messages, group)

    async def routes(self) -> builtins.list[Route]:
        """List every route there is, with what stands against it; one look, if nothing has changed."""
        [mark] = await ask(self._ground, _MARKS)
        if self._seen[0] != mark:
            self._seen = (mark, await super().routes())
        return self._seen[1]

    async def lease(self, routes: Sequence[Route], *, limit: int, worker: WorkerId) -> builtins.list[Lease]:
        """Take the most urgent ready messages of some routes."""
        taking = asyncio.ensure_future(self._parts()[1].lease(routes, limit, worker))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(self._give_back)
            raise

    async def done(self, lease: Lease, result: bytes, *, usage: Usage | None = None, code_version: str | None = None) -> None:
        """End a message well."""
        [lost] = await self.done_many([Ended(lease=lease, result=result, usage=usage, code_version=code_version)])
        if lost is not None:
            raise lost

    async def done_many(self, ended: Sequence[Ended]) -> builtins.list[LeaseLost | None]:
        """End many messages well, in one commit."""
        return await self._parts()[2].done(ended)

    async def set_limit(self, limit: Limit) -> LimitStatus:
        """Let only so many run at once."""
        try:
            return await super().set_limit(limit)
        finally:
            self._limits.forget()

    async def drop_limit(self, scope: Scope, name: str) -> bool:
        """Lift a limit."""
        try:
            return await super().drop_limit(scope, name)
        finally:
            self._limits.forget()

    async def retry(self, lease: Lease, error: ErrorFacts, *, at: Moment, step: int | None = None, usage: Usage | None = None) -> None:
        """Use up this attempt and try again at a moment."""
        if not await self._parts()[3].retry(lease, error, at=at, step=step, usage=usage):
            await super().retry(lease, error, at=at, step=step, usage=usage)

    async def bury(
        self, lease: Lease, error: ErrorFacts, *, step: int | None = None, usage: Usage | None = None, uses_attempt: bool = True
    ) -> None:
        """Give a message up."""
        if not await self._parts()[3].bury(lease, error, step=step, usage=usage, uses_attempt=uses_attempt):
            await super().bury(lease, error, step=step, usage=usage, uses_attempt=uses_attempt)

    async def park(self, lease: Lease, wait: Wait) -> None:
        """Let a message wait without a worker, no attempt used."""
        if not await self._parts()[3].park(lease, wait):
            await super().park(lease, wait)

    async def release(self, lease: Lease) -> None:
        """Give a message back, ready at once."""
        if not await self._parts()[3].release(lease):
            await super().release(lease)

    def _parts(self) -> tuple[Putting, Leasing, Endings, Setbacks]:
        if self._hot is None:
            raise StoreClosed("the store is closed", hint="Use it inside its `async with` block.")
        return self._hot
