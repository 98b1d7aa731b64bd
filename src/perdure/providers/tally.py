"""What a provider did since it was made, counted; and told as events."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Any, Self

from perdure.clock import awake
from perdure.errors.base import PerdureError
from perdure.errors.unmapped import UNMAPPED
from perdure.events import tell
from perdure.resources.usage import Usage

__all__ = ["Call", "Tally"]


class Tally:
    """Counts calls; safe from several threads.

    Args:
        provider (str): Whose calls.
    """

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._usage = Usage()
        self._seconds = 0.0

    def call(self, model: str | None, operation: str = "chat") -> Call:
        """Count one call: `with tally.call(model) as call: … call.answered(usage)`.

        Args:
            model (str | None): Who is asked.
            operation (str): What for, in OpenTelemetry's words for GenAI.

        Returns:
            Call: A context manager.
        """
        return Call(self, model, operation)

    def add(self, name: str, number: int = 1) -> None:
        """Count something of the provider's own.

        Args:
            name (str): Becomes a key of the metrics.
            number (int): How many.
        """
        with self._lock:
            self._counts[name] += number

    def ended(self, call: Call, error: BaseException | None) -> None:
        """Note how a call ended.

        Args:
            call (Call): Which.
            error (BaseException | None): None if it was answered.
        """
        seconds = awake() - call.began
        with self._lock:
            self._counts["requests"] += 1
            self._seconds += seconds
            if call.usage is not None:
                self._usage += call.usage
                self._counts["unknown_usage"] += call.usage.output_tokens is None
            elif isinstance(error, Exception):
                self._counts["errors"] += 1
                self._codes[error.code if isinstance(error, PerdureError) else type(error).__name__] += 1
                self._counts["unmapped"] += isinstance(error, PerdureError) and error.evidence.rule == UNMAPPED
            else:
                self._counts["cancelled"] += 1
        self._tell(call, error, seconds)

    def metrics(self) -> dict[str, Any]:
        """Give the counts.

        Returns:
            dict[str, Any]: A missing token count is None: unknown, not zero.
        """
        with self._lock:
            return {
                "provider": self.provider,
                "requests": 0,
                "errors": 0,
                "cancelled": 0,
                "unknown_usage": 0,
                "unmapped": 0,
                **self._counts,
                "input_tokens": self._usage.input_tokens,
                "output_tokens": self._usage.output_tokens,
                "cached_tokens": self._usage.cached_tokens,
                "reasoning_tokens": self._usage.reasoning_tokens,
                "seconds": self._seconds,
                "errors_by_code": dict(self._codes),
            }

    def _tell(self, call: Call, error: BaseException | None, seconds: float) -> None:
        about = {"provider": self.provider, "model": call.model, "operation": call.operation, "seconds": seconds}
        if call.usage is not None:
            tell("provider.answered", **about, first_s=call.first_s, usage=call.usage)
        elif isinstance(error, PerdureError):
            facts = {"code": error.code, "category": error.category, "rule": error.evidence.rule, "billed": error.billed}
            tell("provider.failed", **about, **facts)


class Call:
    """One call under way.

    Args:
        tally (Tally): Who counts.
        model (str | None): Who is asked.
        operation (str): What for.
    """

    def __init__(self, tally: Tally, model: str | None, operation: str = "chat") -> None:
        self.model = model
        self.operation = operation
        self.first_s: float | None = None
        """How long its first piece took; None where it did not come in pieces."""
        self.usage: Usage | None = None
        self.began: float = awake()
        self._tally = tally

    def came(self) -> None:
        """Say that a piece of the answer has come."""
        if self.first_s is None:
            self.first_s = awake() - self.began

    def answered(self, usage: Usage) -> None:
        """Say that the answer is complete.

        Args:
            usage (Usage): As the provider counted it.
        """
        self.usage = usage

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._tally.ended(self, error)
