"""Providers are made of settings: our kinds, kinds of installed packages, and any object with the three methods."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from perdure.config.kinds import OWN_KINDS, foreign_kinds
from perdure.config.settings import ProviderSettings
from perdure.errors.base import ConfigError
from perdure.providers import kinds
from perdure.providers.foreign import ForeignProvider
from perdure.providers.generic import GenericProvider
from perdure.providers.kinds import known_kinds, make_provider
from perdure.providers.local import LocalProvider
from perdure.providers.qwen import QwenProvider

PACKAGE = '''
class Parrot:
    """The three methods, and nothing of ours."""

    def __init__(self, name, *, api_key=None, voice="loud"):
        self.name, self.api_key, self.voice = name, api_key, voice

    def generate(self, prompt, system_prompt=""):
        return f"{prompt}, {self.voice}"

    def get_metrics(self):
        return {}

    def validate(self):
        return True


class Full:
    def __init__(self, name, **more):
        self.name, self.more, self.declared = name, more, ("m",)

    async def chat(self, body, *, timeout_s=None): ...
    def stream(self, body, *, timeout_s=None): ...
    async def models(self): ...
    async def aclose(self): ...


def nobody(name):
    return object()
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that brings kinds, as pip would have installed it."""
    (tmp_path / "parrots.py").write_text(PACKAGE)
    facts = tmp_path / "perdure_parrots-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: perdure-parrots\nVersion: 1.0\n")
    lines = ["parrot = parrots:Parrot", "full = parrots:Full", "nobody = parrots:nobody", "broken = parrots:Missing"]
    (facts / "entry_points.txt").write_text("\n".join(["[perdure.providers]", *lines]) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("parrots", None)


def made(tmp_path: Path, name: str = "mine", **settings: Any) -> Any:
    return make_provider(name, ProviderSettings(**settings), data=tmp_path)


def test_our_own_kinds_are_those_that_can_be_named() -> None:
    assert set(kinds._KINDS) == set(OWN_KINDS)
    assert {name: origin for name, origin in known_kinds().items() if origin == "perdure"} == dict.fromkeys(OWN_KINDS, "perdure")


def test_each_of_our_kinds_is_made(tmp_path: Path) -> None:
    assert type(made(tmp_path, base_url="http://127.0.0.1:9/v1")) is GenericProvider
    assert type(made(tmp_path, kind="qwen")) is QwenProvider
    assert type(made(tmp_path, kind="local")) is LocalProvider
    services = {kind: made(tmp_path, kind=kind, options={"zone": 1}).service for kind in ("anthropic", "bedrock", "vertex")}
    assert services == {"anthropic": "anthropic", "bedrock": "bedrock", "vertex": "vertexai"}


def test_a_known_endpoint_needs_no_address(tmp_path: Path) -> None:
    assert made(tmp_path, dialect="ollama").base_url == "http://127.0.0.1:11434/v1"
    assert made(tmp_path, "groq").base_url == "https://api.groq.com/openai/v1"
    assert made(tmp_path, "groq").row.name == "groq"
    own = made(tmp_path, kind="qwen", dialect="vllm")
    assert (own.base_url, own.dialect) == ("http://127.0.0.1:8000/v1", "vllm")
    assert made(tmp_path, kind="qwen", dialect="dashscope", region="us").base_url.startswith("https://dashscope-us.")
    elsewhere = made(tmp_path, "groq", base_url="http://127.0.0.1:1/v1")
    assert (elsewhere.base_url, elsewhere.row) == ("http://127.0.0.1:1/v1", None), "a name alone says nothing of an address"


@pytest.mark.parametrize("kind", ["generic", "qwen"])
def test_an_unknown_dialect_is_told(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match="'ollamma'") as caught:
        made(tmp_path, kind=kind, dialect="ollamma", base_url="http://127.0.0.1:9/v1")
    assert "ollama" in str(caught.value.hint)


def test_a_kind_that_nobody_knows_is_told_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="did you mean 'qwen'"):
        ProviderSettings(kind="qwenn")


async def test_a_package_brings_a_kind_and_an_object_with_three_methods_plugs_in(tmp_path: Path, installed: None) -> None:
    assert foreign_kinds()["parrot"] == "perdure-parrots"
    assert known_kinds()["parrot"] == "perdure-parrots"
    parrot = made(tmp_path, kind="parrot", options={"voice": "soft"})
    assert isinstance(parrot, ForeignProvider)
    answer = await parrot.chat({"model": "default", "messages": [{"role": "user", "content": "hello"}]})
    assert answer.text == "hello, soft"


def test_a_kind_gets_what_its_settings_say_and_nothing_else(tmp_path: Path, installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-1")
    full = made(tmp_path, kind="full", api_key="env:THE_KEY", models=["m"], options={"zone": 3})
    assert (full.name, full.more) == ("mine", {"api_key": "sk-1", "models": ["m"], "zone": 3})


def test_a_place_is_a_kind_without_a_package(tmp_path: Path, installed: None) -> None:
    assert isinstance(made(tmp_path, kind="parrots:Parrot"), ForeignProvider)


@pytest.mark.parametrize(
    ("kind", "options", "what"),
    [
        ("parrot", {"wings": 2}, "cannot be made with wings"),
        ("nobody", {}, "is no provider"),
        ("broken", {}, "cannot be imported"),
        ("no_such_module:Thing", {}, "cannot be imported"),
    ],
)
def test_what_cannot_be_made_says_why(tmp_path: Path, installed: None, kind: str, options: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        made(tmp_path, kind=kind, options=options)


def test_a_package_that_was_removed_since_is_told(tmp_path: Path) -> None:
    gone = ProviderSettings.model_construct(kind="gone")
    with pytest.raises(ConfigError, match="'gone', which nobody knows"):
        make_provider("mine", gone, data=tmp_path)
