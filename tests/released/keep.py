"""Keep a store as this version writes it, for the tests that upgrade it: `python tests/released/keep.py`.

To be run when a version is released whose schema is new. It lives a short life in a new store, so that
every table has rows, and writes the whole file down as text, `sqlite/<schema>.sql`, and
beside it what the store then said of every message, `<schema>.json`. Whatever later versions do, they
must say the same of it.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import apsw
import apsw.shell
import msgspec

from perdure.agents.journal import Decision, MemoryWrite, StepKind
from perdure.messages.message import MessageId, Wait
from perdure.messages.store import Filter
from perdure.security.keys import Key
from perdure.stores.sqlite.store import SqliteStore
from perdure.stores.store import Store
from perdure.testing import FakeClock
from perdure.testing.given import BROKE, NO_CREDIT, alive, asks, dies, intent, put, runs, soon, take

FOLDER = Path(__file__).parent / "sqlite"


async def live(store: Store, clock: FakeClock) -> None:
    """Let everything happen to somebody once, so that every table has rows."""
    key = Key(id="key_kept", name="operator", tenant="*", scopes=["*"], created_at=clock.now(), last4="kept")
    await store.keys.add(key, bytes(range(32)))
    await store.memory.write("default", "mail", "known", b'{"since":1}')
    await _ends(store, clock)
    await _waits(store, clock)
    await _runs(store, clock)
    await store.messages.pause("slow")
    await store.messages.close_lane("qwen/max", until=soon(clock, 600), why="provider-rate-limited")


async def _ends(store: Store, clock: FakeClock) -> None:
    done = await runs(store, dedup_key="order-1", metadata={"from": "shop"}, session=None)
    await store.journal.intend(done, intent(1))
    await store.journal.record(done, 1, b'"an answer"')
    kept = MemoryWrite(space="mail", key="last", value=b'"kept"')
    await store.journal.settle(done, intent(2, kind=StepKind.MEMORY), b"null", memory=kept)
    await store.messages.done(done, b'{"ok":true}')
    dead = await runs(store, tenant="acme", queue="slow", attempts=2)
    await store.messages.retry(dead, BROKE, at=soon(clock, 5))
    clock.pass_by(seconds=6)
    await store.messages.tend()
    [again] = await take(store, await alive(store))
    await store.messages.bury(again, BROKE)
    await store.messages.cancel(await put(store, agent="nobody"))
    await put(store, deadline=soon(clock, 1))
    clock.pass_by(seconds=2)
    await store.messages.tend()
    revived = await runs(store, priority=0)
    await store.messages.bury(revived, BROKE)
    await store.messages.revive(revived.message.id)
    [last] = await take(store, await alive(store))
    await store.messages.done(last, b"null")


async def _waits(store: Store, clock: FakeClock) -> None:
    await put(store, due_at=soon(clock, 3600), priority=9, body='{"word":"später"}'.encode())
    await asks(store, await runs(store, tenant="acme"))
    decided = await runs(store)
    await asks(store, decided)
    await store.journal.decide(decided.message.id, 1, Decision.HAPPENED, by="key_kept", result=b'"it did"')
    [more] = await take(store, await alive(store))
    await store.messages.park(more, Wait(why="account", until=soon(clock, 900), open_ended=True, error=NO_CREDIT))
    failing = await runs(store)
    await store.messages.retry(failing, BROKE, at=soon(clock, 60))


async def _runs(store: Store, clock: FakeClock) -> None:
    crashed = await runs(store, lane="qwen/max", timeout_s=30.0)
    await store.journal.intend(crashed, intent(1))
    await dies(store, clock)
    sleeping = await runs(store, agent="other", version="v1", parent=crashed.message.id, priority=0)
    await store.journal.intend(sleeping, intent(1, kind=StepKind.SLEEP, until=soon(clock, 60)))
    await put(store, agent="stranger", priority=2)
    await put(store, tenant="acme", queue="slow", body=json.dumps({"text": "x" * 300}).encode())
    await store.messages.tend()


async def facts(store: Store) -> dict[str, Any]:
    """Say all that a store says of its messages."""
    page = await store.messages.list(Filter(), limit=1000)
    ids = [MessageId(view.message.id) for view in page.views]
    said = {
        "views": page.views,
        "attempts": {str(one): await store.messages.attempts(one) for one in ids},
        "steps": {str(one): await store.journal.steps(one) for one in ids},
        "queues": await store.messages.queues(),
        "counters": await store.messages.counters(),
        "changes": await store.messages.changes(0),
        "agents": await store.workers.agents(),
        "keys": await store.keys.list(),
        "memory": {key: await store.memory.read("default", "mail", key) for key in ("known", "last")},
    }
    return dict(json.loads(msgspec.json.encode(said)))


def part_of(old: Any, new: Any) -> Any:
    """Of what is said now, that which was said then: newer versions may say more."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: part_of(old[name], new.get(name)) for name in old}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [part_of(*pair) for pair in zip(old, new, strict=True)]
    return new


async def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        path, clock = Path(folder) / "perdure.db", FakeClock()
        async with SqliteStore(path, clock=clock) as store:
            await live(store, clock)
            said = await facts(store)
            schema, text = written(path)
    FOLDER.mkdir(parents=True, exist_ok=True)
    name = f"{schema:04}"
    if (FOLDER / f"{name}.sql").exists():
        print(f"{name}.sql is there: what has been released does not change. Remove it yourself if that was never released.")
        return 1
    (FOLDER / f"{name}.sql").write_text(text, "utf-8")
    (FOLDER / f"{name}.json").write_text(json.dumps({"now": clock.now(), **said}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0


def written(path: Path) -> tuple[int, str]:
    """Write a file down as text that makes it again."""
    connection = apsw.Connection(str(path))
    tables = [table for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    empty = [table for table in tables if not _rows(connection, table)]
    if empty:
        raise SystemExit(f"no rows in {', '.join(empty)}: let something happen to them in `live`")
    text = io.StringIO()
    apsw.shell.Shell(stdout=text, db=connection).process_command(".dump")
    version, application = connection.pragma("user_version"), connection.pragma("application_id")
    connection.close()
    lines = [line for line in text.getvalue().splitlines() if line and not line.startswith("--") and "user_version" not in line]
    return version, "\n".join([*lines, f"PRAGMA user_version={version};", f"PRAGMA application_id={application};", ""])


def _rows(connection: apsw.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").get)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
