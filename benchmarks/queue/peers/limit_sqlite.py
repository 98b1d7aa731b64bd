"""The yardstick on SQLite: the rows that a durable queue cannot do without, written by apsw in one thread.

A message is one row each in `message` (1 KB), `ready`, `lease` and `outcome` (the result), and a row in `change`
for each of its three moves. No secondary index, no event loop, no objects, no checks. A single put is one
transaction; work goes in lock step by groups of 100: one transaction takes them, one ends them all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import apsw
from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, body, marks, perform_blocking

GROUP = 100
SCHEMA = """
CREATE TABLE message (id INTEGER PRIMARY KEY, created_at REAL NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE ready (priority INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (priority, id)) STRICT, WITHOUT ROWID;
CREATE TABLE lease (id INTEGER PRIMARY KEY, token INTEGER NOT NULL, leased_at REAL NOT NULL) STRICT;
CREATE TABLE outcome (id INTEGER PRIMARY KEY, ended_at REAL NOT NULL, result BLOB NOT NULL) STRICT;
CREATE TABLE change (seq INTEGER PRIMARY KEY, id INTEGER NOT NULL, state TEXT NOT NULL, at REAL NOT NULL) STRICT;
"""


class Contender(Peer):
    """One connection, one thread."""

    blocking = True
    bulk = True
    settings = "groups of 100, no index, no checks"

    def prepare(self) -> None:
        self.open(1)
        self._db.execute(SCHEMA)
        self._db.close()

    def open(self, callers: int) -> None:
        self._db = apsw.Connection(str(self.folder / "limit.db"))
        self._db.set_busy_timeout(10_000)
        self._db.pragma("journal_mode", "wal")
        self._db.pragma("synchronous", "full")
        self._db.wal_autocheckpoint(2048)

    def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        run, now = self._db.execute, time.time()
        run("BEGIN IMMEDIATE")
        for one in bodies:
            run("INSERT INTO message (created_at, body) VALUES (?, ?)", (now, json.dumps(one).encode()))
            id = self._db.last_insert_rowid()
            run("INSERT INTO ready VALUES (?, ?)", (0 if urgent else 5, id))
            run("INSERT INTO change (id, state, at) VALUES (?, 'ready', ?)", (id, now))
        run("COMMIT")

    def fill(self, bodies: Sequence[Body]) -> None:
        self.put(bodies)

    def grow(self, n: int) -> None:
        some = [body()] * 1000
        for _ in range(n // 1000):
            self.put(some)

    def finished(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM outcome").get)

    def work(self, slots: int) -> None:
        marks().wait_at_gate()
        self.open(1)
        while True:
            taken = self._lease()
            if taken:
                self._done([(id, json.dumps(perform_blocking(json.loads(data))).encode()) for id, data in taken])
            else:
                time.sleep(0.001)

    def _lease(self) -> list[tuple[int, bytes]]:
        run, now = self._db.execute, time.time()
        run("BEGIN IMMEDIATE")
        heads = run(
            "SELECT r.priority, r.id, m.body FROM ready r JOIN message m ON m.id = r.id ORDER BY r.priority, r.id LIMIT ?", (GROUP,)
        ).fetchall()
        for priority, id, _ in heads:
            run("DELETE FROM ready WHERE priority = ? AND id = ?", (priority, id))
            run("INSERT INTO lease VALUES (?, ?, ?)", (id, id, now))
            run("INSERT INTO change (id, state, at) VALUES (?, 'leased', ?)", (id, now))
        run("COMMIT")
        return [(id, data) for _, id, data in heads]

    def _done(self, ended: list[tuple[int, bytes]]) -> None:
        run, now = self._db.execute, time.time()
        run("BEGIN IMMEDIATE")
        for id, result in ended:
            run("DELETE FROM lease WHERE id = ?", (id,))
            run("INSERT INTO outcome VALUES (?, ?, ?)", (id, now, result))
            run("INSERT INTO change (id, state, at) VALUES (?, 'done', ?)", (id, now))
        run("COMMIT")
