"""Every verb of the `perdure` command, and its help: plain text, so that it costs nothing to show."""

from __future__ import annotations

VERBS: dict[str, tuple[str, str]] = {
    "up": ("Run it", "a server and its worker processes, in one command"),
    "serve": ("Run it", "the server alone"),
    "worker": ("Run it", "a worker process alone"),
    "send": ("Use it", "put one message, and wait for its result with --wait"),
    "batch": ("Use it", "put a file of OpenAI batch lines, and write the answers to a file"),
    "signal": ("Use it", "tell a message what its run waits for"),
    "messages": ("Look after it", "list, show, steps, cancel, group, decide, fork, export, import"),
    "dead": ("Look after it", "dead letters: list, show, edit, revive, discard"),
    "errors": ("Look after it", "what goes wrong: list patterns, show, report on a dead letter, explain an answer"),
    "schedules": ("Look after it", "messages put by a calendar: list, show, add, pause, resume, run, remove"),
    "audit": ("Look after it", "who did what"),
    "pause": ("Look after it", "let nothing of a queue start, or nothing at all"),
    "resume": ("Look after it", "lift a pause"),
    "usage": ("Look after it", "what was used, and what it cost"),
    "budgets": ("Look after it", "how much may be spent in a day: list, set"),
    "limits": ("Look after it", "how many may run at once: list, set, drop"),
    "lanes": ("Look after it", "what providers' models may take in a minute, a day and a month, and what is taken"),
    "db": ("Set it up", "the database: upgrade, backup, restore, verify"),
    "keys": ("Set it up", "API keys: create, list, revoke"),
    "providers": ("Set it up", "who answers prompts: list, check, kinds"),
    "models": ("Set it up", "what can be asked: list, and get the embedded model"),
}
"""Verb to the heading it stands under and a summary. Its code is the module of the same name in `cli/`."""

_USAGE = """\
Usage: perdure VERB [OPTIONS] …        perdure VERB --help says more
       perdure --version

Perdure carries out messages by agents: durably, by priority, and never paying
twice for an answer it has recorded.
"""

_FOOT = """
Examples:
  perdure up --app my_module:app
  perdure send chat --prompt "Why is the sky blue?" --wait
  perdure batch tickets.jsonl --out answers.jsonl
  perdure messages list --state dead --json

Exit codes:
  0 ok   1 failure   2 usage or invalid input   3 not found   4 conflict
  5 no key, or not allowed   6 server not reachable   130 interrupted

Environment:
  PERDURE_URL      where the server is    (else <data>/run/server.json, else port 8321 here)
  PERDURE_API_KEY  the key to it          (else the file <data>/key)
  PERDURE_DATA     the data folder        (else ./.perdure)
  PERDURE_ENV      reads perdure.<env>.toml over perdure.toml
  PERDURE_DEBUG=1  shows where an error arose
  NO_COLOR         no colours
Any setting can be given as PERDURE_SECTION__NAME, such as PERDURE_WORKER__SLOTS=40.
"""

__all__ = ["VERBS", "help_text"]


def help_text() -> str:
    """Write the help of the whole command.

    Returns:
        str: For stdout.
    """
    lines, heading = [_USAGE], ""
    for verb, (under, summary) in VERBS.items():
        if under != heading:
            heading = under
            lines.append(f"\n{heading}:\n")
        lines.append(f"  {verb:<9} {summary}\n")
    return "".join([*lines, _FOOT])
