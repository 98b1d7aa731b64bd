"""Where the server is and with which key, when nobody says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perdure.client.address import DEFAULT_URL, find_address
from perdure.errors.base import ConfigError


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PERDURE_URL", "PERDURE_API_KEY", "PERDURE_DATA", "PERDURE_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def data_of(folder: Path, *, url: str = "http://127.0.0.1:9", key: str = "pdr_file") -> Path:
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "server.json").write_text(json.dumps({"url": url, "pid": 1}))
    (folder / "key").write_text(key + "\n")
    return folder


def test_without_anything_it_is_this_machines_default_port() -> None:
    found = find_address()
    assert (found.url, found.key) == (DEFAULT_URL, None)


def test_the_data_folder_here_says_both(tmp_path: Path) -> None:
    data_of(tmp_path / ".perdure")
    found = find_address()
    assert (found.url, found.key) == ("http://127.0.0.1:9", "pdr_file")


def test_the_data_folder_may_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_of(tmp_path / "there")
    monkeypatch.setenv("PERDURE_DATA", str(tmp_path / "there"))
    assert find_address().key == "pdr_file"


def test_a_settings_file_here_may_name_it(tmp_path: Path) -> None:
    data_of(tmp_path / "there")
    (tmp_path / "perdure.toml").write_text('data = "there"\n')
    assert find_address().key == "pdr_file"


def test_a_broken_settings_file_stops_no_client(tmp_path: Path) -> None:
    (tmp_path / "perdure.toml").write_text("][")
    data_of(tmp_path / ".perdure")
    assert find_address().key == "pdr_file"


def test_the_environment_is_stronger_and_the_caller_strongest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_of(tmp_path / ".perdure")
    monkeypatch.setenv("PERDURE_URL", "https://perdure.example/base/")
    monkeypatch.setenv("PERDURE_API_KEY", "pdr_env")
    found = find_address()
    assert (found.url, found.key) == ("https://perdure.example/base", "pdr_env")
    assert find_address("http://[::1]:1", "pdr_said").key == "pdr_said"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 5}', "\x00"])
def test_a_broken_address_file_is_as_none(tmp_path: Path, content: str) -> None:
    (data_of(tmp_path / ".perdure") / "run" / "server.json").write_text(content)
    assert find_address().url == DEFAULT_URL


@pytest.mark.parametrize(
    "url", ["ftp://x", "127.0.0.1:8321", "http://", "http://x:99999", "http://a b", "http://x/?q", "http://x\n", "//x", "http://[::1"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address"):
        find_address(url)


@pytest.mark.parametrize("key", ["pdr a", "pdr\r\nx: y", "pdrü", "\x00"])
def test_a_key_that_would_break_a_header_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_address(api_key=key)
    assert key not in str(caught.value)


def test_an_address_never_shows_its_key() -> None:
    assert "pdr_secret" not in repr(find_address(api_key="pdr_secret"))
