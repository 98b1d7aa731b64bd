from __future__ import annotations

import pytest

from perdure.events import tell
from perdure.monitor.metrics import Metrics


@pytest.fixture
def metrics():
    metrics = Metrics()
    metrics.start()
    yield metrics
    metrics.stop()


def test_requests_are_counted_and_timed(metrics):
    tell("request.served", method="GET", route="/x", status=200, seconds=0.02)
    tell("request.served", method="BREW", route="/x", status=405, seconds=0.02)
    value = metrics.registry.get_sample_value
    assert value("perdure_http_requests_total", {"method": "GET", "route": "/x", "status": "200"}) == 1
    assert value("perdure_http_requests_total", {"method": "other", "route": "/x", "status": "405"}) == 1
    assert value("perdure_http_request_seconds_bucket", {"route": "/x", "le": "0.025"}) == 2


def test_calls_to_providers_are_counted_by_how_they_ended(metrics):
    tell("provider.answered", provider="qwen", model="m", seconds=2.0, usage=None)
    tell("provider.failed", provider="qwen", model="m", seconds=1.0, code="provider-timeout")
    value = metrics.registry.get_sample_value
    assert value("perdure_provider_calls_total", {"provider": "qwen", "outcome": "answered"}) == 1
    assert value("perdure_provider_calls_total", {"provider": "qwen", "outcome": "provider-timeout"}) == 1
    assert value("perdure_provider_call_seconds_count", {"provider": "qwen"}) == 2


def test_errors_that_no_rule_knows_are_counted_apart(metrics):
    tell("provider.failed", provider="qwen", model="m", seconds=1.0, code="provider-server", rule="unmapped")
    tell("provider.failed", provider="qwen", model="m", seconds=1.0, code="provider-server", rule="dashscope-server")
    assert metrics.registry.get_sample_value("perdure_provider_unmapped_total", {"provider": "qwen"}) == 1


def test_tokens_that_nobody_counted_are_not_counted_as_none(metrics):
    tell("chat.answered", lane="a/b", input_tokens=5, output_tokens=None)
    value = metrics.registry.get_sample_value
    assert value("perdure_chats_total", {"lane": "a/b"}) == 1
    assert value("perdure_chat_tokens_total", {"lane": "a/b", "kind": "input"}) == 5
    assert value("perdure_chat_tokens_total", {"lane": "a/b", "kind": "output"}) is None


def test_after_it_stopped_nothing_is_counted(metrics):
    metrics.stop()
    tell("request.served", method="GET", route="/x", status=200, seconds=0.02)
    assert metrics.registry.get_sample_value("perdure_http_requests_total", {"method": "GET", "route": "/x", "status": "200"}) is None
