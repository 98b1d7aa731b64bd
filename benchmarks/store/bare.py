"""The limit: the same rows in the same transactions, written by apsw alone.

No event loop, no callers, no objects: a loop over statements in one thread, with the store's own schema
and settings. Whatever a store does beyond this is what it costs.
"""

from __future__ import annotations

import time
from pathlib import Path

import apsw

SCHEMA = Path(__file__).parents[2] / "src/perdure/stores/sqlite/migrations/0001_first.sql"
CHANGE = "INSERT INTO change (seq, id, state, at) VALUES (?, ?, ?, ?)"
TALLY = "INSERT INTO tally VALUES ('default', ?, ?, ?) ON CONFLICT (queue, kind, name) DO UPDATE SET n = n + excluded.n"
MESSAGE = (
    "INSERT INTO message (id, tenant, route, priority, attempts, created_at, timeout_s, deadline, max_wait_s, session, parent, dedup_key, "
    "metadata, body) VALUES (?, 1, 1, 5, 5, ?, NULL, NULL, 604800.0, NULL, NULL, NULL, NULL, ?)"
)
READY = "INSERT INTO ready (route, priority, tag, id, tenant, since) VALUES (1, 5, ?1, ?1, 1, ?2)"
HEADS = "SELECT priority, tag, id FROM ready WHERE route = 1 ORDER BY priority, tag, id LIMIT ?"
TAKE = "DELETE FROM ready WHERE route = 1 AND priority = ? AND tag = ? AND id = ?"
READ = "SELECT m.*, p.* FROM message m LEFT JOIN progress p ON p.id = m.id WHERE m.id = ?"
LEASE = "INSERT INTO lease (id, token, worker, route, tenant, attempt, crashes, leased_at, started_at) VALUES (?, ?, 1, 1, 1, 1, 0, ?3, ?3)"
BACK = "DELETE FROM lease WHERE id = ? AND token = ? RETURNING route, tenant, attempt, crashes, started_at"
HELD = "SELECT 1 FROM lease WHERE id = ? AND token = ?"
STEP = "SELECT id, state, usage FROM step WHERE message = ? AND number = ?"
INTEND = (
    "INSERT INTO step (message, number, scope, kind, name, fingerprint, n, tries, state, attempt, ambiguous, began_at, idempotent, "
    "diverged) VALUES (?, ?, '', 'llm', 'ask', 'f', 0, 1, 'intent', 1, 0, ?, 0, 0) RETURNING id"
)
REQUEST = "INSERT OR REPLACE INTO request (step, data) VALUES (?, ?)"
RECORD = "UPDATE step SET state = 'done', ended_at = ?, usage = ?, error = NULL, result = ? WHERE id = ?"
USAGE = b'{"calls":1}'
OUTCOME = "INSERT INTO outcome VALUES (?, 'done', 1, 1, NULL, 1, ?2, ?2, '1', ?4, NULL, ?3)"


class Bare:
    """A database of the store's shape.

    Args:
        path (Path): Where.
        synchronous (str): As for the store.
    """

    def __init__(self, path: Path, synchronous: str) -> None:
        self.db = apsw.Connection(str(path), statementcachesize=200)
        self.db.pragma("auto_vacuum", "incremental")
        self.db.pragma("journal_mode", "wal")
        self.db.pragma("synchronous", synchronous)
        self.db.pragma("cache_size", -8192)
        self.db.wal_autocheckpoint(2048)
        self.db.execute(SCHEMA.read_text(encoding="utf-8"))
        self.last, self.seq = int(time.time() * 1000) << 20, 0

    def put(self, bodies: list[bytes]) -> None:
        """One transaction."""
        run, now = self.db.execute, time.time()
        run("BEGIN IMMEDIATE")
        for body in bodies:
            self.last, self.seq = self.last + 1, self.seq + 1
            run(MESSAGE, (self.last, now, body))
            run(READY, (self.last, now))
            run(CHANGE, (self.seq, self.last, "ready", now))
        self._close({("now", "ready"): len(bodies), ("ever", "put"): len(bodies)})

    def lease(self, limit: int) -> list[tuple[int, int]]:
        """One transaction."""
        run, now = self.db.execute, time.time()
        run("BEGIN IMMEDIATE")
        taken = []
        for head in run(HEADS, (limit,)).fetchall():
            run(TAKE, head)
            run(READ, (head[2],)).fetchone()
            self.last, self.seq = self.last + 1, self.seq + 1
            run(LEASE, (head[2], self.last, now))
            run(CHANGE, (self.seq, head[2], "leased", now))
            taken.append((head[2], self.last))
        self._close({("now", "ready"): -len(taken), ("now", "leased"): len(taken)})
        return taken

    def done(self, leases: list[tuple[int, int]], result: bytes) -> None:
        """One transaction."""
        run, now = self.db.execute, time.time()
        run("BEGIN IMMEDIATE")
        for lease in leases:
            run(BACK, lease).fetchone()
            self.seq += 1
            run(OUTCOME, (lease[0], now, result, USAGE))
            run(CHANGE, (self.seq, lease[0], "done", now))
        self._close({("now", "leased"): -len(leases), ("now", "done"): len(leases), ("ever", "done"): len(leases)})

    def journal(self, leases: list[tuple[int, int]], number: int, request: bytes, result: bytes) -> None:
        """Two transactions: the intents, then the results."""
        run, now = self.db.execute, time.time()
        run("BEGIN IMMEDIATE")
        for lease in leases:
            run(HELD, lease).fetchone()
            run(STEP, (lease[0], number)).fetchone()
            row = run(INTEND, (lease[0], number, now)).get
            run(REQUEST, (row, request))
        run("COMMIT")
        run("BEGIN IMMEDIATE")
        for lease in leases:
            run(HELD, lease).fetchone()
            row, _, _ = run(STEP, (lease[0], number)).fetchone()
            run(RECORD, (now, USAGE, result, row))
        run("COMMIT")

    def close(self) -> None:
        """End."""
        self.db.close()

    def _close(self, tallies: dict[tuple[str, str], int]) -> None:
        for (kind, name), n in tallies.items():
            self.db.execute(TALLY, (kind, name, n))
        self.db.execute("UPDATE sequence SET last = ?, change = ? WHERE one = 1", (self.last, self.seq))
        self.db.execute("COMMIT")
