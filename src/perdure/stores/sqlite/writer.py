"""The one writer of a process: a thread that commits the calls of many callers together.

Theory of operation. Waiting for the disk costs the same for one call as for five hundred. So calls
queue up while the disk is busy, and all that have come meanwhile make the next transaction; a lone caller
never waits for company. Calls check before they write, so one that fails has usually written nothing and
the others need no protection from it. Only when a call fails after it has written is the transaction
rolled back and everything in it made again, this time with a savepoint around each call, so that the
one that fails is taken back alone. Callers hear of their result after the commit, all in one go.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import apsw

from perdure.clock import Clock
from perdure.errors.base import PerdureError, StoreClosed
from perdure.errors.handler import handle
from perdure.events import tell
from perdure.stores.sql.names import Names
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sqlite.border import FATAL, translate
from perdure.stores.sqlite.turn import Turn

__all__ = ["Writer"]

T = TypeVar("T")
_MOST_CALLS, _MOST_BYTES = 512, 4 * 1024 * 1024


class _Call:
    __slots__ = ("error", "future", "make", "size_bytes", "value")

    def __init__(self, make: Callable[[Transaction], Any], future: asyncio.Future[Any], size_bytes: int) -> None:
        self.make, self.future, self.size_bytes = make, future, size_bytes
        self.value: Any = None
        self.error: BaseException | None = None


class Writer:
    """Gathers calls and commits them. One per process and file.

    Args:
        connection (apsw.Connection): A writing connection, the thread's own from now on.
        turn (Turn): Its place in the line for the write lock.
        clock (Clock): The store's only source of time.
        heard (Callable[[int], None]): Called on the loop after a commit, with the newest change.
    """

    def __init__(self, connection: apsw.Connection, turn: Turn, clock: Clock, heard: Callable[[int], None]) -> None:
        self._connection, self._turn, self._clock, self._heard = connection, turn, clock, heard
        self._names = Names(connection.execute)
        self._left_at = -1
        """The version of the file that the last transaction left; another one says that somebody else has written."""
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="perdure-writer", daemon=True)
        self._thread.start()

    def submit(self, make: Callable[[Transaction], T], *, size_bytes: int = 0) -> asyncio.Future[T]:
        """Have a call made inside a transaction.

        Args:
            make (Callable[[Transaction], T]): Called in the writer's thread; may be called again.
            size_bytes (int): Roughly how much it writes.

        Returns:
            asyncio.Future[T]: Done once it is committed, or has failed and left nothing.

        Raises:
            StoreClosed: The store is closed.
        """
        if self._closing:
            raise StoreClosed("the store is closed", hint="Use it inside its `async with` block.")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Call(make, future, size_bytes))
        return future

    def close(self) -> None:
        """Commit what was accepted, then end. Blocks; not for the loop's thread."""
        self._closing = True
        self._queue.put(None)
        self._thread.join()
        self._connection.close()
        self._turn.close()

    def _work(self) -> None:
        going = True
        while going:
            calls, going = self._gather()
            calls = [call for call in calls if not call.future.cancelled()]
            if not calls:
                continue
            transaction: Transaction | None = None
            try:
                transaction = self._commit(calls)
            except Exception as error:  # whatever it is, those who wait must hear of it and the thread must live
                self._roll_back()
                for call in calls:
                    call.error = _ours(error)
            with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                self._loop.call_soon_threadsafe(self._answer, calls, transaction)

    def _gather(self) -> tuple[list[_Call], bool]:
        call = self._queue.get()
        calls: list[_Call] = []
        size_bytes = 0
        while call is not None:
            calls.append(call)
            size_bytes += call.size_bytes
            if len(calls) >= _MOST_CALLS or size_bytes >= _MOST_BYTES:
                return calls, True
            try:
                call = self._queue.get_nowait()
            except Empty:
                return calls, True
        return calls, False

    def _commit(self, calls: Sequence[_Call]) -> Transaction:
        transaction = self._begin()
        if not self._make(transaction, calls):
            self._roll_back()
            transaction = self._begin()
            self._make_one_by_one(transaction, calls)
        transaction.flush()
        self._connection.execute("COMMIT")
        self._left_at = self._connection.data_version()
        return transaction

    def _begin(self) -> Transaction:
        connection = self._connection
        self._turn.begin(connection)
        undisturbed = connection.data_version() == self._left_at
        return Transaction(connection.execute, connection.executemany, self._names, self._clock.now(), undisturbed=undisturbed)

    def _make(self, transaction: Transaction, calls: Sequence[_Call]) -> bool:
        """Make all calls; False if one failed after it had written."""
        for call in calls:
            before = self._connection.total_changes()
            try:
                call.value, call.error = call.make(transaction), None
            except FATAL:
                raise
            except Exception as error:  # the caller's to handle, whatever it is
                if self._connection.total_changes() != before:
                    return False
                call.error = error
        return True

    def _make_one_by_one(self, transaction: Transaction, calls: Sequence[_Call]) -> None:
        for call in calls:
            marks, before = transaction.marks(), self._connection.total_changes()
            self._connection.execute("SAVEPOINT call")
            try:
                call.value, call.error = call.make(transaction), None
            except FATAL:
                raise
            except Exception as error:  # the caller's to handle, whatever it is
                call.error = error
                if self._connection.total_changes() != before:
                    self._connection.execute("ROLLBACK TO call")
                    self._names.forget()
                    transaction.back_to(marks)
            self._connection.execute("RELEASE call")

    def _roll_back(self) -> None:
        self._names.forget()
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except apsw.Error as error:
                handle(error, where="store.writer", what="the transaction could not be rolled back", broke=True)

    def _answer(self, calls: Sequence[_Call], transaction: Transaction | None) -> None:
        for call in calls:  # first: whatever happens below, nobody waits for ever. They go on when all is told
            if call.future.done():
                continue
            if call.error is None:
                call.future.set_result(call.value)
            else:
                call.future.set_exception(_ours(call.error))
        if transaction is not None:
            self._heard(transaction.change)
            for name, facts in transaction.events:
                tell(name, **facts)


def _ours(error: BaseException) -> BaseException:
    if not isinstance(error, apsw.Error | UnicodeError):
        return error
    ours: PerdureError = translate(error)
    ours.__cause__ = error
    return ours
