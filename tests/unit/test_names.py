"""The front door: every public name is there, typed use finds it, and importing costs next to nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import perdure


@pytest.mark.parametrize("name", perdure.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(perdure, name) is not None
    assert name in dir(perdure)


def test_the_names_are_in_order_and_once() -> None:
    assert sorted(set(perdure.__all__)) == perdure.__all__


def test_every_name_has_a_home_that_says_its_name() -> None:
    for name in set(perdure.__all__) - {"__version__"}:
        assert getattr(perdure, name).__module__.startswith("perdure.")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Agentt'"):
        _ = perdure.Agentt  # type: ignore[attr-defined]


def test_importing_perdure_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import perdure; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) <= {"perdure", "__future__", "importlib", "warnings", "importlib._bootstrap", "importlib._bootstrap_external"}
