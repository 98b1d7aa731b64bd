"""A judgement can be explained: which rule, why, what is near, what follows - the same that a call would have met."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure.app import build_models
from perdure.config.errors import ErrorRuleSettings
from perdure.config.settings import Settings
from perdure.errors.base import Billed, Category, ErrorFacts, Overloaded, Scope
from perdure.errors.recovery import Then
from perdure.providers.errors import Whence, judge
from perdure.providers.explain import Explanation, explain
from perdure.providers.frames import said_in_stream
from perdure.providers.own_rules import own_rules
from perdure.testing import Upstream, real_answers
from perdure.testing.upstream import Fault
from perdure.wire.errors import read_error

NOW = 1_800_000_000.0


def explained(body: Any, **whence: Any) -> Explanation:
    return explain(read_error(json.dumps(body).encode()), Whence(provider="p", **whence), NOW)


def quota(message: str = "You exceeded your current quota") -> dict[str, Any]:
    return {"error": {"code": "insufficient_quota", "message": message, "type": "insufficient_quota"}}


@pytest.mark.parametrize("row", real_answers(), ids=str)
def test_what_is_explained_is_what_a_call_meets(row: Any) -> None:
    whence = Whence(provider="p", dialect=row.dialect, status=row.status)
    found = explain(read_error(row.raw), whence, NOW)
    assert found.error == judge(read_error(row.raw), whence, NOW, dice=lambda: 0.0).facts()
    assert found.rule == found.error.evidence.rule
    assert found.because
    assert found.table.partition(" ")[2].isdigit()


def test_the_rule_its_table_and_its_reasons_are_named() -> None:
    found = explained(quota(), dialect="dashscope", status=429)
    assert (found.rule, found.table) == ("dashscope-quota", "dashscope 2")
    assert found.because == ["the status is 429", "its code or type, 'insufficient_quota', fits 'insufficient_quota'"]
    assert found.next.then is Then.WAIT
    assert found.next.closes is Scope.MODEL


def test_near_are_rules_that_fit_later_and_those_that_one_thing_keeps_away() -> None:
    found = explained(quota(), dialect="dashscope", status=429)
    near = {one.rule: one.missed for one in found.near}
    assert near["quota"] == []
    assert near["dashscope-quota-seen"] == ["message"]
    late = explained({"error": {"code": "invalid_api_key", "message": "m"}}, dialect="openai", status=400)
    assert {one.rule: one.missed for one in late.near}["openai-key"] == ["status"]


def test_what_no_rule_knows_is_said_to_be_so() -> None:
    found = explained({"error": {"code": "teapot", "message": "m"}}, status=418)
    assert (found.rule, found.table) == ("unmapped", "status")
    assert "418" in found.because[0]
    assert found.next.then is Then.DEAD


def test_a_page_is_known_as_one() -> None:
    found = explain(read_error(b"<html>"), Whence(provider="p", status=502), NOW)
    assert found.rule == "page-broken"
    assert "something in between" in " ".join(found.because)


def test_a_copied_stream_is_read_with_the_status_in_its_comment() -> None:
    raw = b'id:1\nevent:error\n:HTTP_STATUS/429\ndata:{"code":"LimitRequests","message":"slow"}'
    said = said_in_stream(raw)
    assert said is not None
    assert explain(said, Whence(provider="p", status=200), NOW).status == 429
    assert said_in_stream(b'data: {"choices": []}\n\ndata: [DONE]') is None
    plain = said_in_stream(b"event: error\ndata: it broke")
    assert plain is not None
    assert plain.message == "it broke"


def own(**rule: Any) -> dict[str, ErrorRuleSettings]:
    return {"mine": ErrorRuleSettings(**rule)}


def test_a_rule_of_ones_own_goes_first_and_says_everything() -> None:
    said = {
        "becomes": "overloaded",
        "status": [403],
        "message": "try.*tomorrow",
        "retry_after_s": 90,
        "scope": "endpoint",
        "billed": "maybe",
    }
    rules = own_rules(own(**said, hint="Call Bob."), provider="p", dialect=None)
    found = explained({"error": {"message": "Please TRY again tomorrow"}}, status=403, rules=rules)
    assert (found.rule, found.table) == ("own:mine", "settings")
    error = found.error
    assert (error.category, error.scope, error.billed, error.hint) == (Category.OVERLOADED, Scope.ENDPOINT, Billed.MAYBE, "Call Bob.")
    assert error.retry_at == NOW + 90
    assert explained({"error": {"message": "Please TRY again tomorrow"}}, status=400, rules=rules).rule != "own:mine"


@pytest.mark.parametrize(
    ("rule", "provider", "dialect", "counts"),
    [
        ({}, "p", None, True),
        ({"provider": "p"}, "p", None, True),
        ({"provider": "q"}, "p", None, False),
        ({"dialect": "vllm"}, "p", "vllm", True),
        ({"dialect": "vllm"}, "p", "ollama", False),
    ],
)
def test_a_rule_counts_where_it_says(rule: dict[str, str], provider: str, dialect: str | None, counts: bool) -> None:
    assert bool(own_rules(own(becomes="server", code="x", **rule), provider=provider, dialect=dialect)) is counts


@pytest.mark.parametrize(
    "rule",
    [
        {"becomes": "server"},
        {"becomes": "nonsense", "code": "x"},
        {"becomes": "server", "message": "(?=x)"},
        {"becomes": "server", "code": "("},
        {"becomes": "server", "status": [99]},
        {"becomes": "server", "code": "x", "unknown": 1},
    ],
)
def test_a_rule_that_says_nothing_or_nonsense_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        ErrorRuleSettings(**rule)


async def test_the_settings_rules_judge_what_a_real_server_answers() -> None:
    with Upstream() as upstream:
        upstream.script(Fault("status", status=400, body={"error": {"message": "brown-out", "code": "odd"}}))
        settings = Settings.model_validate(
            {
                "providers": {"up": {"base_url": upstream.base_url}},
                "errors": {
                    "rules": {"brown-out": {"becomes": "overloaded", "message": "brown-?out", "retry_after_s": 5, "provider": "up"}}
                },
            }
        )
        models = build_models(settings)
        target = models.resolve("up/fake-1")
        with pytest.raises(Overloaded) as caught:
            await target.provider.chat({"model": target.model, "messages": [{"role": "user", "content": "x"}]})
        await models.aclose()
    assert caught.value.evidence.rule == "own:brown-out"


def test_facts_of_what_is_explained_are_those_that_are_kept() -> None:
    assert isinstance(explained(quota(), status=429).error, ErrorFacts)
