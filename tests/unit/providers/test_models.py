"""A name finds exactly one provider, or an error that helps."""

from __future__ import annotations

import pytest

from perdure.errors.base import ConfigError, UnknownModel
from perdure.providers.models import Models
from perdure.testing.provider import FakeProvider


def models(**more: object) -> Models:
    providers = {"a": FakeProvider("a", models=["one", "both"]), "b": FakeProvider("b", models=["two", "both", "Qwen/Qwen3-8B"])}
    return Models(providers, {"fast": ("b", "two")}, "a/one", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "lane"),
    [
        (None, "a/one"),
        ("default", "a/one"),
        ("fast", "b/two"),
        ("a/anything", "a/anything"),
        ("b/org/model", "b/org/model"),
        ("two", "b/two"),
        ("Qwen/Qwen3-8B", "b/Qwen/Qwen3-8B"),
    ],
)
def test_a_name_is_resolved(name: str | None, lane: str) -> None:
    assert models().resolve(name).lane == lane


def test_the_upstream_is_asked_by_its_own_name() -> None:
    assert models().resolve("fast").request({"model": "fast", "n": 1}) == {"model": "two", "n": 1}


@pytest.mark.parametrize(
    ("name", "hint"), [("tvo", "'b/two'"), ("fasst", "'fast'"), ("zzzzzz", "There is: a/both"), ("both", "a/both, b/both")]
)
def test_an_unknown_name_is_helped(name: str, hint: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        models().resolve(name)
    assert hint in str(caught.value.hint)


def test_an_ambiguous_name_is_told_its_ways() -> None:
    with pytest.raises(UnknownModel, match="more than one"):
        models().resolve("both")


def test_names_are_listed_without_asking_anyone() -> None:
    assert models().names() == ["a/both", "a/one", "b/Qwen/Qwen3-8B", "b/both", "b/two", "fast"]


def test_an_alias_of_nobody_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="'nobody'"):
        Models({"a": FakeProvider("a")}, {"x": ("nobody", "m")})


async def test_all_providers_are_closed() -> None:
    made = models()
    await made.aclose()
    assert all(provider.closed for provider in made.providers.values())  # type: ignore[attr-defined]


def test_a_providers_name_stands_for_its_first_model() -> None:
    made = Models({"qwen": FakeProvider("qwen", models=("plus", "max")), "mute": FakeProvider("mute", models=())}, {}, "qwen/max")
    assert made.resolve("qwen").lane == "qwen/plus"
    with pytest.raises(UnknownModel):
        made.resolve("mute")
