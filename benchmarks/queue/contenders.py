"""Who takes part: one row each. An adapter in `peers/` says how each is driven."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CONTENDERS", "Contender"]


@dataclass(frozen=True)
class Contender:
    """A row of the comparison.

    `rate` is roughly its no-op rate, so that backlogs are neither empty too soon nor filled for ever. `limit` is the
    name of the yardstick on the same database. `durability` is printed beside its figures.
    """

    name: str
    label: str
    engine: str  # sqlite, postgresql, redis
    adapter: str
    environment: str | None  # None: Perdure's own
    rate: int
    durability: str
    result: bool = True
    ours: bool = False
    yardstick: bool = False
    rows: tuple[str, ...] | None = None
    """The rows it takes part in; None for all."""

    def worker_command(self, slots: int) -> list[str] | None:
        """Perdure's worker is the real command; all others run their own worker inside `working.py`."""
        if not self.ours:
            return None
        app = Path(__file__).parent / "peers" / "perdure_app.py"
        return [sys.executable, "-m", "perdure", "worker", "--app", f"{app}:app", "--slots", str(slots)]

    def variables(self, folder: Path, dsn: str) -> dict[str, str]:
        """What it is told by its environment."""
        if not self.ours:
            return {}
        return {"PERDURE_DATA": str(folder / "data")} | ({"PERDURE_DATABASE_URL": dsn} if self.engine == "postgresql" else {})


_PG = "PostgreSQL's defaults: fsync on, synchronous_commit on"
_REDIS = "AOF, appendfsync always"
_PUTS = ("put_single", "put_100_callers", "put_bulk", "latency")
CONTENDERS: tuple[Contender, ...] = (
    Contender("limit_sqlite", "Limit", "sqlite", "limit_sqlite", None, 40000, "WAL, synchronous FULL", yardstick=True),
    Contender("perdure_sqlite", "Perdure", "sqlite", "perdure", None, 20000, "WAL, synchronous FULL", ours=True),
    Contender(
        "perdure_http",
        "Perdure over HTTP",
        "sqlite",
        "perdure_http",
        None,
        8000,
        "WAL, synchronous FULL",
        ours=True,
        rows=_PUTS,
    ),
    Contender("huey_sqlite", "Huey", "sqlite", "huey_sqlite", "huey", 1500, "WAL, synchronous FULL"),
    Contender("dbos_sqlite", "DBOS", "sqlite", "dbos_peer", "dbos", 500, "rollback journal, synchronous FULL (its own)"),
    Contender("limit_pg", "Limit", "postgresql", "limit_pg", None, 20000, _PG, yardstick=True),
    Contender("perdure_pg", "Perdure", "postgresql", "perdure", None, 12000, _PG, ours=True),
    Contender("pgqueuer_pg", "PgQueuer", "postgresql", "pgqueuer_peer", "postgres", 5000, _PG, result=False),
    Contender("oban_pg", "Oban", "postgresql", "oban_peer", "oban", 2000, _PG),
    Contender("awa_pg", "awa", "postgresql", "awa_peer", "awa", 6000, _PG, result=False),
    Contender("procrastinate_pg", "Procrastinate", "postgresql", "procrastinate_peer", "postgres", 800, _PG, result=False),
    Contender("dbos_pg", "DBOS", "postgresql", "dbos_peer", "dbos", 1000, _PG),
    Contender("taskiq_redis", "TaskIQ", "redis", "taskiq_peer", "redis", 2000, _REDIS),
    Contender("dramatiq_redis", "Dramatiq", "redis", "dramatiq_peer", "redis", 2000, _REDIS),
    Contender("celery_redis", "Celery", "redis", "celery_peer", "redis", 800, _REDIS),
    Contender("arq_redis", "arq", "redis", "arq_peer", "arq", 800, _REDIS),
)
