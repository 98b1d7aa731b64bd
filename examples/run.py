"""What `make run` shows: Perdure at work on real tickets, with the small model that runs on this machine.

    python examples/run.py          do the examples, then stay up
    python examples/run.py --once   do the examples, then end: 0 if every one is done

It uses what any program of yours would: the `perdure` command and `perdure.AsyncClient`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from perdure import AsyncClient, NewMessageJson, PerdureError, Sent, ServerUnreachable

HERE = Path(__file__).parent
PERDURE = [sys.executable, "-m", "perdure"]
DATA = Path(os.environ.setdefault("PERDURE_DATA", ".perdure"))
# The small model answers two at once: with more slots messages would wait in its line, where priority does not count, and not in ours.
os.environ.setdefault("PERDURE_WORKER__SLOTS", "2")
START_LIMIT_S = 60
EXAMPLES_LIMIT_S = 900

TRIAGE = [
    ("smoke", 0, "There is smoke coming out of the charger I got from you an hour ago. I pulled the plug. What now?"),
    ("typo", 9, "Tiny thing: the word 'recieve' on your pricing page should be 'receive'. No hurry at all."),
    ("outage", 1, "Nobody of our 40 people can log in since 8:05. The status page says all is well. It is not."),
    ("invoice", 5, "Could you send the invoice for September again, with our new address? The old one is on file."),
]
"""Name, priority (0 is the most urgent) and text of tickets for the agent in `triage.py`."""


async def main(*, once: bool) -> int:
    """Do everything; the exit code says whether every example is done."""
    up = await asyncio.create_subprocess_exec(*PERDURE, "up", "--app", f"{HERE / 'triage.py'}:app")
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)  # `up` hears Ctrl-C itself, and ends in order
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, up.terminate)
    examples = asyncio.create_task(do_examples(up))
    ended = asyncio.create_task(up.wait())
    try:
        await asyncio.wait({examples, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not examples.done():
            print(f"\n`perdure up` ended with {ended.result()} before the examples were done", file=sys.stderr)
            return ended.result() or 1
        wrong = examples.result()
        print_end(wrong)
        if not once:
            print("\nPerdure stays up; Ctrl-C ends it.", flush=True)
            return await ended
        return 1 if wrong else 0
    finally:
        examples.cancel()
        if not ended.done():
            up.terminate()
            await ended


async def do_examples(up: asyncio.subprocess.Process) -> list[str]:
    """Put every example, print each answer as it arrives, and say what went wrong."""
    async with asyncio.timeout(EXAMPLES_LIMIT_S), await ready(up) as client:
        before = (await client.changes())["last"]
        sent = await client.send_many([*tickets(), *triage()])
        print(f"\n{len(tickets())} support tickets for the built-in agent `chat`, {len(TRIAGE)} for that in examples/triage.py.")
        print("The answers come from a model of 135 million parameters on this machine: their form is real, their judgement is a toy's.\n")
        return await follow(client, sent, before)


def tickets() -> list[NewMessageJson]:
    """The lines of the batch file, as messages for `chat`."""
    lines = [json.loads(line) for line in (HERE / "tickets.jsonl").read_text(encoding="utf-8").splitlines()]
    return [NewMessageJson(agent="chat", body=line["body"], metadata={"name": line["custom_id"]}) for line in lines]


def triage() -> list[NewMessageJson]:
    """A few tickets of different urgency, for the agent in `triage.py`."""
    return [
        NewMessageJson(agent="triage", body={"ticket": text}, priority=priority, metadata={"name": name}) for name, priority, text in TRIAGE
    ]


async def ready(up: asyncio.subprocess.Process) -> AsyncClient:
    """Wait until the server we started has a worker."""
    address = DATA / "run" / "server.json"
    async with asyncio.timeout(START_LIMIT_S):
        while True:
            with suppress(OSError, ValueError, PerdureError):
                if json.loads(address.read_text(encoding="utf-8"))["pid"] == up.pid:
                    client = AsyncClient(retry_for_s=60)
                    if any(worker["alive"] for worker in await client.workers()):
                        return client
                    await client.aclose()
            await asyncio.sleep(0.2)


async def follow(client: AsyncClient, sent: Sequence[Sent], before: int) -> list[str]:
    """Print each message as it ends."""
    wrong, count = [], 0
    async for message in client.as_ended(sent, after=before):
        count += 1
        name = message["metadata"]["name"]
        print(f"{count:>2}/{len(sent)}  {name:<14} {message['agent']:<6} {facts(message)}", flush=True)
        print(f"       {answer(message)}", flush=True)
        if message["state"] != "done":
            wrong.append(f"{name} is {message['state']}: {answer(message)}")
    return wrong


def facts(message: Any) -> str:
    """Priority, attempts, time and tokens of one message."""
    began, ended = (datetime.fromisoformat(message[at]) if message[at] else None for at in ("started_at", "ended_at"))
    seconds = f"{(ended - began).total_seconds():5.1f} s" if began and ended else "        "
    usage = message["usage"] or {}
    tokens = f"{usage.get('input_tokens') or '?':>4} in {usage.get('output_tokens') or '?':>3} out"
    return (
        f"{message['state']:<5} priority {message['priority']}  attempt {message['attempt']} of {message['attempts']}  {seconds}  {tokens}"
    )


def answer(message: Any) -> str:
    """What came back, on one line."""
    if message["state"] != "done":
        error = message["error"] or {}
        return f"{error.get('code')}: {error.get('message')}"
    result = message["result"]
    if message["agent"] == "chat":
        return " ".join(result["choices"][0]["message"]["content"].split())
    return json.dumps(result, ensure_ascii=False)


def print_end(wrong: Sequence[str]) -> None:
    """Say how it went, and what to try next."""
    if wrong:
        print(f"\n{len(wrong)} of the examples are not done:", *wrong, sep="\n  ", file=sys.stderr)
    else:
        print("\nEvery example is done.")
    with suppress(OSError, ValueError):
        print(
            f"Perdure is at {json.loads((DATA / 'run' / 'server.json').read_text(encoding='utf-8'))['url']}; the key is in {DATA / 'key'}"
        )
    print("Try, in this folder:")
    print(f'  {command()} send chat --prompt "Write a haiku about patience." --wait')
    print(f"  {command()} messages list")
    print(f"  {command()} batch examples/tickets.jsonl --out answers.jsonl", flush=True)


def command() -> str:
    """The command as it can be typed here, whether or not the environment is active."""
    beside = Path(sys.executable).with_name("perdure")
    if shutil.which("perdure") == str(beside) or not beside.exists():
        return "perdure"
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)


if __name__ == "__main__":
    try:
        subprocess.run([*PERDURE, "models", "get", "smollm2"], check=True)
        sys.exit(asyncio.run(main(once="--once" in sys.argv or bool(os.environ.get("ONCE")))))
    except TimeoutError:
        sys.exit(f"the examples were not done within {EXAMPLES_LIMIT_S} s")
    except (ServerUnreachable, subprocess.CalledProcessError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
