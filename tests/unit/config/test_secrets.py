"""Secrets are references, looked up late."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from perdure.config.secrets import reveal
from perdure.errors.base import ConfigError, NotYetBuilt


def test_nothing_stays_nothing() -> None:
    assert reveal(None) is None


def test_a_variable_is_looked_up_when_it_is_needed() -> None:
    environ = {"KEY": "first"}
    reference = SecretStr("env:KEY")
    assert reveal(reference, environ=environ) == "first"
    environ["KEY"] = "second"
    assert reveal(reference, environ=environ) == "second"


def test_a_file_gives_its_text_without_the_line_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1\n")
    assert reveal(f"file:{tmp_path / 'key'}") == "sk-1"


def test_plain_text_from_the_environment_is_itself() -> None:
    assert reveal(SecretStr("sk-1")) == "sk-1"


@pytest.mark.parametrize("text", ["env:NOT_THERE", "env:", "file:/nowhere/at/all", "file:/", "file:\x00"])
def test_what_cannot_be_found_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError):
        reveal(text, environ={})


@pytest.mark.parametrize("content", [b"", b"  \n", b"x" * (64 * 1024 + 1), b"\xff"])
def test_a_file_without_a_usable_secret_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError):
        reveal(f"file:{tmp_path / 'key'}")


@pytest.mark.parametrize("text", ["keyring:service/user", "enc:abc"])
def test_what_is_not_built_is_refused_by_name(text: str) -> None:
    with pytest.raises(NotYetBuilt, match=text.split(":", maxsplit=1)[0]):
        reveal(text)
