"""A day of real trouble, played back in minutes: the plain openai client, LiteLLM's Router and Perdure against the same script.

    python -m benchmarks.resilience [--short] [--only perdure] [--seed 7] [--messages 2000] [--seconds 120]

They run one after the other (--together: at once, which starves the heavier ones), each against an upstream of its own that deals by the
same script. Writes build/bench-resilience/results.json and
the page docs/benchmarks/resilience.md with its chart (a quick look writes them beside the results).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.queue.environments import ROOT, CannotInstall, python_of, versions
from benchmarks.resilience.page import write_page
from benchmarks.resilience.script import Script, answer_to

RESULTS = ROOT / "build" / "bench-resilience" / "results.json"
PEERS = Path(__file__).parent / "peers"
TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Contender:
    """Who is measured."""

    name: str
    label: str
    file: str
    environment: str | None = None
    deployment: str = ""
    settings: str = ""


CONTENDERS = (
    Contender("plain_a", "openai client, at the deployment that goes down", "plain.py", "litellm", "a", "`max_retries=2` (its default)"),
    Contender("plain_b", "openai client, at the one that stays up", "plain.py", "litellm", "b", "`max_retries=2` (its default)"),
    Contender(
        "litellm",
        "LiteLLM Router",
        "router.py",
        "litellm",
        settings="`simple-shuffle` over both, `num_retries=3`, `fallbacks` to the deployment that stays up, cooldowns as they are",
    ),
    Contender("perdure", "Perdure", "perdure_peer.py", settings='both as `deployments`, `order = "weights"`; `slots = 200`; five attempts'),
)


def main() -> int:
    given = _arguments()
    script = Script(given.seed, given.messages or (200 if given.short else 2000), given.seconds or (20.0 if given.short else 120.0))
    found: dict[str, Any] = {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "Python": platform.python_version()},
        "script": {"seed": script.seed, "messages": script.messages, "seconds": script.seconds, "timeout_s": TIMEOUT_S},
        "together": given.together,
        "versions": {},
        "left_out": {},
        "contenders": [],
    }
    able = [one for one in _installed(found) if given.only is None or one.name in given.only.split(",")]
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as scratch, ThreadPoolExecutor(len(able) if given.together else 1) as pool:
        found["contenders"] = list(pool.map(lambda one: _measured(one, script, Path(scratch) / one.name), able))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1))
    folder = RESULTS.parent if given.short or given.only else ROOT / "docs" / "benchmarks"
    write_page(found, folder)
    for one in found["contenders"]:
        print(one["name"], {key: value for key, value in one.items() if key not in {"name", "label", "settings"}})
    print(f"{folder.relative_to(ROOT)}/resilience.md")
    return 0


def _measured(contender: Contender, script: Script, folder: Path) -> dict[str, Any]:
    serve = [sys.executable, "-m", "benchmarks.resilience.upstream", str(script.seed), str(script.messages), str(script.seconds)]
    with subprocess.Popen(serve, cwd=ROOT, stdout=subprocess.PIPE, text=True) as upstream:
        try:
            assert upstream.stdout is not None
            home = f"http://127.0.0.1:{int(upstream.stdout.readline())}"
            folder.mkdir()
            orders = {
                "urls": {name: f"{home}/{name}/v1" for name in ("a", "b")},
                "deployment": contender.deployment,
                "timeout_s": TIMEOUT_S,
                "starts": [script.starts_at(n) for n in range(script.messages)],
                "begin": f"{home}/begin",
                "folder": str(folder),
            }
            python = sys.executable if contender.environment is None else python_of(contender.environment)
            command = [python, str(PEERS / contender.file), json.dumps(orders)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=script.seconds + 900, check=False)
            if done.returncode:
                raise RuntimeError(f"{contender.name}: {done.stderr[-2000:]}")
            with urllib.request.urlopen(f"{home}/books", timeout=10) as answer:
                books = json.load(answer)
        finally:
            upstream.terminate()
    return {"name": contender.name, "label": contender.label, "settings": contender.settings} | judged(
        json.loads(done.stdout.splitlines()[-1]), books, script
    )


def judged(ends: list[dict[str, Any]], books: dict[str, Any], script: Script) -> dict[str, Any]:
    """Hold what a contender says of its messages against the script and the upstream's books."""
    good = [one for one in ends if one.get("text") == answer_to(one["message"])]
    wrong: dict[str, int] = {}
    for one in ends:
        if one.get("text") != answer_to(one["message"]):
            what = one.get("error") or "took an empty answer for one"
            wrong[what] = wrong.get(what, 0) + 1
    late = sorted(one["ended"] - script.starts_at(one["message"]) for one in good)
    return {
        "messages": script.messages,
        "done": len(good),
        "failed": script.messages - len(good),
        "lost": script.messages - len({one["message"] for one in ends}) + wrong.get("lost", 0),
        "why": wrong,
        "asked": books["asked"],
        "paid": books["paid"],
        "beyond": books["paid"] - script.messages,
        "paid_per_done": books["paid"] / max(1, len(good)),
        "kinds": books["kinds"],
        "seconds": max((one["ended"] for one in ends), default=0.0),
        "p50_s": late[len(late) // 2] if late else 0.0,
        "p99_s": late[int(len(late) * 0.99)] if late else 0.0,
    }


def _installed(found: dict[str, Any]) -> list[Contender]:
    able = []
    for one in CONTENDERS:
        try:
            if one.environment is not None:
                python_of(one.environment)
                found["versions"] |= versions(one.environment)
        except CannotInstall as error:
            found["left_out"][one.name] = str(error)
        else:
            able.append(one)
    return able


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resilience", description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a quick look: 200 messages in 20 seconds")
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--only", help="contenders, with commas; written beside the results")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--messages", type=int)
    parser.add_argument("--seconds", type=float)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
