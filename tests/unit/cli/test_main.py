"""The command as a whole: help, verbs, exit codes, errors."""

from __future__ import annotations

import importlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from perdure.cli.exits import Exit, exit_of
from perdure.cli.verbs import VERBS
from perdure.errors import base


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_help_names_every_verb_and_every_exit_code(perdure: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    ran = perdure(*arguments)
    assert ran.code == 0
    for verb in VERBS:
        assert f"\n  {verb} " in ran.out
    for code in Exit:
        assert str(int(code)) in ran.out


@pytest.mark.parametrize("verb", [*VERBS])
def test_every_verb_has_help_with_an_example(perdure: Callable[..., Any], verb: str) -> None:
    ran = perdure(verb, "--help")
    assert ran.code == 0
    commands = [line.split()[0] for line in ran.out.partition("\nCommands:\n")[2].splitlines() if line.startswith("  ") and line[2] != " "]
    for helped in [perdure(verb, command, "--help").out for command in commands] or [ran.out]:
        assert "Example" in helped
        assert f"perdure {verb}" in helped


@pytest.mark.parametrize("verb", [*VERBS])
def test_help_is_whole(perdure: Callable[..., Any], verb: str) -> None:
    shown = perdure(verb, "--help").out
    commands = shown.partition("\nCommands:\n")[2]
    assert "..." not in commands
    assert "…" not in commands
    assert "[[" not in shown


@pytest.mark.parametrize("verb", [*VERBS])
def test_examples_in_help_can_be_copied_and_typed(perdure: Callable[..., Any], verb: str) -> None:
    app = get_command(importlib.import_module(f"perdure.cli.{verb}").app)
    commands = getattr(app, "commands", {})
    for words, command in [([verb, name], one) for name, one in commands.items()] or [([verb], app)]:
        for line in perdure(*words, "--help").out.partition("Example")[2].splitlines():
            if "perdure " in line:
                typed = shlex.split(line[line.index("perdure ") :])
                assert typed[: len(words) + 1] == ["perdure", *words]
                command.make_context(verb, typed[len(words) + 1 :])  # an option or an argument that is not there is an error


def test_version(perdure: Callable[..., Any]) -> None:
    assert perdure("--version").out.startswith("perdure 0.")


def test_a_verb_misspelled_is_a_usage_error_with_a_suggestion(perdure: Callable[..., Any]) -> None:
    ran = perdure("sned")
    assert (ran.code, ran.out) == (2, "")
    assert "Did you mean 'send'?" in ran.err


@pytest.mark.parametrize(
    "arguments", [("pause", "--bogus"), ("messages", "lost"), ("send",), ("messages", "list", "--limit", "0"), ("messages",)]
)
def test_wrong_usage_ends_with_2(perdure: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    assert perdure(*arguments).code == 2


def unmeasured() -> dict[str, str]:
    """The environment without what makes a new Python measure its coverage: that is heavy, and slow."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from perdure.cli.main import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=unmeasured()).stderr.split()
    assert not {"typer", "rich", "pydantic", "aiohttp", "msgspec", "asyncio", "typing"} & set(loaded)


def test_no_server_is_exit_6_with_a_hint(shell: Callable[..., Any]) -> None:
    ran = shell("messages", "list", PERDURE_URL="http://127.0.0.1:1", PERDURE_API_KEY="x")
    assert (ran.code, ran.out) == (6, "")
    assert ran.err.count("\n") == 2
    assert "hint: Start one with `perdure up`" in ran.err


def test_an_unexpected_error_is_one_line_and_a_traceback_only_when_asked_for(shell: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import perdure.cli.talk as t\ndef broken(*a, **k): raise ZeroDivisionError('oops')\nt.talk = broken\n"
    )
    ran = shell("pause", "--all", PYTHONPATH=str(tmp_path))
    assert ran.code == 1
    assert "unexpected ZeroDivisionError: oops" in ran.err
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PERDURE_DEBUG": "1"}
    shown = subprocess.run([sys.executable, "-m", "perdure", "pause", "--all"], env=env, capture_output=True, text=True, check=False)
    assert "Traceback" in shown.stderr


def test_ctrl_c_ends_with_130(served: Any) -> None:
    sent = served.put({"n": 1}, queue="nobody", agent="nobody")
    env = {**os.environ, "PERDURE_URL": served.url, "PERDURE_API_KEY": served.key}
    code = f"import sys; sys.argv[1:] = ['up']\nfrom perdure.client.blocking import Client\nClient().result({sent!r})"
    command = [sys.executable, "-m", "perdure", "send", "echo", "1", "--queue", "q", "--wait"]
    assert code
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert "is put; waiting" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "Traceback" not in err


def test_a_reader_that_leaves_is_no_error(served: Any) -> None:
    for n in range(200):
        served.put({"n": n, "x": "y" * 500})
    env = {**os.environ, "PERDURE_URL": served.url, "PERDURE_API_KEY": served.key}
    command = f"{sys.executable} -m perdure messages list --limit 1000 --json | head -1"
    done = subprocess.run(command, shell=True, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "{\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (base.Unauthenticated("x"), 5),
        (base.Forbidden("x"), 5),
        (base.UnknownAgent("x"), 3),
        (base.DedupConflict("x"), 4),
        (base.InputTooLarge("x"), 2),
        (base.NotYetBuilt("x"), 2),
        (base.ConfigError("x"), 2),
        (base.ServerUnreachable("x"), 6),
        (base.StoreBusy("x"), 1),
        (KeyboardInterrupt(), 130),
        (ValueError("x"), 1),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_of(error) == code


def test_help_is_shown_quickly() -> None:
    def seconds(*arguments: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True, env=unmeasured())
        return time.perf_counter() - began

    # Both measured in this run, the best of several: what is allowed is what help adds to starting Python.
    bare = min(seconds("-c", "pass") for _ in range(5))
    helped = min(seconds("-m", "perdure", "--help") for _ in range(5))
    assert helped - bare < 0.15
