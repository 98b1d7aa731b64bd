"""What a run costs to keep: what is new in it, and no more (SEMANTICS 18)."""

from __future__ import annotations

import json
import random
from pathlib import Path

import apsw
import pytest

from perdure.agents.journal import StepKind
from perdure.messages.message import Lease
from perdure.stores.sql import erase
from perdure.stores.sql.parcels import BODY_BYTES
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.conversing import asked, said
from perdure.testing.given import intent, runs

CALLS = 100


def noise(letters: int, seed: int) -> str:
    """Text that does not get smaller."""
    dice = random.Random(seed)
    return "".join(chr(dice.randrange(0x4E00, 0x9FFF)) for _ in range(letters))


def sums(file: apsw.Connection) -> dict[str, int]:
    """Bytes and rows of what the journal keeps."""
    step = "coalesce(sum(length(result) + length(scope) + length(name) + length(fingerprint) + 60), 0)"
    return {
        "step": file.execute(f"SELECT {step} FROM step").get,
        "request": file.execute("SELECT coalesce(sum(length(data)), 0) FROM request").get,
        "said": file.execute("SELECT coalesce(sum(length(hash) + length(before) + length(data)), 0) FROM said").get,
        "body": file.execute("SELECT coalesce(sum(length(hash) + length(data)), 0) FROM body").get,
    }


async def test_a_conversation_of_a_hundred_calls_costs_at_most_twice_its_length(
    store: SqliteStore, file: apsw.Connection, path: Path
) -> None:
    pages = file.pragma("page_count")
    lease = await runs(store)
    texts: list[str] = []
    for number in range(1, CALLS + 1):
        texts.append(noise(500, number))
        answer = noise(500, -number)
        await store.journal.intend(lease, intent(number, request=said(*texts, model="m", tools=[{"name": "look", "about": "x" * 500}])))
        await store.journal.record(lease, number, json.dumps(answer, ensure_ascii=False).encode())
        texts.append(answer)

    length = len(said(*texts))
    kept = sum(sums(file).values())
    grown = (file.pragma("page_count") - pages) * file.pragma("page_size")
    assert kept <= 2 * length, f"{kept} bytes for {length}"
    assert grown <= 2.5 * length, f"the file grew by {grown} bytes for {length}"
    assert [step.request for step in await store.journal.steps(lease.message.id)][-1] == said(
        *texts[:-1], model="m", tools=[{"name": "look", "about": "x" * 500}]
    )


async def test_a_call_writes_only_what_is_new_in_its_conversation(store: SqliteStore, file: apsw.Connection) -> None:
    lease = await runs(store)
    rows: list[int] = []
    for upto in range(1, 6):
        await asked(store, lease, said(*(f"said {n}" for n in range(2 * upto - 1))), first=upto)
        rows.append(file.execute("SELECT count(*) FROM said").get)

    assert rows == [2, 4, 6, 8, 10], "a head and a message, then two more each time"


async def test_two_conversations_at_once_do_not_write_each_other_again(
    store: SqliteStore, file: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await runs(store)
    for turn in range(3):
        for who in ("a", "b"):
            request = said(*(f"{who} {n}" for n in range(2 * turn + 1)))
            number = 2 * turn + (1 if who == "a" else 2)
            parcel = await store.journal._parcels.of_request(lease, intent(number, request=request))
            assert parcel is not None
            assert len(parcel.said) == (2 if turn or who == "a" else 1), "two messages; in the first turn a head, shared by both, and one"
            await asked(store, lease, request, first=number)


async def test_what_is_large_is_kept_once_for_all_runs(store: SqliteStore, file: apsw.Connection) -> None:
    document = noise(BODY_BYTES, 7)
    for _ in range(3):
        lease = await runs(store)
        await asked(store, lease, said(document), said(document, "short", "long"))

    assert file.execute("SELECT count(*) FROM body").get == 1
    assert sum(sums(file).values()) < 1.1 * len(document.encode())


async def test_a_body_is_freed_when_the_last_run_that_has_it_is_forgotten(store: SqliteStore, file: apsw.Connection) -> None:
    document = json.dumps(noise(BODY_BYTES, 8)).encode()
    leases: list[Lease] = []
    for _ in range(2):
        leases.append(await runs(store))
        await store.journal.settle(leases[-1], intent(1, kind=StepKind.VALUE), document)
        await store.messages.done(leases[-1], b"1")

    await store._engine.write(erase.forget_journals, [leases[0].message.id])
    assert list(await store.journal.steps(leases[0].message.id)) == []
    [step] = await store.journal.steps(leases[1].message.id)
    assert step.result == document

    await store._engine.write(erase.forget_runs, [leases[1].message.id])
    assert [file.execute(f"SELECT count(*) FROM {table}").get for table in ("step", "request", "said", "body", "body_use", "run")] == [
        0
    ] * 6
