"""What providers really answer when something goes wrong, and what it means: the table, as tests read it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec

from perdure.clock import Moment
from perdure.errors.base import Billed, Category, Scope

__all__ = ["RealAnswer", "real_answers"]

_SHAPES: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "openai": lambda row: {"error": {"message": row["message"], "type": row.get("type"), "param": None, "code": row.get("code")}},
    "anthropic": lambda row: {"type": "error", "error": {"type": row["type"], "message": row["message"]}, "request_id": "req_1"},
    "native": lambda row: {"code": row["code"], "message": row["message"], "request_id": "r-1"},
    "dashscope": lambda row: {
        "error": {"code": row["code"], "message": row["message"], "param": None, "type": row["code"]},
        "request_id": "r-1",
    },
}
_ACCOUNT = frozenset({Category.AUTH, Category.PERMISSION, Category.BILLING})


class RealAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table: what comes, and what it means."""

    name: str
    dialect: str
    status: int
    raw: bytes
    """The body."""
    category: Category
    retryable: bool
    scope: Scope
    billed: Billed
    wait: float | Moment | None
    """Seconds until it may be asked again, if no header says; a `Moment` beyond 10^9; None: nobody knows."""
    framed: Literal["alone", "with-status", "never"]
    """As an error inside a stream: whether it can be told without a status; a proxy's page is never one."""
    told_by_gateway: bool
    """Whether it can be told without knowing who speaks."""

    def __str__(self) -> str:
        """Say which row this is.

        Returns:
            str: For the name of a test.
        """
        return f"{self.dialect}: {self.name}"

    @property
    def heeds_headers(self) -> bool:
        """Whether `Retry-After` counts: an account waits for a person, what is permanent for nobody."""
        return self.retryable and self.category not in _ACCOUNT

    def retry_at(self, now: Moment) -> Moment | None:
        """Say when it may be asked again, if no header says.

        Args:
            now (Moment): When it came.

        Returns:
            Moment | None: None if nobody knows.
        """
        return None if self.wait is None else self.wait if self.wait > 1e9 else now + self.wait


@cache
def real_answers() -> tuple[RealAnswer, ...]:
    """Read the table.

    Returns:
        tuple[RealAnswer, ...]: Every row, by provider.
    """
    text = files("perdure.testing").joinpath("real.toml").read_text("utf-8")
    return tuple(_row(row) for row in tomllib.loads(text)["row"])


def _row(said: Mapping[str, Any]) -> RealAnswer:
    row = {"message": "m", "frame": "alone", "gateway": True, **said}
    raw = row["body"] if row["shape"] == "json" else json.dumps(_SHAPES[row["shape"]](row))
    wait = row.get("wait")
    return RealAnswer(
        name=row["name"],
        dialect=row["dialect"],
        status=row["status"],
        raw=raw.encode(),
        category=Category(row["category"]),
        retryable=row["retryable"],
        scope=Scope(row["scope"]),
        billed=Billed(row["billed"]),
        wait=datetime.fromisoformat(wait).timestamp() if isinstance(wait, str) else wait,
        framed=row["frame"],
        told_by_gateway=row["gateway"],
    )
