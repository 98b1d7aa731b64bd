"""DBOS on SQLite or PostgreSQL: an async workflow, the paid call a step, outputs stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import sqlalchemy as sa
from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, Pay, body, marks, perform
from dbos import DBOS, DBOSClient, EnqueueOptions

QUEUE, LEAST = "bench", 200


@DBOS.step()
async def pay(n: int) -> int:
    """The paid call."""
    marks().paid(n)
    return n


@DBOS.workflow(name="work")
async def work(given: Body) -> Body:
    """One message."""

    async def step(_: Pay) -> int:
        return await pay(given["n"])

    return await perform(given, step)


class Contender(Peer):
    """Polls every 50 ms and takes 200 at once: at its defaults it polls once a second, and claims a long backlog whole."""

    blocking = True
    settings = "polls every 50 ms, worker_concurrency 200; executor id fixed, as recovery needs"

    @property
    def url(self) -> str:
        return self.dsn or f"sqlite:///{self.folder / 'dbos.sqlite'}"

    async def prepare(self) -> None:
        await asyncio.to_thread(self._launch, 1)
        await asyncio.to_thread(DBOS.destroy)

    def open(self, callers: int) -> None:
        self._client = DBOSClient(system_database_url=self.url)

    def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        for one in bodies:
            options: EnqueueOptions = {"queue_name": QUEUE, "workflow_name": "work", "app_version": "1"}
            if urgent is not None:
                options["priority"] = 1 if urgent else 10
            self._client.enqueue(options, one)

    def fill(self, bodies: Sequence[Body]) -> None:
        options: EnqueueOptions = {"queue_name": QUEUE, "workflow_name": "work", "app_version": "1"}
        with self._engine().begin() as connection:
            for one in bodies:
                self._client.enqueue_in_transaction(connection, options, one)

    def grow(self, n: int) -> None:
        self.put([body()])
        engine = self._engine()
        names = [column["name"] for column in sa.inspect(engine).get_columns("workflow_status", schema="dbos" if self.dsn else None)]
        table = "dbos.workflow_status" if self.dsn else "workflow_status"
        fresh = "gen_random_uuid()::text" if self.dsn else "hex(randomblob(16))"
        series = f"generate_series(2, {n})" if self.dsn else "c"
        head = "" if self.dsn else f"WITH RECURSIVE c(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM c WHERE n < {n}) "
        chosen = ", ".join(fresh if name == "workflow_uuid" else name for name in names)
        with engine.begin() as connection:
            connection.execute(sa.text(f"{head}INSERT INTO {table} ({', '.join(names)}) SELECT {chosen} FROM {table}, {series}"))

    def finished(self) -> int:
        with self._engine().connect() as connection:
            table = "dbos.workflow_status" if self.dsn else "workflow_status"
            return int(connection.execute(sa.text(f"SELECT count(*) FROM {table} WHERE status = 'SUCCESS'")).scalar_one())

    async def work(self, slots: int) -> None:
        marks().wait_at_gate()
        await asyncio.to_thread(self._launch, slots)
        await asyncio.Event().wait()

    def _launch(self, slots: int) -> None:
        DBOS(
            config={
                "name": "bench",
                "system_database_url": self.url,
                "application_version": "1",
                "executor_id": "one",
                "log_level": "WARNING",
            }
        )
        DBOS.launch()
        most = slots if slots in {1, 50} or slots > LEAST else LEAST
        DBOS.register_queue(QUEUE, worker_concurrency=most, polling_interval_sec=0.05, on_conflict="always_update")

    def _engine(self) -> sa.Engine:
        if not hasattr(self, "_own"):
            self._own = sa.create_engine(self.url.replace("postgresql://", "postgresql+psycopg://"))
        return self._own
