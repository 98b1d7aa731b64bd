"""Dramatiq on Redis: threads, the Results middleware."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import dramatiq
import redis
from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, marks, perform_blocking
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend


class Contender(Peer):
    """An actor's priority only orders what a worker has fetched already, so it has none that counts."""

    blocking = True
    priorities = False
    settings = "threads, Results in Redis, heartbeat_timeout 60 s (default)"

    def open(self, callers: int) -> None:
        broker = RedisBroker(url=self.redis, max_connections=2000)
        broker.add_middleware(Results(backend=RedisBackend(url=self.redis), store_results=True, result_ttl=3_600_000))
        dramatiq.set_broker(broker)
        self._broker = broker
        self._actor = dramatiq.actor(perform_blocking, actor_name="bench", queue_name="bench", store_results=True)
        self._line = redis.Redis.from_url(self.redis)

    def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        for one in bodies:
            self._actor.send(one)

    def finished(self) -> int:
        return sum(1 for key in self._line.scan_iter(count=10000) if not key.startswith(b"dramatiq:"))

    def work(self, slots: int) -> None:
        self.open(slots)
        marks().wait_at_gate()
        dramatiq.Worker(self._broker, worker_threads=slots).start()
        threading.Event().wait()
