"""up, serve, worker, keys create: real processes over a real store, with a counting upstream for a model."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.client.blocking import Client
from perdure.clock import now
from perdure.errors.base import UnknownAgent
from perdure.messages.ids import read, write
from perdure.messages.message import MessageId, NewMessage, View
from perdure.security.keys import make_key, well_formed
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import Upstream

LAST_WORDS = "perdure dead list"
AGENTS = """
import asyncio
import time
from pathlib import Path
from perdure import App, Run, agent

@agent
async def echo(run: Run):
    return {"echo": run.body, "text": await run.ask("say", "Say it.")}

@agent
def patient(run):
    Path("began").touch()
    while not Path("go on").exists():
        time.sleep(0.01)
    return "went on"

@agent(timeout_s=0.1)
async def stubborn(run: Run):
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

app = App(agents=[echo, patient, stubborn])
"""


class Machine:
    """A folder with agents in it, and commands run there."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.folder = folder
        self.data = folder / ".perdure"
        (folder / "my_agents.py").write_text(AGENTS)
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
        self.env |= {
            "PERDURE_SERVER__PORT": "0",
            "PERDURE_PROVIDERS__UP__BASE_URL": upstream.base_url,
            "PERDURE_PROVIDERS__UP__MODELS": "m",
            "PERDURE_DEFAULT_MODEL": "up/m",
            "PERDURE_WORKER__GRACE_S": "5",
        }
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "perdure", *arguments]
        env = self.env | environ
        begun = subprocess.Popen(command, cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._started.append(begun)
        return begun

    def run(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        begun = self.start(*arguments, **environ)
        out, err = begun.communicate(timeout=60)
        assert "Traceback" not in err
        return begun.returncode, out, err

    def until(self, begun: subprocess.Popen[str], words: str) -> str:
        """Read what a process says until it says some words."""
        assert begun.stderr is not None
        said = ""
        for line in begun.stderr:
            said += line
            if words in line:
                return said
        raise AssertionError(f"it ended without saying {words!r}: {said}")

    def url(self) -> str:
        return str(json.loads((self.data / "run" / "server.json").read_text())["url"])

    def client(self, key: str | None = None) -> Client:
        return Client(self.url(), key or (self.data / "key").read_text().strip())

    def new_key(self, name: str = "test") -> str:
        return make_key(name, tenant="*", scopes=["*"], now=now())[1]

    def look(self, id: str) -> View:
        """Look into the store itself, when no process is there any more."""

        async def look() -> View:
            async with SqliteStore(self.data / "perdure.db", run_dir=self.data / "run") as store:
                return await store.messages.get(read(id))

        return asyncio.run(look())

    def until_there(self, name: str) -> None:
        ends_at = time.monotonic() + 60
        while not (self.folder / name).exists():
            assert time.monotonic() < ends_at

    def clean_up(self) -> None:
        for begun in self._started:
            if begun.poll() is None:
                begun.kill()
            begun.communicate(timeout=20)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Upstream() as upstream:
        made = Machine(tmp_path, upstream)
        yield made
        made.clean_up()


def test_one_command_and_a_message_goes_in_and_an_answer_comes_out(machine: Machine) -> None:
    up = machine.start("up", "--app", "my_agents:app")
    said = machine.until(up, LAST_WORDS)
    key = (machine.data / "key").read_text().strip()
    assert well_formed(key)
    assert key not in said
    assert stat.S_IMODE((machine.data / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(machine.data.stat().st_mode) == 0o700
    assert machine.url() in said
    with urllib.request.urlopen(f"{machine.url()}/readyz") as answer:  # ready once it says where it is
        assert answer.status == 200
    code, out, _ = machine.run("send", "echo", '{"a": 1}', "--wait", "--json")
    assert code == 0
    assert json.loads(out)["result"]["echo"] == {"a": 1}
    with machine.client() as client:
        assert [(step["kind"], step["name"], step["state"]) for step in client.steps(json.loads(out)["id"])] == [("llm", "say", "done")]
    up.send_signal(signal.SIGTERM)
    assert up.wait(30) == 0
    assert not (machine.data / "run" / "server.json").exists()


def test_ctrl_c_lets_running_messages_end(machine: Machine) -> None:
    up = machine.start("up", "--app", "my_agents", PERDURE_WORKER__GRACE_S="60")
    machine.until(up, LAST_WORDS)
    with machine.client() as client:
        sent = client.send("patient", None)
    machine.until_there("began")
    up.send_signal(signal.SIGINT)
    machine.until(up, "Ctrl-C again")
    (machine.folder / "go on").touch()
    assert up.wait(30) == 0
    view = machine.look(sent.id)
    assert (view.state, view.result, view.attempt) == ("done", b'"went on"', 1)


def test_a_worker_ends_to_be_started_afresh_although_an_agent_does_not_end(machine: Machine) -> None:
    async def put() -> MessageId:
        async with SqliteStore(machine.data / "perdure.db", run_dir=machine.data / "run") as store:
            [receipt] = await store.messages.put([NewMessage(agent="stubborn", body=b"null", attempts=1)])
            return receipt.id

    id_ = asyncio.run(put())
    worker = machine.start("worker", "--app", "my_agents")
    _, said = worker.communicate(timeout=30)
    assert worker.returncode == 75
    view = machine.look(write(id_))
    assert (view.state, view.error.code if view.error else None) == ("dead", "run-timeout")
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]  # what is said to a person is no JSON
    [told] = [event for event in events if event["event"] == "message.dead"]
    assert (told["level"], told["message"], told["agent"], told["code"]) == ("warning", write(id_), "stubborn", "run-timeout")


def test_a_second_ctrl_c_ends_at_once_and_loses_nothing(machine: Machine) -> None:
    up = machine.start("up", "--app", "my_agents", PERDURE_WORKER__GRACE_S="60")
    machine.until(up, LAST_WORDS)
    with machine.client() as client:
        sent = client.send("patient", None)
    machine.until_there("began")
    up.send_signal(signal.SIGINT)
    machine.until(up, "Ctrl-C again")
    up.send_signal(signal.SIGINT)
    assert up.wait(20) == 130
    assert machine.look(sent.id).state in ("leased", "ready")


def test_a_port_in_use_is_said_clearly(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = machine.run("up", "--port", str(taken.getsockname()[1]))
    assert code == 4
    assert "is in use" in err
    assert "hint:" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up", "--host", "no.such.host.invalid"), "is no address to listen on"),
        (("up", "--app", "nothing_here:app"), "there is no module 'nothing_here'"),
        (("up", "--app", "my_agents:nope"), "has no app called 'nope'"),
        (("worker", "--app", "my_agents:nope"), "has no app called 'nope'"),
        (("serve", "--env", "../x"), "is no name for an environment"),
        (("worker", "--slots", "0"), "--slots"),
    ],
)
def test_what_cannot_be_run_ends_with_2_and_a_reason(machine: Machine, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = machine.run(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_settings_that_are_wrong_are_named(machine: Machine) -> None:
    code, _, err = machine.run("up", PERDURE_WORKER__SLOT="3")
    assert code == 2
    assert "did you mean 'PERDURE_WORKER__SLOTS'?" in err


def test_server_and_worker_apart(machine: Machine) -> None:
    serve = machine.start("serve")
    machine.until(serve, LAST_WORDS)
    with machine.client() as client:
        with pytest.raises(UnknownAgent):
            client.send("chat", {"messages": [{"role": "user", "content": "hi"}]})
        worker = machine.start("worker", "--app", "my_agents:app", "--slots", "3", "--queues", "default,x")
        machine.until(worker, "working for chat, echo, patient")
        ends_at = time.monotonic() + 30
        while not client.workers():
            assert time.monotonic() < ends_at
        [status] = client.workers()
        assert (status["slots"], status["queues"]) == (3, ["default", "x"])
        assert client.send("chat", {"messages": [{"role": "user", "content": "hi"}]}).result(timeout_s=30)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0


def test_a_stale_address_is_written_over_and_a_given_key_becomes_the_first(machine: Machine) -> None:
    (machine.data / "run").mkdir(parents=True)
    (machine.data / "run" / "server.json").write_text('{"url": "http://127.0.0.1:1", "pid": 1}')
    key = machine.new_key()
    serve = machine.start("serve", PERDURE_API_KEY=key)
    assert key not in machine.until(serve, LAST_WORDS)
    assert machine.url() != "http://127.0.0.1:1"
    assert not (machine.data / "key").exists()
    with machine.client(key) as client:
        assert client.keys()[0]["scopes"] == ["*"]
    assert machine.run("messages", "list")[0] == 5


def test_a_given_key_that_is_none_is_refused_and_not_repeated(machine: Machine) -> None:
    code, _, err = machine.run("serve", PERDURE_API_KEY="pdr_nonsense")
    assert code == 2
    assert "PERDURE_API_KEY holds is no key" in err
    assert "pdr_nonsense" not in err


def test_a_key_left_by_a_start_that_got_no_further_is_taken(machine: Machine) -> None:
    machine.data.mkdir()
    (machine.data / "key").write_text(machine.new_key())
    serve = machine.start("serve")
    machine.until(serve, LAST_WORDS)
    with machine.client() as client:
        assert len(client.keys()) == 1


def test_keys_are_made_without_a_server_and_never_printed_without_a_terminal(machine: Machine) -> None:
    code, out, err = machine.run("keys", "create", "shop", "--tenant", "shop", "--scope", "messages:read", "--days", "1", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["tenant"], told["scopes"]) == ("shop", ["messages:read"])
    key = Path(told["file"]).read_text().strip()
    assert well_formed(key)
    assert key not in out + err
    assert machine.run("keys", "create", "again")[0] == 4  # the file is there
    assert machine.run("keys", "create", "x", "--scope", "nonsense:all")[0] == 2


def test_the_first_key_is_an_operators_and_a_later_one_a_programs(machine: Machine) -> None:
    def made(*said: str) -> tuple[str, list[str]]:
        code, out, _ = machine.run("keys", "create", "one", "--json", *said)
        assert code == 0
        told = json.loads(out)
        return told["tenant"], told["scopes"]

    assert made() == ("*", ["*"])
    tenant, scopes = made("--out", "second.key")
    assert tenant == "default"
    assert "messages:write" in scopes
    assert not {"*", "keys:write", "queues:write", "dead-letters:write"} & set(scopes)
    assert made("--out", "third.key", "--tenant", "*", "--scope", "*") == ("*", ["*"])


def test_on_a_terminal_a_new_key_is_shown_once(machine: Machine) -> None:
    shown = _on_a_terminal(machine, ["serve"], until=LAST_WORDS)
    key = (machine.data / "key").read_text().strip()
    assert shown.count(key) == 1
    assert key not in _on_a_terminal(machine, ["serve"], until=LAST_WORDS)
    created = _on_a_terminal(machine, ["keys", "create", "more"], until="shown once")
    assert well_formed(created.split()[0])


def test_models_are_listed_without_a_server(machine: Machine) -> None:
    code, out, _ = machine.run("models", "list", "--json")
    assert code == 0
    assert {"name": "up/m", "default": True, "here": None} in json.loads(out)
    assert "up/m" in machine.run("models", "list")[1]
    assert machine.run("models", "get", "no-such-model")[0] in (2, 3)


def _on_a_terminal(machine: Machine, arguments: list[str], *, until: str) -> str:
    """Run a command on a terminal of its own, end it once it has said some words, and give what it said."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "perdure", *arguments]
    said, told = b"", False
    with subprocess.Popen(command, cwd=machine.folder, env=machine.env, stdin=child, stdout=child, stderr=child) as running:
        os.close(child)
        while piece := _piece(parent):
            said += piece
            if until.encode() in said and not told:
                told = True
                running.send_signal(signal.SIGINT)
    os.close(parent)
    assert told, said
    return said.decode()


def _piece(terminal: int) -> bytes:
    assert select.select([terminal], [], [], 60)[0]
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody is at its other end any more
        return b""
