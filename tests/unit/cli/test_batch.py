"""A file in, a file out, over a server and a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Perdure = Callable[..., Any]


def batch_file(folder: Path, count: int, word: str, *, model: str = "fake/fake-1") -> Path:
    body = {"model": model, "messages": [{"role": "user", "content": word}]}
    lines = [{"custom_id": f"{word}-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body} for n in range(count)]
    file = folder / f"{word}.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def answers(file: Path) -> dict[str, Any]:
    return {line["custom_id"]: line for line in map(json.loads, file.read_text().splitlines())}


@pytest.mark.usefixtures("served", "working")
def test_every_line_is_answered_in_the_file(perdure: Perdure, tmp_path: Path) -> None:
    ran = perdure("batch", str(batch_file(tmp_path, 600, "many")), "--out", str(tmp_path / "out.jsonl"))
    assert ran.code == 0
    assert "600 messages are put" in ran.err
    assert "answered: 600 of 600" in ran.err
    found = answers(tmp_path / "out.jsonl")
    assert len(found) == 600
    assert all(line["response"]["status_code"] == 200 and line["error"] is None for line in found.values())
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.usefixtures("served", "working")
def test_without_a_file_the_answers_go_to_standard_output(shell: Perdure, tmp_path: Path) -> None:
    ran = shell("batch", str(batch_file(tmp_path, 3, "out")))
    assert ran.code == 0
    assert len([json.loads(line) for line in ran.out.splitlines()]) == 3


def test_the_same_file_again_attaches_to_what_is_there(served: Any, perdure: Perdure, tmp_path: Path) -> None:
    file = batch_file(tmp_path, 5, "again")
    assert perdure("batch", str(file), "--no-wait").code == 0
    served.work()
    stop = served.worker_loop()
    try:
        again = perdure("batch", str(file), "--out", str(tmp_path / "o"))
        assert "5 messages are put, 5 of them earlier" in again.err
        assert len(answers(tmp_path / "o")) == 5
        other = perdure("batch", str(file), "--out", str(tmp_path / "o"), "--round", "2")
        assert "earlier" not in other.err
    finally:
        stop()


def test_a_changed_line_is_a_new_message(served: Any, perdure: Perdure, tmp_path: Path) -> None:
    file = batch_file(tmp_path, 4, "changed")
    perdure("batch", str(file), "--no-wait")
    lines = file.read_text().splitlines()
    lines[2] = lines[2].replace('"content": "changed"', '"content": "other"')
    file.write_text("\n".join(lines))
    assert "4 messages are put, 3 of them earlier" in perdure("batch", str(file), "--no-wait").err


@pytest.mark.usefixtures("served", "working")
def test_lines_that_fail_are_in_the_file_and_in_the_exit_code(perdure: Perdure, tmp_path: Path) -> None:
    ran = perdure("batch", str(batch_file(tmp_path, 2, "sad")), "--agent", "broken", "--out", str(tmp_path / "o"))
    assert ran.code == 1
    assert "2 of 2 failed" in ran.err
    assert answers(tmp_path / "o")["sad-0"]["error"] == {"code": "agent-failed", "message": "it broke"}


@pytest.mark.usefixtures("served")
def test_options_reach_the_messages(perdure: Perdure, tmp_path: Path) -> None:
    perdure("batch", str(batch_file(tmp_path, 1, "opt")), "--no-wait", "--priority", "9", "--queue", "slow")
    [message] = perdure("messages", "list", "--queue", "slow", "--json").json["data"]
    assert (message["priority"], message["metadata"]) == (9, {"custom_id": "opt-0"})


@pytest.mark.usefixtures("served")
def test_a_bad_file_puts_nothing(perdure: Perdure, tmp_path: Path) -> None:
    file = batch_file(tmp_path, 3, "bad")
    file.write_text(file.read_text() + "{nope\n")
    ran = perdure("batch", str(file), "--queue", "bad")
    assert (ran.code, ran.out) == (2, "")
    assert "line 4: this is not JSON" in ran.err
    assert perdure("messages", "list", "--queue", "bad", "--json").json["data"] == []
    assert perdure("batch", "/no/such/file").code == 2


@pytest.mark.usefixtures("served")
def test_where_no_answers_can_be_written_nothing_is_put(served: Any, perdure: Perdure, tmp_path: Path) -> None:
    for out in (tmp_path / "missing" / "out.jsonl", tmp_path):
        ran = perdure("batch", str(batch_file(tmp_path, 2, "nowhere")), "--out", str(out))
        assert ran.code == 2
        assert "no file can be written" in ran.err
        assert "are put" not in ran.err


@pytest.mark.usefixtures("served")
def test_an_unknown_model_is_told(perdure: Perdure, tmp_path: Path) -> None:
    ran = perdure("batch", str(batch_file(tmp_path, 1, "nomodel", model="nobody/nothing")))
    assert ran.code == 3
    assert "nobody/nothing" in ran.err


def test_ctrl_c_leaves_the_messages_and_says_how_to_go_on(served: Any, perdure: Perdure, tmp_path: Path) -> None:
    file = batch_file(tmp_path, 3, "stopped")
    env = {**os.environ, "PERDURE_URL": served.url, "PERDURE_API_KEY": served.key}
    command = [sys.executable, "-m", "perdure", "batch", str(file), "--out", str(tmp_path / "o"), "--queue", "stopped"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "messages are put" in line:
                break
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "The same command again attaches" in err
    assert not (tmp_path / "o").exists()
    assert len(perdure("messages", "list", "--queue", "stopped", "--state", "ready", "--json").json["data"]) == 3
    stop = served.worker_loop()
    try:
        assert perdure("batch", str(file), "--out", str(tmp_path / "o"), "--queue", "stopped").code == 0
    finally:
        stop()
    assert len(answers(tmp_path / "o")) == 3
