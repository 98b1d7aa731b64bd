"""errors explain: what a provider answered, and why it means what it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure.clock import now
from perdure.errors.patterns import Line, Noted
from perdure.errors.unmapped import suggestion
from perdure.providers.errors import Whence, judge
from perdure.wire.errors import read_error

Perdure = Callable[..., Any]

BUSY = json.dumps({"error": {"code": "insufficient_quota", "message": "You exceeded your current quota", "type": "insufficient_quota"}})
SETTINGS = """
[providers.cloud]
kind = "qwen"

[providers.gateway]
base_url = "http://127.0.0.1:4000/v1"

[errors.rules.night]
becomes = "overloaded"
provider = "gateway"
message = "closed (at|by) night"
retry_after_s = 3600
hint = "It opens at six."
"""


@pytest.fixture
def body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "perdure.toml").write_text(SETTINGS)
    place = tmp_path / "body.json"
    place.write_text(BUSY)
    return place


def test_a_file_is_explained_by_who_speaks(perdure: Perdure, body: Path) -> None:
    by_qwen = perdure("errors", "explain", str(body), "--provider", "cloud", "--status", "429")
    assert "dashscope-quota (dashscope 2)" in by_qwen.out
    assert "rate-limit" in by_qwen.out
    assert "no attempt is used" in by_qwen.out
    by_openai = perdure("errors", "explain", str(body), "--dialect", "openai", "--status", "429", "--json").json
    assert (by_openai["rule"], by_openai["error"]["category"], by_openai["next"]["closes"]) == ("quota", "billing", "account")


@pytest.mark.usefixtures("body")
def test_a_rule_of_the_settings_counts_at_its_provider_alone(perdure: Perdure) -> None:
    text = '{"error": {"message": "Closed by night"}}'
    found = perdure("errors", "explain", text, "--provider", "gateway", "--status", "400", "--json").json
    assert (found["rule"], found["table"], found["error"]["hint"]) == ("own:night", "settings", "It opens at six.")
    assert perdure("errors", "explain", text, "--provider", "cloud", "--status", "400", "--json").json["rule"] == "unmapped"


@pytest.mark.usefixtures("body")
def test_headers_and_streams_are_read(perdure: Perdure) -> None:
    text = '{"error": {"code": "rate_limit_exceeded", "message": "m"}}'
    found = perdure("errors", "explain", text, "--status", "429", "-H", "Retry-After: 86400", "--json").json
    assert found["next"]["until"] == found["error"]["retry_at"]
    stream = 'event:error\n:HTTP_STATUS/429\ndata:{"code":"Throttling.RateQuota","message":"slow"}\n\n'
    assert perdure("errors", "explain", stream, "--json").json["status"] == 429


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["{}", "--provider", "nobody"], 3),
        (["{}", "-H", "nonsense"], 2),
        (["data: [DONE]"], 3),
        (["@nowhere.json"], 2),
        (["nowhere.json"], 2),
        (["{}", "--status", "42"], 2),
    ],
)
def test_what_cannot_be_explained_is_said(perdure: Perdure, arguments: list[str], code: int) -> None:
    assert perdure("errors", "explain", *arguments).code == code


def test_patterns_are_listed_shown_and_reported_on(perdure: Perdure, served: Any) -> None:
    broken = served.put(agent="broken")
    served.work()
    [pattern] = perdure("errors", "list", "--code", "agent-failed", "--json").json
    assert pattern["id"] in perdure("errors", "list").out
    assert perdure("errors", "list", "--agent", "echo", "--json").json == []
    shown = perdure("errors", "show", pattern["id"])
    assert broken in shown.out
    assert "agent broken, frame pages.py read" in shown.out
    assert broken in {one["id"] for one in perdure("errors", "show", pattern["id"], "--json").json["dead_letters"]}
    report = perdure("errors", "report", broken)
    assert "mend it" in report.out
    assert "LookupError: no such page" in report.out
    assert pattern["id"] in report.out
    assert perdure("errors", "report", broken, "--json").json["next"]["then"] == "retry"
    assert perdure("errors", "show", "pat_0000000000000000").code == 3


def test_answers_that_no_rule_knows_are_listed_with_a_rule_and_their_letters_revived(perdure: Perdure, served: Any) -> None:
    error = judge(
        read_error(b'{"error": {"message": "I am a teapot", "code": "teapot"}}'), Whence(provider="tea", status=418), now()
    ).facts()
    line = Line.of(error, where="run", agent="echo")
    noted = Noted(line=line, count=1, first_at=now(), last_at=now(), sample=error.evidence.said or "", hint=suggestion(error))
    other = Noted(
        line=msgspec.structs.replace(line, unmapped=False, message="known"), count=1, first_at=now(), last_at=now(), sample="known"
    )
    served.ask(served.store.errors.note([noted, other]))
    [found] = perdure("errors", "list", "--unmapped", "--json").json
    listed = perdure("errors", "list", "--unmapped").out
    assert all(part in listed for part in (found["id"], '"code":"teapot"', "[errors.rules.NAME]", "status = [418]"))
    assert "no rule knows it" in perdure("errors", "show", found["id"]).out
    assert perdure("dead", "revive", "--pattern", found["id"], "--dry-run", "--json").json["done"] == 0
    assert perdure("dead", "revive", "--pattern", "pat_0000000000000000").code != 0
