"""Tells Sentry, or whoever takes its DSN, of errors. Needs the extra `sentry`."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.errors.base import ConfigError
from perdure.errors.handler import Report
from perdure.errors.patterns import Line
from perdure.errors.recovery import Then, recovery
from perdure.security.secrets import redact, redact_facts

__all__ = ["SentrySink"]


class SentrySink:
    """Sends a report of each error as an event; the SDK's own thread does so.

    Args:
        dsn (str): Where to.
        environment (str | None): What Sentry calls this installation.

    Raises:
        ConfigError: The extra is not installed, or this is no DSN.
    """

    def __init__(self, dsn: str, *, environment: str | None = None) -> None:
        try:
            import sentry_sdk  # late: only who uses it pays for it
            from sentry_sdk.utils import BadDsn
        except ModuleNotFoundError as error:
            raise ConfigError("sending errors to Sentry needs `sentry-sdk`", hint='pip install "perdure[sentry]"') from error
        # Nothing of its own accord: no integrations that patch libraries, no frames with local values.
        quiet: dict[str, Any] = {"default_integrations": False, "auto_enabling_integrations": False}
        try:
            self._client = sentry_sdk.Client(dsn=dsn, environment=environment, include_local_variables=False, **quiet)
        except BadDsn as error:
            raise ConfigError("`errors.sentry.dsn` is no DSN", hint="Copy it from the project's settings.") from error

    def take(self, report: Report) -> None:
        """Hand an event to the SDK, which queues it or drops it."""
        error = report.error
        line = Line.of(msgspec.structs.replace(error, message=redact(error.message)), where=report.where, agent=_agent(report))
        tags = {"code": error.code, "category": error.category.value, "where": report.where}
        tags |= {name: value for name in ("provider", "model", "tool") if (value := getattr(error.evidence, name))}
        extra = {"hint": error.hint, "causes": error.causes, "context": msgspec.to_builtins(report.context, enc_hook=str)}
        self._client.capture_event(
            {
                "level": "info" if report.over else "error" if recovery(error).then is Then.DEAD else "warning",
                "logger": "perdure",
                "message": redact(f"over: {error.message}" if report.over else error.message),
                "fingerprint": [error.code, report.where, line.message, *(["over"] if report.over else [])],
                "tags": tags,
                "extra": redact_facts(extra),
            }
        )

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what waits. Blocks.

        Args:
            timeout_s (float): How long at most.
        """
        self._client.close(timeout=timeout_s)


def _agent(report: Report) -> str | None:
    agent = report.context.get("agent")
    return agent if isinstance(agent, str) else None
