"""The counting upstream: every request is on disk before it is answered."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from perdure.testing.upstream import Fault, Upstream, read_log


def post(url: str, body: Any, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def test_requests_are_counted_by_tag_and_prompt(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    with Upstream(log=log) as upstream:
        chat = f"{upstream.base_url}/chat/completions"
        post(chat, ask("a [tag:one]"))
        post(chat, ask("b", user="two"))
        post(chat, ask("b", metadata={"tag": "three"}))
        post(chat, ask("b"), **{"x-tag": "four"})
        assert (upstream.count(), upstream.count("two")) == (4, 1)
    assert read_log(tmp_path / "none") == []
    seen = read_log(log)
    assert [call.tag for call in seen] == ["one", "two", "three", "four"]
    assert seen[1].sha == seen[2].sha != seen[0].sha
    assert sum("answered" in line for line in log.read_text().splitlines()) == 4


def test_faults_are_used_up_in_order_and_by_tag() -> None:
    with Upstream() as upstream:
        chat = f"{upstream.base_url}/chat/completions"
        upstream.script(Fault("status", 429, {"retry-after": "2"}), Fault("status", 503, tag="mine"))
        assert [post(chat, ask("a"))[0] for _ in range(2)] == [429, 200]
        assert [post(chat, ask("a", user="mine"))[0] for _ in range(2)] == [503, 200]
        assert post(upstream.base_url.removesuffix("/v1") + "/script", [{"kind": "html"}])[0] == 200
        assert post(chat, ask("a"))[1].startswith(b"<html>")


def test_a_key_can_be_demanded() -> None:
    with Upstream(api_key="k") as upstream:
        chat = f"{upstream.base_url}/chat/completions"
        assert post(chat, ask("a"))[0] == 401
        assert post(chat, ask("a"), authorization="Bearer k")[0] == 200
        assert upstream.count() == 1


@pytest.mark.parametrize("delay", ["0", "0.01"])
def test_it_runs_as_a_process_of_its_own(tmp_path: Path, delay: str) -> None:
    command = [sys.executable, "-m", "perdure.testing.upstream", "--log", str(tmp_path / "log"), "--delay", delay]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        url = json.loads(running.stdout.readline())["url"]
        status, raw = post(f"{url}/chat/completions", ask("hello"))
        running.terminate()
    assert status == 200
    assert json.loads(raw)["choices"][0]["message"]["content"] == "answer to: hello"
    assert len(read_log(tmp_path / "log")) == 1
