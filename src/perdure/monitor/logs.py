"""The log: one line per fact, on stderr, as JSON for machines or text for people, without secrets.

Everything passes through the same chain, whether it was written with `structlog`, with `logging` or by
a library: so nothing can go around the redaction.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, TextIO, TypeAlias

import structlog
from structlog.typing import EventDict, Processor

from perdure.events import listen
from perdure.security.secrets import redact_facts

LogKind: TypeAlias = Literal["auto", "json", "text"]
_TOLD: Mapping[str, int] = {
    "message.dead": logging.WARNING,
    "message.lost": logging.WARNING,
    "step.ambiguous": logging.WARNING,
    "step.diverged": logging.WARNING,
    "worker.": logging.INFO,
    "provider.failed": logging.WARNING,
}
"""Events that are worth a line, and how loud it is."""

__all__ = ["LogKind", "set_up_logs", "write_events"]


def set_up_logs(kind: LogKind = "auto", *, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send every log line of this process to one place.

    Args:
        kind (LogKind): `auto` writes text on a terminal and JSON elsewhere.
        stream (TextIO | None): Where to; None for stderr.
        level (int): Nothing below it.
    """
    out = stream or sys.stderr
    json = kind == "json" or (kind == "auto" and not out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    # Exceptions become text before secrets are struck out: a traceback may quote one.
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info, _strike_out]
    shown: Processor = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*last, shown]))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def write_events() -> Callable[[], None]:
    """Write a log line for each event that somebody may have to look into.

    Returns:
        Callable[[], None]: Call it to stop.
    """
    log = structlog.stdlib.get_logger("perdure.told")

    def write(name: str, facts: Mapping[str, Any]) -> None:
        level = next((loud for prefix, loud in _TOLD.items() if name.startswith(prefix)), None)
        if level is not None:
            log.log(level, name, **{key: value for key, value in facts.items() if value is not None})

    return listen("", write)


def _strike_out(_: Any, __: str, event: EventDict) -> EventDict:
    return {name: redact_facts(value, name=name) for name, value in event.items()}
