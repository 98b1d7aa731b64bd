"""An advisory lock for each worker, so that its death is seen the moment it happens, from any host.

A process holds the locks of its workers on one connection of its own. However it ends, its end of the
connection is closed with it, and the server frees them. A lock that is free proves nothing if the server has
just started, or the connection alone was cut: it is then taken again at once. So a worker is called gone only
if its lock was free twice, with a moment between. Behind a pooler there are no such locks; then the age of the
heartbeat alone decides.
"""

from __future__ import annotations

import asyncio
import logging
import zlib

from perdure.clock import awake, chance
from perdure.messages.message import WorkerId
from perdure.stores.postgres.border import FOREIGN, border
from perdure.stores.postgres.connection import Address, Connection, connect, discard, farewell
from perdure.stores.postgres.dialect import own, text_of
from perdure.stores.sql.engine import Locks
from perdure.stores.sql.statements import Run

__all__ = ["WorkerLocks"]

_HOLD, _RELEASE, _KNOWN, _FORGET = (text_of(own(f"lock_{verb}")).text for verb in ("hold", "release", "known", "forget"))
_FREE = own("locks_free")
_SURE_AFTER_S, _FORGOTTEN_AFTER_S = 0.35, 5.0
_ANSWER_S = 10.0
_TROUBLE_S = 0.1
_log = logging.getLogger("perdure.stores")


class WorkerLocks(Locks):
    """The locks that this process holds, and a look at the others'. Used on one loop.

    Args:
        address (Address): Where the database is.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._held: set[WorkerId] = set()
        self._connection: Connection | None = None
        self._using = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None
        self._found_free: dict[WorkerId, tuple[float, float]] = {}
        self._free: set[WorkerId] = set()
        self._looked_with: Run | None = None

    async def hold(self, worker: WorkerId) -> None:
        """Hold a worker's lock for as long as this process lives."""
        if not self._address.flags.advisory:
            return
        async with self._using:
            with border():
                connection = await self._connected()
                await connection.execute(_HOLD, self._key(worker))
                await connection.execute(_KNOWN, worker)
        self._held.add(worker)

    async def release(self, worker: WorkerId) -> None:
        """Let go of a worker's lock, whoever held it."""
        if not self._address.flags.advisory:
            return
        async with self._using:
            with border():
                connection = await self._connected()
                if worker in self._held:
                    await connection.execute(_RELEASE, self._key(worker))
                    self._held.discard(worker)
                await connection.execute(_FORGET, worker)

    def is_free(self, run: Run, worker: WorkerId) -> bool:
        """Tell whether a worker's process is certainly gone."""
        if not self._address.flags.advisory or worker in self._held:
            return False
        if self._looked_with is not run:  # all at once, the first time one is asked for
            self._free, self._looked_with = {one for one, free in run(_FREE, (self._key(WorkerId(0)),)) if free}, run
        if worker not in self._free:
            self._found_free.pop(worker, None)
            return False
        now = awake()
        first, last = self._found_free.get(worker, (now, now))
        if now - last > _FORGOTTEN_AFTER_S:  # nobody has looked meanwhile: that is no proof
            first = now
        self._found_free[worker] = (first, now)
        return now - first >= _SURE_AFTER_S

    async def close(self) -> None:
        """Let go of all: whoever still holds a message here is dead to the others."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        self._held.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            await farewell(connection)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = connection = await connect(self._address, role="locks", answer_s=_ANSWER_S)
            connection.add_termination_listener(self._lost)
            try:
                for worker in self._held:
                    await connection.execute(_HOLD, self._key(worker))
            except BaseException:
                discard(connection)
                raise
        return self._connection

    def _lost(self, connection: object) -> None:
        if connection is self._connection and self._held and (self._keeping is None or self._keeping.done()):
            self._keeping = asyncio.get_running_loop().create_task(self._take_again())

    async def _take_again(self) -> None:
        while self._held:
            try:
                async with self._using:
                    await self._connected()
            except FOREIGN as error:
                _log.warning("the locks of this process's workers are not held for now: %s", error)
                await asyncio.sleep(_TROUBLE_S * (0.5 + chance()))
            else:
                return

    def _key(self, worker: WorkerId) -> int:
        """Locks are shared by the whole database: each schema has numbers of its own."""
        return (zlib.crc32(self._address.schema.encode()) & 0x7FFFFFFF) << 32 | worker
