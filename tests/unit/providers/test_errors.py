"""What real providers send is judged right: the class, what pauses, who pays, when to come back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure.errors.base import (
    AuthenticationFailed,
    Billed,
    BillingRefused,
    ContentFiltered,
    InvalidRequest,
    Overloaded,
    PermissionRefused,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Scope,
    ServerFailed,
)
from perdure.providers.errors import UNMAPPED, Whence, judge
from perdure.providers.reading import read_whole
from perdure.providers.rule import Rule
from perdure.providers.rules import TABLES
from perdure.wire.errors import read_error

NOW = 1_800_000_000.0


def judged(dialect: str | None, status: int | None, body: Any, **more: Any) -> ProviderError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(read_error(raw), Whence(provider="p", dialect=dialect, status=status, **more), NOW, dice=lambda: 0.0)


def openai(code: str | None, message: str = "m", type: str = "t") -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def dashscope(code: str, message: str = "m") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "param": None, "type": code}, "request_id": "r-1"}


def native(code: str, message: str = "m") -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": "r-1"}


def test_the_same_code_means_money_at_openai_and_a_minute_at_dashscope() -> None:
    body = openai("insufficient_quota", "You exceeded your current quota", "insufficient_quota")
    assert isinstance(judged("openai", 429, body), BillingRefused)
    busy = judged("dashscope", 429, body)
    assert isinstance(busy, RateLimited)
    assert busy.retry_at == NOW + 60
    by_link = openai("insufficient_quota", "You exceeded your current quota, see https://help.aliyun.com/zh/model-studio")
    assert isinstance(judged(None, 429, by_link), RateLimited)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, InvalidRequest),
        (400, InvalidRequest),
        (401, AuthenticationFailed),
        (402, BillingRefused),
        (403, PermissionRefused),
        (404, InvalidRequest),
        (408, ProviderTimeout),
        (418, InvalidRequest),
        (429, RateLimited),
        (500, ServerFailed),
        (501, InvalidRequest),
        (502, ServerFailed),
        (503, Overloaded),
        (504, ProviderTimeout),
        (529, Overloaded),
        (599, ServerFailed),
    ],
)
def test_what_no_rule_knows_is_judged_by_its_status_and_marked(status: int, kind: type[ProviderError]) -> None:
    error = judged("openai", status, openai("never_seen_before", "something new", "odd"))
    assert type(error) is kind
    assert error.evidence.rule == UNMAPPED


def test_the_wish_to_be_left_alone_is_obeyed_without_a_cap() -> None:
    error = judged("openai", 429, openai("rate_limit_exceeded"), headers={"Retry-After": "86400"})
    assert error.retry_at == NOW + 86400


def test_a_rate_limit_without_a_moment_gets_one_spread_by_chance() -> None:
    said = read_error(json.dumps(dashscope("limit_requests")).encode())
    late = judge(said, Whence(provider="p", dialect="dashscope", status=429), NOW, dice=lambda: 1.0)
    assert late.retry_at == pytest.approx(NOW + 72)


def test_an_account_error_has_no_moment_and_pauses_the_account() -> None:
    error = judged("dashscope", 429, native("PostpaidBillOverdue"), headers={"retry-after": "5"})
    assert error.scope is Scope.ACCOUNT
    assert error.retry_at is None
    assert error.hint is not None


@pytest.mark.parametrize(("said", "retryable"), [("true", True), ("false", False)])
def test_a_providers_own_hint_on_retrying_is_obeyed(said: str, retryable: bool) -> None:
    assert judged("openai", 500, openai(None, type="server_error"), headers={"X-Should-Retry": said}).retryable is retryable


def test_a_wait_cannot_be_turned_into_a_failure_by_that_hint() -> None:
    assert judged("openai", 429, openai("rate_limit_exceeded"), headers={"x-should-retry": "false"}).retryable


def test_a_page_from_between_may_have_been_paid_for() -> None:
    assert judged("openai", 502, b"<html>Bad Gateway</html>").billed is Billed.MAYBE
    assert judged("openai", 504, b"").billed is Billed.MAYBE
    assert judged("openai", 500, openai(None, type="server_error")).billed is Billed.NO


def test_an_error_after_the_first_piece_was_partly_paid_for() -> None:
    error = judged("dashscope", 200, dashscope("data_inspection_failed"), partly=True)
    assert isinstance(error, ContentFiltered)
    assert error.billed is Billed.PARTIAL


def test_a_status_hidden_in_the_text_counts_where_the_http_one_says_nothing() -> None:
    assert isinstance(judged("dashscope", 200, {"error": {"message": "x HTTP_STATUS/429"}}), RateLimited)
    assert isinstance(judged(None, 200, {"error": {"message": "x", "code": 503}}), Overloaded)


def test_our_key_and_what_looks_like_one_is_not_repeated() -> None:
    message = "Incorrect API key provided: topsecret; also sk-abcdefgh12345678."
    error = judged("openai", 401, openai("invalid_api_key", message), secret="topsecret", request_id="by topsecret " + "a" * 3000)
    assert "topsecret" not in str(error)
    assert "abcdefgh" not in str(error)
    assert "Incorrect API key provided: ***; also sk-***." in str(error)
    assert error.evidence.request_id is not None
    assert "topsecret" not in error.evidence.request_id
    assert len(error.evidence.request_id) == 200


@pytest.mark.parametrize("field", ["code", "type"])
def test_our_key_is_not_repeated_where_a_code_belongs(field: str) -> None:
    error = judged(None, 400, {"error": {"message": "m", field: "topsecret"}}, secret="topsecret")
    assert error.evidence.provider_code == "***"
    assert "topsecret" not in str(error)


def test_our_key_is_not_repeated_from_a_page_in_place_of_an_answer() -> None:
    page = b"<html>" + b"x" * 185 + b"topsecret</html>"  # where the text is cut
    whence = Whence(provider="p", status=200, secret="topsecret", request_id="topsecret")
    with pytest.raises(ServerFailed) as caught:
        read_whole(page, whence)
    assert "tops" not in str(caught.value)
    assert caught.value.evidence.request_id == "***"


def test_the_evidence_says_what_the_judgement_rests_on() -> None:
    evidence = judged("dashscope", 429, dashscope("limit_requests")).evidence
    assert (evidence.provider, evidence.status, evidence.provider_code) == ("p", 429, "limit_requests")
    assert (evidence.request_id, evidence.rule) == ("r-1", "dashscope-requests")


def test_an_address_that_redirects_or_has_no_such_path_gets_a_hint() -> None:
    assert "base_url" in (judged(None, 301, b"").hint or "")
    assert "/v1" in (judged(None, 404, b"404 page not found").hint or "")


def test_a_users_own_rule_goes_first() -> None:
    mine = Rule("mine", Overloaded, message="brown-?out", wait_s=7.0)
    error = judged("openai", 400, openai(None, "a brownout", "invalid_request_error"), rules=(mine,))
    assert isinstance(error, Overloaded)
    assert (error.evidence.rule, error.retry_at) == ("mine", NOW + 7)


def test_rules_have_names_of_their_own() -> None:
    names = [rule.id for table in TABLES for rule in table.rules]
    assert len(set(names)) == len(names)
