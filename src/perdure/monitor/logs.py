"""The log: one line per fact, on stderr, as JSON for machines or text for people, without secrets.

Everything is formatted in one place, whether we wrote it or a library did: so nothing can go around the
redaction. The standard library does all of it; a logging framework costs each process several megabytes.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, TextIO, TypeAlias

from perdure.clock import iso
from perdure.events import listen
from perdure.security.secrets import redact, redact_facts

LogKind: TypeAlias = Literal["auto", "json", "text"]

_TOLD: Mapping[str, int] = {
    "message.dead": logging.WARNING,
    "message.lost": logging.WARNING,
    "step.ambiguous": logging.WARNING,
    "step.diverged": logging.WARNING,
    "lane.closed": logging.WARNING,
    "lane.slowed": logging.INFO,
    "provider.failed": logging.WARNING,
    "worker.died": logging.WARNING,
    "worker.reaped": logging.WARNING,
    "worker.fenced": logging.WARNING,
    "worker.isolating": logging.INFO,
}
"""Events that are worth a line, and how loud it is; of starting and stopping whoever does it writes itself. Only these are
listened to: others, such as each `message.done`, are not even gathered where nobody hears them."""

_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}
_UNSEEN = {code: f"\\x{code:02x}" for code in (*range(32), 127)}
_UNSEEN_IN_LINES = {code: shown for code, shown in _UNSEEN.items() if code not in (9, 10)}
"""Whoever can put words into a log must neither steer the terminal that shows it nor begin a line of their own."""

__all__ = ["LogKind", "set_up_logs", "write_events"]


def set_up_logs(kind: LogKind = "auto", *, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send every log line of this process to one place.

    Args:
        kind (LogKind): `auto` writes text on a terminal and JSON elsewhere.
        stream (TextIO | None): Where to; None for stderr.
        level (int): Nothing below it.
    """
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    as_json = kind == "json" or (kind == "auto" and not out.isatty())
    handler.setFormatter(_Json() if as_json else _Text(colours=out.isatty()))
    logging.basicConfig(handlers=[handler], level=level, force=True)


def write_events(*, said: Mapping[str, Callable[[Any], str]] | None = None) -> Callable[[], None]:
    """Write a log line for each event that somebody may have to look into.

    Args:
        said (Mapping[str, Callable[[Any], str]] | None): How some facts are written, by their names: `message` as `msg_…`.

    Returns:
        Callable[[], None]: Call it to stop.
    """
    log, ways = logging.getLogger("perdure.told"), said or {}

    def write(name: str, facts: Mapping[str, Any]) -> None:
        # A fact may be called like something that a record already has, such as `name` or `message`.
        shown = {fact: ways[fact](value) if fact in ways else value for fact, value in facts.items() if value is not None}
        log.log(_TOLD[name], "%s", name, extra={"facts": shown})

    stops = [listen(name, write) for name in _TOLD]

    def stop() -> None:
        for one in stops:
            one()

    return stop


def _facts_of(record: logging.LogRecord) -> dict[str, Any]:
    more = {name: value for name, value in vars(record).items() if name not in _ORDINARY}
    more.update(more.pop("facts", {}))
    clean: dict[str, Any] = redact_facts(more)
    return clean


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": redact(record.getMessage()),
            **{(f"_{name}" if name in ("at", "level", "logger", "event") else name): value for name, value in _facts_of(record).items()},
        }
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, default=lambda value: redact(str(value)))


class _Text(logging.Formatter):
    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{name}={value}" for name, value in _facts_of(record).items())
        at = (iso(record.created) or "")[11:23]
        line = f"{at} {record.levelname.lower():7} {redact(record.getMessage())}{' ' if facts else ''}{facts}".translate(_UNSEEN)
        if record.exc_info:
            line += "\n" + redact(self.formatException(record.exc_info)).translate(_UNSEEN_IN_LINES)
        colour = _COLOURS.get(record.levelno, "") if self._colours else ""
        return f"{colour}{line}\x1b[0m" if colour else line
