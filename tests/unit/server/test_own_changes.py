from __future__ import annotations

import random

import pytest

from perdure.messages.store import Change
from perdure.server.own_changes import OwnChanges


class Sequence:
    """A change sequence that counts what is read of it."""

    def __init__(self) -> None:
        self.told: list[Change] = []
        self.read = 0

    def happen(self, tenant: str, times: int = 1) -> None:
        for _ in range(times):
            seq = len(self.told) + 1
            self.told.append(Change(seq=seq, id=seq, tenant=tenant, queue="q", agent="a", state="ready", at=0.0))

    async def last_change(self) -> int:
        return len(self.told)

    async def changes(self, after: int, *, limit: int = 1000, tenant: str | None = None) -> list[Change]:
        found = []
        for change in self.told[after:]:
            self.read += 1
            if tenant in (None, change.tenant):
                found.append(change)
            if len(found) == limit:
                break
        return found


@pytest.fixture
def sequence() -> Sequence:
    return Sequence()


@pytest.fixture
def own(sequence: Sequence) -> OwnChanges:
    return OwnChanges(sequence)


async def test_what_was_looked_through_is_not_read_again(sequence, own):
    sequence.happen("mine")
    sequence.happen("others", 5000)
    assert (await own.after(1, tenant="mine", limit=10)) == ([], 1)
    assert sequence.read == 5000
    sequence.happen("others", 3)
    assert (await own.after(1, tenant="mine", limit=10)) == ([], 1)
    assert sequence.read == 5003


async def test_the_newest_is_found_from_the_end(sequence, own):
    sequence.happen("others", 50_000)
    sequence.happen("mine", 2500)
    sequence.happen("others", 500)
    assert await own.newest("mine") == 52_500
    assert sequence.read < 10_000
    assert await own.newest("nobody") == 0


@pytest.mark.parametrize("seed", range(20))
async def test_every_change_is_told_once_whatever_is_asked(sequence, own, seed):
    chosen = random.Random(seed)
    heard: dict[str, list[int]] = {"one": [], "two": []}
    last = {"one": 0, "two": 0}
    for _ in range(300):
        sequence.happen(chosen.choice(["one", "two", "others", "others"]), chosen.randrange(3))
        tenant = chosen.choice(["one", "two"])
        guess = chosen.randrange(len(sequence.told) + 20)  # of somebody else with the key
        await own.after(guess, tenant=tenant, limit=chosen.randrange(1, 4))
        changes, last[tenant] = await own.after(last[tenant], tenant=tenant, limit=chosen.randrange(1, 5))
        heard[tenant] += [change.seq for change in changes]
        there = [change.seq for change in sequence.told if change.tenant == tenant]
        assert await own.newest(tenant) == (there[-1] if there else 0)
    for tenant, seqs in heard.items():
        changes, _ = await own.after(last[tenant], tenant=tenant, limit=1000)
        assert seqs + [change.seq for change in changes] == [change.seq for change in sequence.told if change.tenant == tenant]
