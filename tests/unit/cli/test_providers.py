"""providers: who answers prompts, whether they can, and the whole kit for one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure.errors.base import AuthenticationFailed
from perdure.providers.checkup import Checkup
from perdure.testing import Upstream
from perdure.testing.conformance import names_of

Perdure = Callable[..., Any]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(api_key="right") as running:
        yield running


@pytest.fixture
def settings(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOOD_KEY", "right")
    monkeypatch.setenv("BAD_KEY", "wrong")
    place = f'base_url = "{upstream.base_url}"'
    (tmp_path / "perdure.toml").write_text(
        f"""
[providers.good]
{place}
api_key = "env:GOOD_KEY"
models = ["fake-1"]

[providers.refused]
kind = "qwen"
{place}
api_key = "env:BAD_KEY"

[providers.poorer]
{place}
api_key = "env:GOOD_KEY"
models = ["fake-9"]

[providers.away]
base_url = "http://127.0.0.1:9/v1"

[providers.keyless]
{place}
api_key = "env:NO_SUCH_KEY"

[providers.ollama]
"""
    )
    return tmp_path


@pytest.mark.usefixtures("settings")
def test_providers_are_listed_without_asking_them(perdure: Perdure, upstream: Upstream) -> None:
    rows = {row["name"]: row for row in perdure("providers", "list", "--json").json}
    assert list(rows) == ["local", "good", "refused", "poorer", "away", "keyless", "ollama"]
    assert rows["good"] == {"name": "good", "kind": "generic", "dialect": None, "base_url": upstream.base_url, "models": ["fake-1"]}
    assert "refused" in perdure("providers", "list").out


@pytest.mark.usefixtures("settings")
def test_each_is_checked_and_what_is_wrong_is_told_apart(perdure: Perdure) -> None:
    done = perdure("providers", "check", "--json")
    assert done.code == 1
    found = {row["provider"]: row for row in done.json}
    told = {name: (row["ok"], row["reachable"], row["key_good"], row["models_there"]) for name, row in found.items()}
    assert told == {
        "good": (True, True, True, True),
        "refused": (False, True, False, None),
        "poorer": (False, True, True, False),
        "away": (False, False, None, None),
        "keyless": (False, None, None, None),
        "ollama": (False, False, None, None),
    }
    assert "region or plan" in found["refused"]["error"]["hint"]
    assert found["good"]["latency_s"] > 0
    assert "right" not in json.dumps(found["refused"])


@pytest.mark.usefixtures("settings")
def test_one_is_checked_by_name(perdure: Perdure) -> None:
    assert " ok " in perdure("providers", "check", "good").out
    bad = perdure("providers", "check", "refused")
    assert (bad.code, "FAILED" in bad.out) == (1, True)
    assert "hint: Wrong region or plan?" in bad.out
    assert "there is no provider 'nobody'" in perdure("providers", "check", "nobody").err


def test_kinds_are_listed(perdure: Perdure) -> None:
    assert perdure("providers", "kinds", "--json").json["qwen"] == "perdure"
    assert "generic" in perdure("providers", "kinds").out


@pytest.mark.usefixtures("settings")
def test_the_whole_kit_proves_a_provider_for_a_user(perdure: Perdure, upstream: Upstream) -> None:
    report = perdure("providers", "check", "good", "--conformance", "--json").json
    assert (report["provider"], report["failed"]) == ("good", 0)
    assert [test["name"] for test in report["tests"]] == [*names_of("answers"), *names_of("failures")]
    assert 20 < upstream.count() < 60, "the endpoint itself is asked for answers only"


@pytest.mark.usefixtures("settings")
def test_what_does_not_hold_is_told_with_why(perdure: Perdure, upstream: Upstream) -> None:
    upstream.reply = lambda _: "no call, no schema"
    done = perdure("providers", "check", "good", "--conformance")
    assert done.code == 1
    assert "FAILED  a forced tool call has its name and arguments that are json" in done.out
    assert "no tool call in" in done.out
    assert "ok      every error of the table is told" in done.out
    assert "good: " in done.out.splitlines()[-1]


@pytest.mark.usefixtures("settings")
def test_one_provider_is_proved_at_a_time(perdure: Perdure) -> None:
    refused = perdure("providers", "check", "--conformance")
    assert (refused.code, "name it" in refused.err) == (2, True)


def test_how_workers_found_providers_is_listed(perdure: Perdure, served: Any) -> None:
    assert "not looked at" in perdure("providers", "list", "--health").out
    error = AuthenticationFailed("the key is not taken", hint="Another region?").facts()
    found = Checkup(provider="fake", ok=False, reachable=True, key_good=False, models_there=None, latency_s=0.25, at=1.0, error=error)
    served.ask(served.store.health.note(found, every_s=300.0))
    listed = perdure("providers", "list", "--health").out
    assert all(part in listed for part in ("FAILED", "250 ms", "1 failed", "the key is not taken", "hint: Another region?"))
    [row] = perdure("providers", "list", "--health", "--json").json
    assert (row["health"]["ok"], row["health"]["found"]["key_good"]) == (False, False)
