"""`make run ONCE=1`, as it is typed: every example on the real local model. It asserts form and end state; the judgement is a toy's."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.cli.lines import read_lines
from perdure.messages.message import View
from perdure.messages.store import Filter
from perdure.providers.local import stop_model
from perdure.stores.sqlite.store import SqliteStore

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMIT_S = 600


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    stop_model(tmp_path / "data")


def environment(data: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PERDURE_DATA": str(data), "PERDURE_SERVER__PORT": "0", **more}


def everything_in(data: Path) -> list[View]:
    async def look() -> list[View]:
        async with SqliteStore(data / "perdure.db", run_dir=data / "run") as store:
            return list((await store.messages.list(Filter(), limit=1000)).views)

    return asyncio.run(look())


def test_the_tickets_are_a_batch_file_of_real_work() -> None:
    lines = read_lines((EXAMPLES / "tickets.jsonl").read_bytes(), agent="chat")
    bodies = [json.loads(line.body) for line in lines]
    assert len(lines) >= 20
    assert len({body["messages"][-1]["content"] for body in bodies}) == len(lines)
    assert all(body["model"] == "local/smollm2" and body["max_tokens"] <= 64 for body in bodies)


@pytest.mark.timeout(LIMIT_S)
def test_make_run_once_does_every_example_and_says_what_came(data: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "run.py"), "--once"]
    done = subprocess.run(command, env=environment(data), capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    names = [json.loads(line)["custom_id"] for line in (EXAMPLES / "tickets.jsonl").read_text().splitlines()]
    told = re.findall(
        r"^ *(\d+)/(\d+)  (\S+) +(chat|triage) +(\w+) +priority (\d)  attempt (\d) of \d +([\d.]+) s +(\d+) in +(\d+) out$",
        done.stdout,
        re.M,
    )
    assert {name for _, _, name, agent, *_ in told if agent == "chat"} == set(names)
    assert {priority for _, _, _, agent, _, priority, *_ in told if agent == "triage"} >= {"0", "9"}
    assert all(state == "done" for _, _, _, _, state, *_ in told)
    assert "toy's" in done.stdout
    assert "Every example is done." in done.stdout
    for command_to_try in ("perdure send chat", "perdure messages list", "perdure batch"):
        assert command_to_try in done.stdout
    key = (data / "key").read_text().strip()
    assert key not in done.stdout + done.stderr
    views = everything_in(data)
    assert len(views) == len(told)
    for view in views:
        assert view.state == "done"
        result = json.loads(view.result or b"null")
        assert isinstance(result, dict)
        if view.message.agent == "chat":
            sorted_as = json.loads(result["choices"][0]["message"]["content"])
            assert set(sorted_as) == {"topic", "tone"}
            assert view.usage
            assert view.usage.output_tokens
            assert view.usage.output_tokens <= 64


@pytest.mark.timeout(LIMIT_S)
def test_ctrl_c_while_the_examples_run_ends_in_order_and_loses_nothing(data: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "run.py")]
    env = environment(data, PERDURE_WORKER__GRACE_S="1")
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "135 million" in line:
                break
        os.killpg(running.pid, signal.SIGINT)  # what a terminal does
        _, err = running.communicate(timeout=60)
    assert "Traceback" not in err
    assert running.returncode != 0  # the examples are not done, and it says so
    assert "before the examples were done" in err
    views = everything_in(data)
    assert len(views) >= 20
    assert {view.state for view in views} <= {"ready", "leased", "later", "done"}


@pytest.mark.timeout(120)
def test_a_port_in_use_is_told_and_not_zero(data: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        env = environment(data, PERDURE_SERVER__PORT=str(taken.getsockname()[1]))
        command = [sys.executable, str(EXAMPLES / "run.py"), "--once"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 4
    assert "is in use" in done.stderr
    assert "Traceback" not in done.stderr
