"""One worker's heartbeat, from a thread, a loop and a connection of its own.

A beat is told in the database's time, by the database itself. A test's clock is asked instead, if there is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from perdure.clock import Clock, awake
from perdure.errors.base import StoreError, WorkerFenced
from perdure.messages.message import WorkerId
from perdure.messages.registry import DEAD_AFTER_S, Heart
from perdure.stores.postgres.border import FOREIGN, border, is_lost
from perdure.stores.postgres.connection import Address, Connection, connect, discard
from perdure.stores.postgres.dialect import own, text_of

__all__ = ["PostgresHeart"]

T = TypeVar("T")
_BEAT = text_of(own("beat")).text
_WAIT_S = 4.0
"""Below half the limit: a beat that could not be made is tried again in time."""


class PostgresHeart(Heart):
    """Beats for one worker.

    Args:
        address (Address): Where the database is.
        worker (WorkerId): For whom.
        given_clock (Clock | None): A test's; None is the database's.
        on_outage (Callable[[], None]): Called when the store could not be reached, or we stood still.
    """

    def __init__(self, address: Address, worker: WorkerId, *, given_clock: Clock | None, on_outage: Callable[[], None]) -> None:
        self._address, self._worker, self._clock, self._on_outage = address, worker, given_clock, on_outage
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Connection | None = None
        self._beaten_at = awake()

    def beat(self) -> None:
        """Say that the worker lives."""
        try:
            with border():
                beaten = self._wait_for(self._beat_in_time())
        except StoreError:
            self._on_outage()
            raise
        if awake() - self._beaten_at > DEAD_AFTER_S:  # we stood still ourselves: let the others beat before they are judged
            self._on_outage()
        self._beaten_at = awake()
        if not beaten:
            raise WorkerFenced(f"worker {self._worker} is not alive", hint="It must stop; whatever it still writes is refused.")

    def close(self) -> None:
        """Let go of the connection."""
        self._let_go()
        if self._loop is not None:
            self._wait_for(asyncio.sleep(0))  # the socket is closed by the loop
            self._loop.close()
            self._loop = None

    def _wait_for(self, beating: Coroutine[Any, Any, T]) -> T:
        """On the loop's own thread another loop cannot run: there a thread is made for it."""
        loop = self._loop = self._loop or asyncio.new_event_loop()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return loop.run_until_complete(beating)
        with ThreadPoolExecutor(1, thread_name_prefix="perdure-heart") as thread:
            return thread.submit(loop.run_until_complete, beating).result()

    async def _beat_in_time(self) -> bool:
        try:
            async with asyncio.timeout(min(_WAIT_S, max(self._address.wait_s, 0.5))):
                try:
                    return await self._beat()
                except FOREIGN as error:
                    if not is_lost(error):
                        raise
                    self._let_go()  # it may have been lost long ago, between two beats
                    return await self._beat()
        except BaseException:
            self._let_go()
            raise

    async def _beat(self) -> bool:
        connection = self._connection
        if connection is None:
            connection = self._connection = await connect(self._address, role="heart", answer_s=_WAIT_S)
        now = None if self._clock is None else self._clock.now()
        if not self._address.preamble:
            return await connection.fetchval(_BEAT, self._worker, now) is not None
        async with connection.transaction():
            await connection.execute(self._address.preamble)
            return await connection.fetchval(_BEAT, self._worker, now) is not None

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            discard(connection)
