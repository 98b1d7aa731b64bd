"""Settings: merged from every source, checked as a whole, each with its origin."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from perdure.config.manager import ConfigManager
from perdure.errors.base import ConfigError


def loaded(
    folder: Path, *, env: str = "", environ: Mapping[str, str] | None = None, line: Mapping[str, Any] | None = None
) -> ConfigManager:
    manager = ConfigManager(folder, environ=environ or {}, overrides=line)
    manager.load(env)
    return manager


def write(folder: Path, text: str, name: str = "perdure.toml") -> None:
    (folder / name).write_text(text, encoding="utf-8")


def refusal(folder: Path, **sources: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, **sources)
    return str(caught.value)


def test_without_any_source_everything_has_its_default(tmp_path: Path) -> None:
    manager = loaded(tmp_path)
    assert manager.get("server.port") == 8321
    assert manager.origin("server.port") == "default"


def test_each_source_is_stronger_than_the_one_before(tmp_path: Path) -> None:
    write(tmp_path, "[worker]\nslots = 1\nthreads = 1\ngrace_s = 1\nprocesses = 1\n")
    write(tmp_path, "[worker]\nthreads = 2\ngrace_s = 2\nprocesses = 2\n", "perdure.production.toml")
    environ = {"PERDURE_WORKER__GRACE_S": "3", "PERDURE_WORKER__PROCESSES": "3"}
    manager = loaded(tmp_path, env="production", environ=environ, line={"worker.processes": 4})
    worker = manager.settings.worker
    assert (worker.slots, worker.threads, worker.grace_s, worker.processes) == (1, 2, 3.0, 4)
    origins = [manager.origin(f"worker.{name}") for name in ("slots", "threads", "grace_s", "processes")]
    assert origins == ["perdure.toml", "perdure.production.toml", "PERDURE_WORKER__GRACE_S", "command line"]


def test_the_two_aliases_of_the_environment(tmp_path: Path) -> None:
    manager = loaded(tmp_path, environ={"PERDURE_DATABASE_URL": "sqlite:///x.db", "PERDURE_DATA": str(tmp_path / "d")})
    assert str(manager.settings.store.url) == "sqlite:///x.db"
    assert manager.settings.data == tmp_path / "d"
    assert manager.origin("store.url") == "PERDURE_DATABASE_URL"


def test_the_data_folder_lies_beside_the_settings(tmp_path: Path) -> None:
    write(tmp_path, 'data = "here"\n')
    assert loaded(tmp_path).settings.data == tmp_path / "here"


@pytest.mark.parametrize("text", ["mail,chat", '["mail", "chat"]', " mail , chat ,"])
def test_a_list_in_the_environment_is_written_with_commas_or_as_json(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, environ={"PERDURE_WORKER__QUEUES": text}).settings.worker.queues == ["mail", "chat"]


def test_a_provider_can_be_spread_over_file_and_environment(tmp_path: Path) -> None:
    write(tmp_path, '[providers.qwen]\nkind = "qwen"\nregion = "intl"\n[models."qwen2.5"]\nprovider = "qwen"\nmodel = "q"\n')
    manager = loaded(tmp_path, environ={"PERDURE_PROVIDERS__QWEN__API_KEY": "sk-secret"})
    key = manager.get("providers.qwen.api_key")
    assert key.get_secret_value() == "sk-secret"
    assert manager.get("providers.qwen.region") == "intl"
    assert manager.get("models.qwen2.5.model") == "q"
    assert "sk-secret" not in repr(manager.settings)


def test_an_empty_section_counts(tmp_path: Path) -> None:
    write(tmp_path, "[providers.mine]\n")
    assert loaded(tmp_path).settings.providers["mine"].kind == "generic"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("[server]\nprot = 1\n", "'server.prot' is no setting; did you mean 'server.port'?"),
        ("port = 1\n", "'port' is no setting; did you mean 'server.port'?"),
        ("[wroker]\nslots = 1\n", "'wroker.slots' is no setting; did you mean 'worker.slots'?"),
        ("[queue]\nmax_attempts = 1\n", "'queue.max_attempts' is no setting; did you mean 'queue.attempts'?"),
        ("[providers.a]\nbase_ur = 'x'\n", "'providers.a.base_ur' is no setting; did you mean 'providers.a.base_url'?"),
        ("zebra = 1\n", "'zebra' is no setting"),
    ],
)
def test_an_unknown_name_in_a_file_is_an_error_with_a_suggestion(tmp_path: Path, text: str, meant: str) -> None:
    write(tmp_path, text)
    assert refusal(tmp_path) == f"perdure.toml: {meant}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PERDURE_QUEUE_ATTEMPTS", "PERDURE_QUEUE__ATTEMPTS"),
        ("PERDURE_SERVER__PROT", "PERDURE_SERVER__PORT"),
        ("PERDURE_DATAS", "PERDURE_DATA"),
    ],
)
def test_an_unknown_variable_is_an_error_in_its_own_spelling(tmp_path: Path, name: str, meant: str) -> None:
    assert refusal(tmp_path, environ={name: "1"}) == f"{name}: is no setting; did you mean {meant!r}?"


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    write(tmp_path, "[server]\nprot = 1\n[worker]\nslot = 2\n")
    assert len(refusal(tmp_path, environ={"PERDURE_LGO": "json"}).splitlines()) == 3


def test_a_value_that_is_not_allowed_is_named_with_where_it_came_from(tmp_path: Path) -> None:
    said = refusal(tmp_path, environ={"PERDURE_SERVER__PORT": "99999"})
    assert said.startswith("PERDURE_SERVER__PORT: server.port = '99999': ")


def test_what_clients_and_kubernetes_set_is_no_setting(tmp_path: Path) -> None:
    environ = {
        "PERDURE_URL": "http://x",
        "PERDURE_API_KEY": "pdr_x",
        "PERDURE_SERVICE_HOST": "10.0.0.1",
        "PERDURE_PORT": "tcp://10.0.0.1:8321",
        "PERDURE_PORT_8321_TCP_ADDR": "10.0.0.1",
        "PERDURE_WEB_SERVICE_PORT_HTTP": "80",
        "PERDURE_SERVER__HOST": "",
    }
    assert loaded(tmp_path, environ=environ).settings.server.host == "127.0.0.1"
    assert "PERDURE_SERVER__PORT" in refusal(tmp_path, environ={"PERDURE_PORT": "9000"})


def test_a_secret_in_plain_text_is_refused_in_files_and_never_repeated(tmp_path: Path) -> None:
    write(tmp_path, '[providers.a]\napi_key = "sk-plain"\n')
    said = refusal(tmp_path)
    assert "'providers.a.api_key' holds a secret in plain text" in said
    assert "sk-plain" not in said


def test_a_secret_of_the_wrong_type_is_not_repeated(tmp_path: Path) -> None:
    said = refusal(tmp_path, environ={"PERDURE_PROVIDERS__A__API_KEY": '["sk-plain"]'})
    assert "providers.a.api_key" in said
    assert "sk-plain" not in said


@pytest.mark.parametrize("text", ["[server\n", "\x00", "a = \n"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    assert "perdure.toml is not valid TOML" in refusal(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "perdure.toml").write_bytes(b"\xff\xfe")
    assert "perdure.toml cannot be read" in refusal(tmp_path)


def test_an_environment_misspelled_is_an_error_where_others_have_files(tmp_path: Path) -> None:
    assert loaded(tmp_path, env="production").get("worker.slots") == 20
    write(tmp_path, "", "perdure.production.toml")
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, env="prodution")
    assert caught.value.hint == "Did you mean 'production'?"
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, env="zzz")
    assert caught.value.hint == "There is 'production'."


@pytest.mark.parametrize("env", ["../x", "a/b", ".", "a\x00"])
def test_an_environment_cannot_name_a_path(tmp_path: Path, env: str) -> None:
    assert "is no name for an environment" in refusal(tmp_path, env=env)


def test_a_value_where_a_section_belongs_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "server = 5\n")
    assert "needs a section 'server'" in refusal(tmp_path, environ={"PERDURE_SERVER__PORT": "1"})


def test_settings_of_a_newer_perdure_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "config_version = 2\n")
    assert "config_version 2 is not known" in refusal(tmp_path)


def test_nothing_is_loaded_from_a_load_that_failed(tmp_path: Path) -> None:
    manager = loaded(tmp_path, environ={"PERDURE_WORKER__SLOTS": "3"})
    write(tmp_path, "zebra = 1\n")
    with pytest.raises(ConfigError):
        manager.load("")
    assert manager.get("worker.slots") == 3


def test_asking_before_loading_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no settings are loaded"):
        ConfigManager(tmp_path, environ={}).get("server.port")


def test_an_unknown_name_asked_for_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path).get("server.prot")
    assert caught.value.hint == "Did you mean 'server.port'?"


def test_an_update_is_taken_when_the_whole_is_still_valid(tmp_path: Path) -> None:
    manager = loaded(tmp_path)
    before = manager.settings
    manager.update("worker.slots", 7)
    assert manager.get("worker.slots") == 7
    assert manager.origin("worker.slots") == "update"
    assert before.worker.slots == 20


@pytest.mark.parametrize(("key", "value"), [("worker.slots", 0), ("worker.slot", 5), ("worker", 5), ("providers.x", {"kind": "zebra"})])
def test_an_update_that_would_break_something_changes_nothing(tmp_path: Path, key: str, value: Any) -> None:
    manager = loaded(tmp_path, environ={"PERDURE_WORKER__SLOTS": "3"})
    with pytest.raises(ConfigError):
        manager.update(key, value)
    assert manager.get("worker.slots") == 3
    assert manager.validate()


def test_an_update_of_a_section_replaces_it(tmp_path: Path) -> None:
    write(tmp_path, '[providers.a]\nbase_url = "http://one"\nworkspace = "w"\n')
    manager = loaded(tmp_path)
    manager.update("providers.a", {"base_url": "http://two"})
    assert manager.get("providers.a.base_url") == "http://two"
    assert manager.get("providers.a.workspace") is None


def test_updates_from_many_threads_are_all_kept(tmp_path: Path) -> None:
    manager = loaded(tmp_path)
    threads = [threading.Thread(target=manager.update, args=(f"providers.p{n}", {"base_url": "http://x"})) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(manager.get("providers")) == 20


def test_validate_says_which_secret_cannot_be_found(tmp_path: Path) -> None:
    write(tmp_path, '[providers.a]\napi_key = "env:THERE"\n[providers.b]\napi_key = "env:NOT_THERE"\n')
    manager = loaded(tmp_path, environ={"THERE": "sk-1"})
    assert not manager.validate()
    assert manager.problems == ["providers.b.api_key: the settings take a secret from the variable 'NOT_THERE', which is not set"]


def test_validate_before_loading_checks_the_defaults(tmp_path: Path) -> None:
    assert ConfigManager(tmp_path, environ={}).validate()


@pytest.mark.parametrize("sum", ["-1.0", "nan", "inf", "1e300"])
@pytest.mark.parametrize(
    "place", ['[prices."a/b"]\noutput_usd = 1.0\ninput_usd', "[budgets]\ndaily_usd", "[budgets.tenant]\nacme", "[agents.a]\nmax_cost_usd"]
)
def test_a_sum_that_is_none_is_refused(place: str, sum: str, tmp_path: Path) -> None:
    write(tmp_path, f"{place} = {sum}\n")
    assert place.rpartition("\n")[2] in refusal(tmp_path)
