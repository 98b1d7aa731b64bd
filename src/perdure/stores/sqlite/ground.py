"""The ground a store stands on: its folder, its file, and whether locks mean anything there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from perdure.errors.base import StoreUnsuitable

__all__ = ["file_system_of", "prepare", "prepare_folders"]

_MOUNTS = Path("/proc/mounts")
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "beegfs", "gpfs", "ocfs2", "gfs2", "davfs", "fuse.sshfs"}
    | {"fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.cephfs", "fuse.davfs2", "glusterfs", "ncpfs", "9p:drvfs"}
)


def prepare(path: Path, run_dir: Path) -> None:
    """Make the folders and the empty file that are not there yet, readable for their owner alone.

    Args:
        path (Path): The database file.
        run_dir (Path): Where locks and doorbells go.

    Raises:
        StoreUnsuitable: It is on a network file system, or cannot be made.
    """
    prepare_folders(path, run_dir)
    try:
        _make(path)
    except OSError as error:
        raise _cannot_be_opened(path, error) from error


def prepare_folders(path: Path, run_dir: Path) -> None:
    """Make the folders alone.

    Args:
        path (Path): The database file.
        run_dir (Path): Where locks and doorbells go.

    Raises:
        StoreUnsuitable: One is on a network file system, or cannot be made.
    """
    try:
        for folder in (path.parent, run_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            kind = file_system_of(folder.resolve())
            if kind in _NETWORK:
                raise StoreUnsuitable(
                    f"{str(folder)!r} is on a network file system ({kind}), where file locks cannot be trusted",
                    hint="Keep the data on a local disk, or use PostgreSQL for several machines.",
                )
    except OSError as error:
        raise _cannot_be_opened(path, error) from error


def _cannot_be_opened(path: Path, error: OSError) -> StoreUnsuitable:
    return StoreUnsuitable(f"{str(path)!r} cannot be opened: {error.strerror}", hint="Choose another folder with PERDURE_DATA.")


def _make(path: Path) -> None:
    # One that is there is never opened here: closing it would, by the rules of POSIX, drop every lock that
    # SQLite holds on it in this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def file_system_of(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """Tell on what kind of file system a folder lies.

    Args:
        folder (Path): An absolute path without links.
        mounts (Path): The kernel's list of mounts.

    Returns:
        str | None: For example `ext4`; `9p:drvfs` for Windows drives under WSL; None where the kernel has no such list.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    best, kind = -1, None
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        where = Path(_plain(fields[1]))
        if (where == folder or where in folder.parents) and len(where.parts) >= best:
            best = len(where.parts)
            kind = "9p:drvfs" if fields[2] == "9p" and "aname=drvfs" in fields[3] else fields[2]
    return kind


def _plain(text: str) -> str:
    """Undo the octal escapes for blanks in the kernel's list."""
    for escape, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, letter)
    return text
