"""Workers fire schedules and tidy, whoever is there."""

from __future__ import annotations

from perdure.messages.retention import Keep
from perdure.messages.store import Filter
from perdure.testing import FakeClock, InMemoryStore
from perdure.testing.given import put
from perdure.testing.schedules import schedule
from perdure.worker.calendar import FIRE_S, Firing
from perdure.worker.tidying import MORE_S, TIDY_S, Tidying


async def test_a_round_of_firing_puts_what_is_due_and_comes_back_for_the_next() -> None:
    clock = FakeClock()
    async with InMemoryStore(clock=clock) as store:
        round_ = Firing(store.schedules, clock)
        assert await round_.once() == FIRE_S

        next_at = (await store.schedules.add(schedule(cron="* * * * *"))).next_at
        assert next_at is not None
        clock.pass_by(seconds=next_at - clock.now() - 0.25)

        assert await round_.once() == 0.25
        clock.pass_by(seconds=0.25)
        assert await round_.once() == FIRE_S
        assert len((await store.messages.list(Filter())).views) == 1


async def test_a_round_of_tidying_comes_back_at_once_while_there_is_more() -> None:
    clock = FakeClock()
    async with InMemoryStore(clock=clock) as store:
        for _ in range(501):
            await store.messages.cancel(await put(store))
        round_ = Tidying(store.retention, Keep(cancelled_s=60.0), store.files)
        assert await round_.once() == TIDY_S

        clock.pass_by(seconds=61)

        assert await round_.once() == MORE_S
        assert await round_.once() == TIDY_S
        assert (await store.messages.list(Filter())).views == []
