"""The kit that proves how looks at providers are dealt out, and when one counts as turned."""

from __future__ import annotations

import asyncio

from perdure.errors.base import AuthenticationFailed, Evidence, PerdureError, ProviderTimeout, RateLimited
from perdure.providers.checkup import Checkup
from perdure.providers.health import CONFIRM_S, FORGOTTEN_S, Looked
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.kit import Kit

__all__ = ["HealthKit"]

EVERY_S = 300.0
REFUSED = AuthenticationFailed("the key is not taken", hint="Another region?", evidence=Evidence(status=401))
SILENT = ProviderTimeout("no answer")


def _found(error: PerdureError | None = None, provider: str = "qwen") -> Checkup:
    """What a look found."""
    ok = error is None
    facts = None if error is None else error.facts()
    return Checkup(provider=provider, ok=ok, reachable=ok, key_good=ok, models_there=None, latency_s=0.25, at=1.0, error=facts)


async def _notes(store: Store, error: PerdureError | None = None) -> Looked:
    """Note what a look found."""
    return await store.health.note(_found(error), every_s=EVERY_S)


async def _due(store: Store, *providers: str) -> list[str]:
    """Take what is due."""
    return sorted((await store.health.take(providers, every_s=EVERY_S)).providers)


class HealthKit(Kit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and how your store keeps the health of providers is proved."""

    # Who looks when --------------------------------------------------------------------------------

    async def test_a_look_is_dealt_out_once_and_again_when_its_time_has_come(self, store: Store, clock: FakeClock) -> None:
        assert await _due(store, "qwen", "gpu") == ["gpu", "qwen"]
        assert await _due(store, "qwen", "gpu") == []
        clock.pass_by(seconds=EVERY_S - 1)
        waits = await store.health.take(["qwen"], every_s=EVERY_S)
        assert (list(waits.providers), round(waits.next_in_s, 3)) == ([], 1.0)
        clock.pass_by(seconds=1)
        assert await _due(store, "gpu") == ["gpu"]
        assert await _due(store, "gpu", "qwen") == ["qwen"], "each by itself"

    async def test_of_many_who_ask_at_once_one_gets_it(self, store: Store, clock: FakeClock) -> None:
        for _ in range(3):
            taken = await asyncio.gather(*(_due(store, "qwen", "gpu") for _ in range(8)))
            assert sorted(name for names in taken for name in names) == ["gpu", "qwen"]
            clock.pass_by(seconds=EVERY_S)

    async def test_the_next_look_is_due_so_long_after_this_one(self, store: Store, clock: FakeClock) -> None:
        await _due(store, "qwen")
        clock.pass_by(seconds=100)
        await _notes(store)
        clock.pass_by(seconds=EVERY_S - 1)
        assert await _due(store, "qwen") == []
        clock.pass_by(seconds=1)
        assert await _due(store, "qwen") == ["qwen"]

    async def test_a_shorter_pace_holds_at_once(self, store: Store) -> None:
        await store.health.take(["qwen"], every_s=86_400.0)
        assert await _due(store, "qwen") == ["qwen"]

    async def test_nobody_to_look_at_is_nothing_due(self, store: Store) -> None:
        assert await _due(store) == []
        assert list(await store.health.all()) == []

    # What was found --------------------------------------------------------------------------------

    async def test_what_a_look_found_is_kept_as_it_was_found(self, store: Store, clock: FakeClock) -> None:
        await _due(store, "qwen", "gpu")
        await _notes(store, REFUSED)
        gpu, qwen = await store.health.all()
        assert (gpu.provider, gpu.well, gpu.found, gpu.looked_at) == ("gpu", None, None, None)
        assert (qwen.well, qwen.since, qwen.looked_at, qwen.failures) == (False, clock.now(), clock.now(), 1)
        assert qwen.found == _found(REFUSED)

    async def test_what_a_person_has_to_mend_turns_it_at_once_and_once(self, store: Store, clock: FakeClock) -> None:
        assert not (await _notes(store)).turned, "that it can be used is no news at first"
        clock.pass_by(seconds=1)
        began = clock.now()
        assert [(await _notes(store, REFUSED)).turned for _ in range(3)] == [True, False, False]
        clock.pass_by(seconds=1)
        [health] = await store.health.all()
        assert (health.well, health.since, health.failures) == (False, began, 3)
        well = await _notes(store)
        assert (well.turned, well.before.well, well.health.well, well.health.failures) == (True, False, True, 0)
        assert not (await _notes(store)).turned

    async def test_what_may_be_a_moments_trouble_is_looked_at_again_soon_before_it_counts(self, store: Store, clock: FakeClock) -> None:
        await _due(store, "qwen")
        await _notes(store)
        first = await _notes(store, SILENT)
        assert (first.turned, first.health.well, first.health.failures) == (False, True, 1)
        assert await _due(store, "qwen") == []
        clock.pass_by(seconds=CONFIRM_S)
        assert await _due(store, "qwen") == ["qwen"]
        assert (await _notes(store, SILENT)).turned
        clock.pass_by(seconds=CONFIRM_S)
        assert await _due(store, "qwen") == [], "from then on at the usual pace"

    async def test_a_blip_turns_nothing(self, store: Store) -> None:
        looks = [await _notes(store, error) for error in (None, SILENT, None, SILENT, None)]
        assert not any(looked.turned for looked in looks)
        assert looks[-1].health.well

    async def test_a_rate_limit_says_nothing_against_a_provider(self, store: Store) -> None:
        limited = RateLimited("slow down")
        looks = [await _notes(store, error) for error in (limited, limited, None, limited)]
        assert [looked.health.well for looked in looks] == [None, None, True, True]
        await _notes(store, REFUSED)
        assert (await _notes(store, limited)).health.well is False, "nor for it"

    async def test_of_looks_that_end_at_once_one_turns_it(self, store: Store) -> None:
        looks = await asyncio.gather(*(_notes(store, REFUSED) for _ in range(6)))
        assert sum(looked.turned for looked in looks) == 1

    async def test_a_provider_that_is_no_longer_there_is_forgotten(self, store: Store, clock: FakeClock) -> None:
        await _due(store, "gone", "qwen")
        clock.pass_by(seconds=FORGOTTEN_S + EVERY_S + 1)
        await _notes(store)
        assert [one.provider for one in await store.health.all()] == ["qwen"]
