"""Celery on Redis: acknowledged late, in threads, results in Redis."""

from __future__ import annotations

from collections.abc import Sequence

import redis
from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, body, marks, perform_blocking
from celery import Celery


class Contender(Peer):
    """Unacknowledged messages come back after 60 s; its default is an hour."""

    blocking = True
    settings = "acks_late, threads, JSON, visibility timeout 60 s (default 3,600), Redis results"

    def open(self, callers: int) -> None:
        self._app = Celery("bench", broker=self.redis, backend=self.redis)
        self._app.conf.update(
            task_acks_late=True,
            task_reject_on_worker_lost=True,
            broker_transport_options={"visibility_timeout": 60, "priority_steps": [0, 3, 6, 9], "queue_order_strategy": "priority"},
            broker_connection_retry_on_startup=True,
            result_expires=3600,
            worker_hijack_root_logger=False,
        )
        self._task = self._app.task(name="bench")(perform_blocking)
        self._line = redis.Redis.from_url(self.redis)

    def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        for one in bodies:
            self._task.apply_async((one,), priority=0 if urgent or urgent is None else 9)

    def grow(self, n: int) -> None:
        self.put([body()])
        [one] = self._line.lrange("celery", 0, 0)
        for at in range(1, n, 1000):
            self._line.lpush("celery", *([one] * min(1000, n - at)))

    def finished(self) -> int:
        return sum(1 for _ in self._line.scan_iter(match="celery-task-meta-*", count=10000))

    def work(self, slots: int) -> None:
        self.open(slots)
        marks().wait_at_gate()
        options = ["--pool=threads", f"--concurrency={slots}", "--loglevel=WARNING", "--without-gossip", "--without-mingle"]
        self._app.worker_main(["worker", *options, *(["--prefetch-multiplier=1"] if slots == 1 else [])])
