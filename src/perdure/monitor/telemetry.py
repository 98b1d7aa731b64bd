"""Tells OpenTelemetry of errors: a counter, and an event on the span under way. Needs the extra `otel`.

Where it goes is OpenTelemetry's to say: `opentelemetry-instrument perdure worker …`, or a provider that the program sets up.
"""

from __future__ import annotations

from perdure.errors.base import ConfigError
from perdure.errors.handler import Report
from perdure.security.secrets import redact

__all__ = ["TelemetrySink"]


class TelemetrySink:
    """Counts each error in `perdure.errors`, and marks the span in which it arose.

    Raises:
        ConfigError: The extra is not installed.
    """

    def __init__(self) -> None:
        try:
            from opentelemetry import metrics, trace  # late: only who uses it pays for it
        except ModuleNotFoundError as error:
            raise ConfigError("telling OpenTelemetry of errors needs its API", hint='pip install "perdure[otel]"') from error
        self._counter = metrics.get_meter("perdure").create_counter("perdure.errors", description="Errors handled, by code")
        self._span = trace.get_current_span

    def take(self, report: Report) -> None:
        """Count an error; the end of one is none."""
        if report.over:
            return
        error = report.error
        about = {"code": error.code, "category": error.category.value, "where": report.where}
        self._counter.add(1, about)
        span = self._span()
        if span.is_recording():
            span.add_event("exception", {"exception.type": error.code, "exception.message": redact(error.message), **about})

    def close(self, timeout_s: float = 2.0) -> None:
        """Do nothing: what was counted is the SDK's.

        Args:
            timeout_s (float): Not needed.
        """
