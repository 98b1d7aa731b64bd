"""Writing the log back is nobody's business but its own: no commit fails by it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perdure.messages.message import State
from perdure.stores.sqlite import checkpoints
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.given import put, state

WRITES_THE_LOG_BACK = """
    import fcntl, sys

    file = open(sys.argv[1], "r+b")
    fcntl.lockf(file, fcntl.LOCK_EX, 1, 121)  # where SQLite has the lock of checkpoints
    print("begun", flush=True)
    sys.stdin.readline()
"""


async def test_a_commit_is_told_as_done_while_another_process_writes_the_log_back(
    store: SqliteStore, path: Path, program: Any, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(store)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_NET_PAGES", 1)
    other = program(WRITES_THE_LOG_BACK, f"{path}-shm")
    assert await line(other) == "begun"

    assert await state(store, await put(store)) is State.READY


async def test_a_commit_is_told_as_done_although_nobody_can_be_sent_to_write_the_log_back(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(**_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(checkpoints, "_PAGES_EACH", 1)
    monkeypatch.setattr(checkpoints, "threading", SimpleNamespace(Thread=none_left))

    assert await state(store, await put(store)) is State.READY
