"""Whoever is told of errors hears of them without secrets, and can neither hold a process up nor break it."""

from __future__ import annotations

import base64
import hmac
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from perdure.app import build_sinks
from perdure.config.settings import Settings
from perdure.errors.base import ConfigError, RateLimited, ToolFailed
from perdure.errors.handler import ErrorHandler, Report
from perdure.monitor.sentry import SentrySink
from perdure.monitor.telemetry import TelemetrySink
from perdure.monitor.webhook import WebhookSink, written

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Receiver(HTTPServer):
    """A real receiver on loopback; answers with the next of `answers`, then with 204."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.answers: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.enough = threading.Semaphore(0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?a=1"


class _Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        self.send_header("location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.server.enough.release()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def told(handler: ErrorHandler, sink: Any) -> None:
    handler.add(sink)
    handler.handle(ToolFailed("no credit on sk-abcdefghijklmnop1234", hint="Pay."), where="run", message="msg_1", agent="shop")


def test_a_webhook_gets_a_signed_report_without_secrets(receiver: Receiver) -> None:
    sink = WebhookSink(receiver.url, SECRET, inside=True)
    told(ErrorHandler(), sink)
    assert receiver.enough.acquire(timeout=10)
    sink.close()
    [(headers, body)] = receiver.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"k" * 32, signed, "sha256").digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    said = json.loads(body)
    assert (said["type"], said["data"]["error"]["code"], said["data"]["context"]["agent"]) == ("error.handled", "tool-failed", "shop")
    assert b"abcdefgh" not in body
    assert sink.dropped == 0


def test_a_webhook_that_fails_is_tried_again_with_the_same_id_and_then_given_up(receiver: Receiver) -> None:
    pauses: list[float] = []
    receiver.answers = [500, 302, 503, 500, 500]
    sink = WebhookSink(receiver.url, SECRET, inside=True, pause=pauses.append)
    told(ErrorHandler(), sink)
    for _ in range(5):
        assert receiver.enough.acquire(timeout=10)
    sink.close()
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len(pauses) == 4
    assert sink.dropped == 1


def test_a_receiver_that_is_gone_for_good_is_not_asked_again(receiver: Receiver) -> None:
    receiver.answers = [410]
    sink = WebhookSink(receiver.url, SECRET, inside=True, pause=lambda _: pytest.fail("it said that it is gone"))
    told(ErrorHandler(), sink)
    assert receiver.enough.acquire(timeout=10)
    sink.close()
    assert (len(receiver.got), sink.dropped) == (1, 1)


def test_what_finds_no_room_is_dropped_and_nobody_waits(receiver: Receiver) -> None:
    holding, held = threading.Event(), threading.Event()

    def pause(_: float) -> None:
        held.set()
        holding.wait(10)

    receiver.answers = [500]
    sink = WebhookSink(receiver.url, SECRET, inside=True, room=2, pause=pause)
    handler = ErrorHandler()
    told(handler, sink)
    assert held.wait(10)
    began = time.perf_counter()
    for _ in range(500):
        handler.handle(ToolFailed("again"), where="run")
    assert time.perf_counter() - began < 2
    assert sink.dropped == 498
    holding.set()
    sink.close(10)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "https://127.0.0.1/x",
        "https://localhost:8443/x",
        "https://[::1]/x",
        "https://169.254.169.254/latest",
        "ftp://x/y",
    ],
)
def test_a_webhook_may_not_lead_inside(url: str, caplog: pytest.LogCaptureFixture) -> None:
    sink = WebhookSink(url, SECRET, pause=lambda _: pytest.fail("what may not be called is not tried again"))
    told(ErrorHandler(), sink)
    sink.close(10)
    assert sink.dropped == 1
    assert "may not be called" in caplog.text


@pytest.mark.parametrize("secret", ["short", "whsec_!!!!!!!!!!!!!!!!!!"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError):
        WebhookSink("https://example.org", secret)


def test_sentry_gets_an_event_with_a_fingerprint_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = SentrySink("https://public@sentry.example.org/1", environment="test")
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(sink._client, "capture_event", events.append)
    told(ErrorHandler(), sink)
    sink.close(0.1)
    [event] = events
    assert event["fingerprint"] == ["tool-failed", "run", "no credit on [redacted]"]
    assert event["tags"] == {"code": "tool-failed", "category": "tool", "where": "run"}
    assert "abcdefgh" not in str(event)
    with pytest.raises(ConfigError, match="no DSN"):
        SentrySink("nonsense")


def test_opentelemetry_gets_a_count_and_an_event_on_the_span(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    reader = InMemoryMetricReader()
    meters = MeterProvider(metric_readers=[reader])
    monkeypatch.setattr(metrics, "get_meter", meters.get_meter)
    sink, handler = TelemetrySink(), ErrorHandler()
    handler.add(sink)
    with TracerProvider().get_tracer("t").start_as_current_span("s") as span:
        handler.handle(RateLimited("slow down"), where="run")
    handler.handle(RateLimited("slow down"), where="run")
    [metric] = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics  # type: ignore[union-attr]
    [point] = metric.data.data_points
    assert (metric.name, point.value, dict(point.attributes or {})["code"]) == ("perdure.errors", 2, "provider-rate-limited")  # type: ignore[union-attr]
    [event] = span.events  # type: ignore[attr-defined]
    assert event.attributes["exception.type"] == "provider-rate-limited"
    assert trace.get_current_span() is not span
    meters.shutdown()


@pytest.mark.parametrize(("library", "make"), [("sentry_sdk", lambda: SentrySink("x")), ("opentelemetry", TelemetrySink)])
def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, library: str, make: Any) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError) as caught:
        make()
    assert "pip install" in (caught.value.hint or "")


def test_a_sink_that_breaks_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def take(self, report: Report) -> None:
            raise RuntimeError("I am broken")

    heard: list[Report] = []

    class Good:
        def take(self, report: Report) -> None:
            heard.append(report)

    handler = ErrorHandler()
    handler.add(Broken())
    stop = handler.add(Good())
    assert handler.handle(ToolFailed("x"), where="run").code == "tool-failed"
    assert "I am broken" in caplog.text
    stop()
    handler.handle(ToolFailed("x"), where="run")
    assert [one.count for one in heard] == [1]


def test_the_settings_say_who_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", SECRET)
    monkeypatch.setenv("DSN", "https://public@sentry.example.org/1")
    webhook, sentry = {"url": "https://example.org/x", "secret": "env:HOOK"}, {"dsn": "env:DSN"}
    sinks = build_sinks(Settings.model_validate({"errors": {"webhook": webhook, "sentry": sentry, "otel": True}}))
    assert [type(sink) for sink in sinks] == [WebhookSink, SentrySink, TelemetrySink]
    for sink in sinks:
        sink.close(0.1)
    assert build_sinks(Settings()) == []


def test_the_address_of_a_webhook_may_be_a_reference(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = {"url": "env:HOOK_URL", "secret": SECRET, "inside": True}
    settings = Settings.model_validate({"errors": {"webhook": webhook}})
    with pytest.raises(ConfigError, match="HOOK_URL"):
        build_sinks(settings)
    monkeypatch.setenv("HOOK_URL", receiver.url)
    [sink] = build_sinks(settings)
    told(ErrorHandler(), sink)
    assert receiver.enough.acquire(timeout=10)
    sink.close()


def test_the_end_of_a_trouble_is_told_as_one_and_counts_as_no_error() -> None:
    class Keeps:
        def __init__(self) -> None:
            self.got: list[Report] = []

        def take(self, report: Report) -> None:
            self.got.append(report)

    handler, sink = ErrorHandler(), Keeps()
    handler.add(sink)
    facts = RateLimited("'qwen' sk-0123456789abcdefghijklmnop is away").facts()
    handler.alarm(facts, where="health", what="it is away", provider="qwen")
    handler.over(facts, where="health", what="it is back", provider="qwen")
    assert [(one.over, one.context) for one in sink.got] == [(False, {"provider": "qwen"}), (True, {"provider": "qwen"})]
    assert [one.count for one in handler.tracked()] == [1]
    said = [json.loads(written(one)) for one in sink.got]
    assert [one["type"] for one in said] == ["error.handled", "error.over"]
    assert "sk-0123" not in json.dumps(said)
