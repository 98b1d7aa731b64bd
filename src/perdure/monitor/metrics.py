"""Counts what happens in this process, by listening to events; for Prometheus.

What the whole installation did is kept in the store and added by whoever serves `/metrics`. Labels take
only values of which there are few: routes as the doors have them, providers, lanes, codes - never a
caller's own text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from perdure.events import listen

_FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30, 60)
_SLOW_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)

__all__ = ["Metrics"]


class Metrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry: CollectorRegistry = CollectorRegistry()
        self._stops: list[Callable[[], None]] = []
        make = self.registry
        self._requests = Counter("perdure_http_requests", "Requests answered by this server", ("method", "route", "status"), registry=make)
        self._latency = Histogram("perdure_http_request_seconds", "How long answers took", ("route",), buckets=_FAST_S, registry=make)
        self._calls = Counter("perdure_provider_calls", "Calls to providers by this process", ("provider", "outcome"), registry=make)
        self._unmapped = Counter("perdure_provider_unmapped", "Errors of providers that no rule knows", ("provider",), registry=make)
        self._thought = Histogram("perdure_provider_call_seconds", "How long providers took", ("provider",), buckets=_SLOW_S, registry=make)
        self._chats = Counter("perdure_chats", "Chats answered on /v1", ("lane",), registry=make)
        self._answers = Histogram("perdure_chat_seconds", "How long chats on /v1 took", ("lane",), buckets=_SLOW_S, registry=make)
        self._tokens = Counter("perdure_chat_tokens", "Tokens of chats on /v1, as providers counted them", ("lane", "kind"), registry=make)

    def start(self) -> None:
        """Begin to listen."""
        self._stops = [
            listen("request.served", self._on_request),
            listen("provider.", self._on_provider),
            listen("chat.answered", self._on_chat),
        ]

    def stop(self) -> None:
        """Listen no more; what was counted stays."""
        for stop in self._stops:
            stop()
        self._stops = []

    def _on_request(self, _: str, facts: Mapping[str, Any]) -> None:
        self._requests.labels(_method(facts["method"]), facts["route"], str(facts["status"])).inc()
        self._latency.labels(facts["route"]).observe(facts["seconds"])

    def _on_provider(self, name: str, facts: Mapping[str, Any]) -> None:
        outcome = "answered" if name == "provider.answered" else str(facts.get("code", "failed"))
        self._calls.labels(str(facts.get("provider", "")), outcome).inc()
        if facts.get("rule") == "unmapped":
            self._unmapped.labels(str(facts.get("provider", ""))).inc()
        if facts.get("seconds") is not None:
            self._thought.labels(str(facts.get("provider", ""))).observe(facts["seconds"])

    def _on_chat(self, _: str, facts: Mapping[str, Any]) -> None:
        self._chats.labels(facts["lane"]).inc()
        if facts.get("seconds") is not None:
            self._answers.labels(facts["lane"]).observe(facts["seconds"])
        for kind in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"):
            if facts.get(kind) is not None:
                self._tokens.labels(facts["lane"], kind.removesuffix("_tokens")).inc(facts[kind])


def _method(method: str) -> str:
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
