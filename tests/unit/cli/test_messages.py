"""send, messages, dead, pause, keys against a server over a socket."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.cli.rows import step_row
from perdure.messages.message import Wait

Perdure = Callable[..., Any]


@pytest.mark.usefixtures("served")
def test_send_prints_the_id_alone(perdure: Perdure) -> None:
    ran = perdure("send", "echo", '{"a": 1}', "--priority", "0", "--delay", "60")
    assert (ran.code, ran.err) == (0, "")
    shown = perdure("messages", "show", ran.out.strip(), "--json").json
    assert (shown["state"], shown["priority"], shown["body"]) == ("later", 0, {"a": 1})


@pytest.mark.usefixtures("served", "working")
def test_send_and_wait_prints_the_result(perdure: Perdure) -> None:
    ran = perdure("send", "echo", "[1]", "--wait")
    assert ran.code == 0
    assert '"echo"' in ran.out
    assert "done, attempt 1 of 5, 3 in, 2 out" in ran.err
    assert perdure("send", "echo", "[1]", "--wait", "--json").json["result"] == {"echo": [1]}


@pytest.mark.usefixtures("served", "working")
def test_a_prompt_is_answered_in_words(perdure: Perdure) -> None:
    ran = perdure("send", "chat", "--prompt", "Hi", "--model", "fake/fake-1", "--wait")
    assert ran.code == 0
    assert ran.out.startswith("to ")


@pytest.mark.usefixtures("served", "working")
def test_a_message_that_dies_is_a_failure_with_its_reason(perdure: Perdure) -> None:
    ran = perdure("send", "broken", "1", "--wait")
    assert (ran.code, ran.out) == (1, "")
    assert "is dead: agent-failed: it broke" in ran.err


@pytest.mark.usefixtures("served")
def test_waiting_has_a_limit_where_one_is_given(perdure: Perdure) -> None:
    ran = perdure("send", "echo", "1", "--delay", "60", "--wait", "--timeout", "0.1")
    assert ran.code == 1
    assert "is later: delay until" in ran.err


@pytest.mark.usefixtures("served")
def test_the_same_dedup_key_is_told(perdure: Perdure) -> None:
    first = perdure("send", "echo", "1", "--dedup-key", "k")
    again = perdure("send", "echo", "1", "--dedup-key", "k")
    assert again.out == first.out
    assert "nothing new was put" in again.err
    assert perdure("send", "echo", "2", "--dedup-key", "k").code == 4


@pytest.mark.usefixtures("served")
def test_a_body_can_come_from_a_file_or_standard_input(perdure: Perdure, shell: Perdure, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text('{"from": "file"}')
    sent = perdure("send", "echo", f"@{tmp_path / 'b.json'}").out.strip()
    assert perdure("messages", "show", sent, "--json").json["body"] == {"from": "file"}
    ran = shell("send", "echo", "-", stdin=b'{"from": "stdin"}')
    assert perdure("messages", "show", ran.out.strip(), "--json").json["body"] == {"from": "stdin"}


BAD = [
    ("not JSON", "{nope", 2),
    ("nothing", "", 2),
    ("single quotes", "{'a': 1}", 2),
    ("a lone surrogate", '"\\ud800"', 2),
    ("NaN", "NaN", 2),
    ("10,000 deep", "[" * 10_000 + "]" * 10_000, 2),
    ("no such file", "@/no/such/file", 2),
    ("a folder", "@/", 2),
    ("a NUL in a path", "@a\x00b", 2),
]


@pytest.mark.parametrize(("what", "body", "code"), BAD, ids=[what for what, _, _ in BAD])
@pytest.mark.usefixtures("served")
def test_a_bad_body_is_refused_with_a_clear_line(perdure: Perdure, what: str, body: str, code: int) -> None:
    ran = perdure("send", "echo", body)
    assert (ran.code, ran.out) == (code, ""), what
    assert "the body" in ran.err
    assert len(ran.err) < 600


@pytest.mark.usefixtures("served")
def test_a_nul_inside_a_json_text_is_no_crash(perdure: Perdure) -> None:
    assert perdure("send", "echo", '"a\\u0000b"').code in (0, 2)


@pytest.mark.usefixtures("served")
def test_more_bytes_than_the_server_takes_are_refused(shell: Perdure) -> None:
    ran = shell("send", "echo", "-", stdin=b'"' + b"x" * 10_000_000 + b'"')
    assert ran.code == 2
    assert len(ran.err) < 600


@pytest.mark.usefixtures("served")
def test_bytes_that_are_no_utf8_are_refused(shell: Perdure) -> None:
    assert shell("send", "echo", b'"\xff"').code == 2
    assert shell("send", "echo", "-", stdin=b'"\xff"').code == 2
    assert shell("messages", "show", b"\xff\xfe").code == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("send", "nobody", "1"), 3),
        (("send", "../../etc", "1"), 2),
        (("send", "echo\x00", "1"), 2),
        (("send", "echo", "1", "--queue", "../x"), 2),
        (("send", "echo", "1", "--priority", "10"), 2),
        (("send", "echo", "1", "--prompt", "x"), 2),
        (("send", "echo", "--prompt", "x"), 2),
        (("send", "chat", "{}", "--model", "x"), 2),
        (("send", "chat"), 2),
        (("messages", "show", "msg_0000000000001"), 3),
        (("messages", "show", "../keys"), 3),
        (("messages", "show", "msg_" + "z" * 10_000), 3),
        (("messages", "steps", "nonsense"), 3),
        (("messages", "list", "--cursor", "nonsense"), 2),
        (("messages", "list", "--queue", "\udcff"), 2),
        (("messages", "list", "--state", "lost"), 2),
        (("messages", "decide", "msg_0000000000001", "1", "bury"), 3),
        (("messages", "decide", "msg_0000000000001", "1", "bury", "--result", "1"), 2),
        (("messages", "decide", "msg_0000000000001", "1", "happened", "--result", "{"), 2),
        (("dead", "show", "msg_0000000000001"), 3),
        (("dead", "revive", "msg_0000000000001"), 3),
        (("keys", "revoke", "key_nonsense"), 3),
        (("pause",), 2),
        (("pause", "a", "--all"), 2),
    ],
)
@pytest.mark.usefixtures("served")
def test_what_cannot_be_done_has_its_exit_code_and_a_reason(perdure: Perdure, arguments: tuple[str, ...], code: int) -> None:
    ran = perdure(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err
    assert len(ran.err) < 1000


def test_a_bad_key_is_exit_5(served: Any, shell: Perdure) -> None:
    for key in ("pdr_nonsense", served.key[:-1] + ("a" if served.key[-1] != "a" else "b")):
        ran = shell("messages", "list", PERDURE_URL=served.url, PERDURE_API_KEY=key)
        assert (ran.code, ran.out) == (5, "")
        assert key not in ran.err


@pytest.mark.usefixtures("served")
def test_messages_are_listed_and_cancelled(perdure: Perdure) -> None:
    sent = perdure("send", "echo", '"\\u001b[31mred"', "--delay", "60", "--queue", "listed").out.strip()
    listed = perdure("messages", "list", "--queue", "listed")
    assert sent in listed.out
    assert "delay until" in listed.out
    assert "\x1b" not in perdure("messages", "show", sent).out
    assert [one["id"] for one in perdure("messages", "list", "--queue", "listed", "--json").json["data"]] == [sent]
    assert "is cancelled" in perdure("messages", "cancel", sent).err
    assert perdure("messages", "list", "--queue", "listed", "--state", "later", "--json").json["data"] == []


@pytest.mark.usefixtures("served")
def test_a_message_is_signalled(perdure: Perdure) -> None:
    sent = perdure("send", "echo", "1", "--delay", "60").out.strip()
    assert f"{sent} is later" in perdure("signal", sent, "approval", "--data", '{"by": "ann"}').err
    assert perdure("signal", sent, "approval", "--json").json["id"] == sent
    assert perdure("signal", sent, "approval", "--data", "{").code == 2
    assert perdure("signal", "msg_0000000000001", "approval").code == 3


def test_a_message_that_waits_for_a_signal_says_which_and_how_to_send_it(served: Any, perdure: Perdure) -> None:
    sent = served.put(queue="asking")
    served.park(Wait(why="signal", step=1, events=("signal:approval",)), queue="asking")
    assert "signal approval (step 1)" in perdure("messages", "list", "--queue", "asking").out
    assert f"perdure signal {sent} approval" in perdure("messages", "show", sent).out


def test_an_unknown_outcome_says_what_was_asked_and_how_to_decide(served: Any, perdure: Perdure) -> None:
    sent = served.put(queue="doubtful")
    served.park(Wait(why="outcome-unknown", step=1), queue="doubtful", asked={"number": "T-1"})
    assert f"perdure messages decide {sent} 1 happened|run-again|bury" in perdure("messages", "show", sent).out
    assert 'asked: {"number":"T-1"}' in perdure("messages", "steps", sent).out


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"kind": "llm", "state": "done", "result": {"choices": [{"message": {"role": "assistant", "content": "Bonjour."}}]}}, "Bonjour."),
        ({"kind": "llm", "state": "done", "result": {"choices": [{"message": {"content": None, "tool_calls": []}}]}}, '"tool_calls":[]'),
        ({"kind": "tool", "state": "done", "result": {"ok": True}}, '{"ok":true}'),
        ({"kind": "tool", "state": "done", "result": None}, ""),
        ({"kind": "sleep", "state": "intent", "result": None}, 'asked: {"a":1}'),
    ],
)
def test_a_step_shows_what_came_of_it_as_one_would_write_it(step: Any, told: str) -> None:
    row: Any = {"number": 1, "scope": "", "name": "n", "tries": 1, "diverged": False, "ambiguous": 0, "usage": None, "error": None}
    assert told in str(step_row(row | {"request": {"a": 1}} | step)[-1])


@pytest.mark.usefixtures("served")
def test_there_is_no_group_that_nobody_put(perdure: Perdure) -> None:
    assert perdure("messages", "group", "grp_0000000000001").code == 3


@pytest.mark.usefixtures("served")
def test_a_long_list_says_how_to_go_on(perdure: Perdure) -> None:
    for _ in range(3):
        perdure("send", "echo", "1", "--queue", "long", "--delay", "60")
    first = perdure("messages", "list", "--queue", "long", "--limit", "2")
    cursor = first.err.split("--cursor ")[1].strip()
    assert len(perdure("messages", "list", "--queue", "long", "--cursor", cursor, "--json").json["data"]) == 1


def test_dead_letters_are_listed_shown_and_revived(served: Any, perdure: Perdure) -> None:
    sent = perdure("send", "broken", "1", "--queue", "sad").out.strip()
    served.work()
    assert "agent-failed: it broke" in perdure("dead", "list", "--queue", "sad").out
    shown = perdure("dead", "show", sent)
    assert "mend it" in shown.out
    assert re.search(r"^where +pages\.py:7 read$", shown.out, re.MULTILINE)
    assert re.search(r"^because +LookupError: no such page$", shown.out, re.MULTILINE)
    assert "bury" in shown.out
    assert perdure("dead", "show", sent, "--json").json["attempts_log"][0]["error"]["code"] == "agent-failed"
    assert "is ready" in perdure("dead", "revive", sent).err
    assert perdure("dead", "revive", sent).code == 4


def test_pause_and_resume(served: Any, perdure: Perdure) -> None:
    sent = perdure("send", "echo", "1", "--queue", "halted").out.strip()
    assert perdure("pause", "halted").code == 0
    assert "queue-paused" in perdure("messages", "show", sent).out
    assert perdure("resume", "halted").code == 0
    assert perdure("pause", "--all").code == 0
    assert "all-paused" in perdure("messages", "show", sent).out
    assert perdure("resume", "--all").code == 0
    served.work()
    assert perdure("messages", "show", sent, "--json").json["state"] == "done"


def test_a_pause_of_a_queue_that_nobody_used_says_so_and_names_the_nearest(served: Any, perdure: Perdure) -> None:
    perdure("send", "echo", "1", "--queue", "newsletters")
    mistyped = perdure("pause", "newsleters")
    assert mistyped.code == 0
    assert "no message was ever in a queue newsleters" in mistyped.err
    assert "did you mean 'newsletters'?" in mistyped.err
    assert perdure("resume", "newsleters").code == 0
    assert "no message" not in perdure("pause", "newsletters").err
    assert perdure("resume", "newsletters").code == 0
    served.work()


def test_keys_are_listed_and_revoked(served: Any, perdure: Perdure) -> None:
    listed = perdure("keys", "list")
    assert f"…{served.key[-4:]}" in listed.out
    assert served.key not in listed.out
    [key] = perdure("keys", "list", "--json").json
    assert "key" not in key


def test_steps_of_a_run_are_listed(served: Any, perdure: Perdure) -> None:
    sent = served.put(1)
    assert perdure("messages", "steps", sent, "--json").json == []
    assert "STEP" in perdure("messages", "steps", sent).out


@pytest.mark.usefixtures("served", "working")
def test_a_run_is_exported_imported_and_forked(perdure: Perdure, tmp_path: Path) -> None:
    sent = perdure("send", "chat", "--prompt", "Hi", "--model", "fake/fake-1", "--wait", "--json").json["id"]
    file = tmp_path / "run.json"

    exported = perdure("messages", "export", sent, "--to", str(file))
    assert (exported.code, file.stat().st_mode & 0o777) == (0, 0o600)
    assert perdure("messages", "export", sent, "--to", str(file)).code == 2, "no file is written over"
    assert perdure("messages", "export", sent).json["format"] == "perdure.run/1"

    imported = perdure("messages", "import", str(file), "--json").json
    assert (imported["state"], imported["imported"]) == ("done", True)
    assert "imported" in perdure("messages", "show", imported["id"]).out

    fork = perdure("messages", "fork", imported["id"], "--from-step", "1", "--priority", "0", "--version", "any", "--json").json
    assert (fork["forked_from"], fork["priority"]) == (imported["id"], 0)
    assert f"from {imported['id']}, step 1" in perdure("messages", "show", fork["id"]).out
    assert perdure("messages", "fork", sent, "--from-step", "9").code == 4
    (tmp_path / "list.json").write_text("[]", "utf-8")
    assert perdure("messages", "import", str(tmp_path / "list.json")).code == 2
