"""Procrastinate: psycopg; it keeps a message's status, no result. Recovery is the periodic function its documentation gives."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, body, marks, perform
from procrastinate import App, JobContext, PsycopgConnector


def _app(dsn: str, most: int) -> App:
    app = App(connector=PsycopgConnector(conninfo=dsn, min_size=1, max_size=most))

    @app.task(name="bench", queue="bench")
    async def bench(given: Body) -> None:
        await perform(given)

    @app.periodic(cron="* * * * *")
    @app.task(name="retry_stalled", queue="bench", queueing_lock="retry_stalled", pass_context=True)
    async def retry_stalled(context: JobContext, timestamp: int) -> None:
        for job in await context.app.job_manager.get_stalled_jobs():
            await context.app.job_manager.retry_job(job)

    return app


class Contender(Peer):
    """Listens for NOTIFY."""

    bulk = True
    settings = "LISTEN/NOTIFY; stalled ones retried by a periodic function each minute; no result"

    async def prepare(self) -> None:
        app = _app(self.dsn, 2)
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    async def open(self, callers: int) -> None:
        self._app = _app(self.dsn, max(2, min(callers, 20)))
        await self._app.open_async()

    async def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        deferrer = self._app.tasks["bench"].configure(priority=10 if urgent else 0)
        if len(bodies) == 1:
            await deferrer.defer_async(given=bodies[0])
        else:
            await deferrer.batch_defer_async(*({"given": one} for one in bodies))

    async def fill(self, bodies: Sequence[Body]) -> None:
        await self.put(bodies)

    async def grow(self, n: int) -> None:
        await self.put([body()])
        same = "queue_name, task_name, priority, lock, queueing_lock, args, status, scheduled_at, attempts"
        await self._app.connector.execute_query_async(
            f"INSERT INTO procrastinate_jobs ({same}) SELECT {same} FROM procrastinate_jobs, generate_series(2, {n})"
        )

    async def finished(self) -> int:
        row = await self._app.connector.execute_query_one_async(
            "SELECT count(*) AS n FROM procrastinate_jobs WHERE status = 'succeeded' AND task_name = 'bench'"
        )
        return int(row["n"])

    async def work(self, slots: int) -> None:
        marks().wait_at_gate()
        app = _app(self.dsn, 20)
        async with app.open_async():
            await app.run_worker_async(queues=["bench"], concurrency=slots, listen_notify=True)
