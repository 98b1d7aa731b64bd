"""Huey on SQLite: threads, results stored, a message is deleted when it is taken (there is no lease)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, body, marks, perform_blocking
from huey import SqliteHuey


class Contender(Peer):
    """`fsync=True`, as for durable use; WAL is its default. Idle workers look every 10 ms at most."""

    blocking = True
    settings = "fsync=True, threads, polls every 10 ms at most"

    def open(self, callers: int) -> None:
        self._huey = SqliteHuey("bench", filename=str(self.folder / "huey.db"), fsync=True)
        self._task = self._huey.task()(perform_blocking)

    def prepare(self) -> None:
        self.open(1)

    def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        for one in bodies:
            if urgent is None:
                self._task(one)
            else:
                self._huey.enqueue(self._task.s(one, priority=10 if urgent else 1))

    def grow(self, n: int) -> None:
        self.put([body()])
        with sqlite3.connect(self.folder / "huey.db") as db:
            db.execute(
                "WITH RECURSIVE c(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM c WHERE n < ?) "
                "INSERT INTO task (queue, data, priority) SELECT queue, data, priority FROM task, c",
                (n,),
            )

    def finished(self) -> int:
        return int(self._huey.result_count())

    def work(self, slots: int) -> None:
        marks().wait_at_gate()
        self.open(slots)
        self._huey.create_consumer(workers=slots, periodic=False, initial_delay=0.005, max_delay=0.01).run()
