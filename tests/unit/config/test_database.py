"""An address is shown, its password is not."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from perdure.config.database import DatabaseUrl, holds_password
from perdure.config.manager import ConfigManager
from perdure.config.settings import Settings
from perdure.errors.base import ConfigError

SECRET = [
    ("postgresql://ann:s3cret@db/shop?sslmode=require", "postgresql://ann:***@db/shop?sslmode=require"),
    ("postgresql://ann:s3@cret@db/shop", "postgresql://ann:***@db/shop"),
    ("postgresql://ann:s3/cret@db/shop", "postgresql://ann:***@db/shop"),
    ("postgresql://:s3cret@db/shop", "postgresql://:***@db/shop"),
    ("postgresql://ann@db/shop?password=s3cret&connect_timeout=3", "postgresql://ann@db/shop?password=***&connect_timeout=3"),
]
PLAIN = ["sqlite:///a:b@c.db", "postgresql://ann@db/shop?host=/run/pg", "env:DATABASE_URL", "file:/run/secrets/url", "nonsense"]


@pytest.mark.parametrize(("url", "shown"), SECRET)
def test_a_password_is_struck_out_wherever_the_address_is_written(url: str, shown: str) -> None:
    settings = Settings.model_validate({"store": {"url": url}})

    assert holds_password(url)
    assert str(settings.store.url) == shown
    assert "s3" not in f"{settings!r} {settings.model_dump_json()} {settings.store.url}"


@pytest.mark.parametrize("url", PLAIN)
def test_an_address_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert (str(DatabaseUrl(url)), holds_password(url)) == (url, False)


def test_it_goes_to_another_process_whole() -> None:
    url = pickle.loads(pickle.dumps(DatabaseUrl(SECRET[0][0])))
    assert url.get_secret_value() == SECRET[0][0]


def test_a_file_may_not_hold_the_password(tmp_path: Path) -> None:
    (tmp_path / "perdure.toml").write_text('[store]\nurl = "postgresql://ann:s3cret@db/shop"\n')

    with pytest.raises(ConfigError, match=r"'store.url' holds a secret in plain text") as caught:
        ConfigManager(tmp_path, environ={}).load()

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://ann@db/shop", "env:DATABASE_URL"])
def test_a_file_may_hold_everything_else(tmp_path: Path, url: str) -> None:
    (tmp_path / "perdure.toml").write_text(f'[store]\nurl = "{url}"\n')
    manager = ConfigManager(tmp_path, environ={})
    manager.load()

    assert str(manager.get("store.url")) == url


def test_the_environment_may_hold_it(tmp_path: Path) -> None:
    manager = ConfigManager(tmp_path, environ={"PERDURE_DATABASE_URL": SECRET[0][0]})
    manager.load()

    assert manager.get("store.url").get_secret_value() == SECRET[0][0]
    assert manager.origin("store.url") == "PERDURE_DATABASE_URL"


def test_a_reference_to_nothing_is_told_by_validate(tmp_path: Path) -> None:
    manager = ConfigManager(tmp_path, environ={"PERDURE_DATABASE_URL": "env:NOT_THERE"})
    manager.load()

    assert not manager.validate()
    assert "store.url: the settings take a secret from the variable 'NOT_THERE'" in manager.problems[0]


def test_a_wrong_kind_of_value_is_told_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        ConfigManager(tmp_path, environ={}, overrides={"store.url": ["postgresql://ann:s3cret@db/shop"]}).load()

    assert "s3cret" not in str(caught.value)
