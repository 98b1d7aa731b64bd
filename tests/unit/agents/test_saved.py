"""What replay saves is counted, what calls ask is kept as the agent wants it, and newer journals are left alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from perdure.agents.agent import Agent, agent
from perdure.agents.journal import FORMAT, StepKind
from perdure.agents.run import Run
from perdure.agents.runs import Fork
from perdure.errors.base import ConfigError
from perdure.resources.usage import Usage
from perdure.testing.cutting import CuttingJournal

SECRET = "sk-proj-0123456789abcdef"


@agent
async def three(run: Run) -> str:
    return [await run.ask("think", question) for question in ("one two", "three four five", "six")][-1]


class Counted(CuttingJournal):
    """Counts what is committed."""

    said: list[Usage]

    async def replayed(self, lease: Any, saved: Usage) -> None:
        self.said = [*getattr(self, "said", []), saved]
        await super().replayed(lease, saved)


def cut(world: Any, after: int) -> Counted:
    journal = Counted(world.store.journal, world.crash, after=after, during=None)
    world.wrap_journal = lambda _: journal
    return journal


async def test_what_replay_saved_is_counted_once_beside_the_next_intent(world: Any) -> None:
    cut(world, 2)
    with pytest.raises(Exception, match="taken away"):
        await world.attempt(three)
    journal = cut(world, 99)

    await world.result(three)

    saved = Usage(calls=2, input_tokens=5, output_tokens=9)
    assert journal.said == [saved], "one commit for both, not one each"
    assert (await world.store.messages.get(world.id)).replayed == saved
    assert (await world.store.messages.counters())["replayed_calls"] == 2


async def test_what_was_replayed_last_is_counted_at_the_end(world: Any) -> None:
    cut(world, 3)
    with pytest.raises(Exception, match="taken away"):
        await world.attempt(three)
    journal = cut(world, 99)

    await world.result(three)

    assert [saved.calls for saved in journal.said] == [3]
    assert world.provider.count == 3


async def test_a_run_that_replays_nothing_counts_nothing(world: Any) -> None:
    journal = cut(world, 99)

    await world.result(three)

    assert not hasattr(journal, "said")
    assert (await world.store.messages.get(world.id)).replayed is None


async def test_a_fork_saves_what_it_takes_over(world: Any) -> None:
    await world.result(three)
    await world.store.messages.done(world.lease, b"1")
    world.id = (await world.store.runs.fork(world.id, Fork(step=3))).message.id

    assert await world.result(three) == "answer to: six"

    assert world.provider.count == 4, "three, and the last once more"
    assert (await world.store.messages.get(world.id)).replayed.calls == 2


async def test_steps_taken_over_do_not_count_against_a_runs_limits(world: Any) -> None:
    limited = Agent(three.function, name="three", limits=msgspec.structs.replace(three.limits, max_steps=3, max_tokens=30))
    await world.result(limited)
    await world.store.messages.done(world.lease, b"1")
    world.id = (await world.store.runs.fork(world.id, Fork(step=2))).message.id

    assert await world.result(limited) == "answer to: six"


async def test_a_journal_of_a_newer_version_is_left_to_newer_workers(world: Any) -> None:
    cut(world, 1)
    with pytest.raises(Exception, match="taken away"):
        await world.attempt(three)
    kept = world.store._contents.steps[world.id]
    kept[1] = msgspec.structs.replace(kept[1], format=FORMAT + 1)
    world.wrap_journal = lambda journal: journal

    ending = await world.parked(three)

    assert (ending.wait.why, ending.wait.open_ended, ending.wait.error.code) == ("newer-journal", True, "journal-newer")
    assert 0 < ending.wait.until - world.clock.now() <= 15
    assert world.provider.count == 1, "nothing was done"
    await world.wake(ending)
    kept[1] = msgspec.structs.replace(kept[1], format=FORMAT)
    await world.result(three)
    assert world.provider.count == 3


@pytest.mark.parametrize(
    ("capture", "kept"),
    [
        ("full", [f'"my key is {SECRET}"', f'"{SECRET}"']),
        ("redacted", ['"my key is [redacted]"', '"[redacted]"']),
        ("none", []),
    ],
)
async def test_of_what_calls_ask_is_kept_what_the_agent_allows(world: Any, capture: Any, kept: list[str]) -> None:
    @agent(capture=capture)
    async def teller(run: Run) -> str:
        await run.call(shout, SECRET)
        return await run.ask("think", f"my key is {SECRET}")

    async def shout(word: str) -> str:
        return word.upper()

    answer = await world.result(teller)

    shown = b"".join(step.request or b"" for step in await world.steps()).decode()
    assert answer == f"answer to: my key is {SECRET}", "the model was asked in full"
    assert [one for one in kept if one not in shown] == []
    assert (SECRET in shown) == (capture == "full")
    assert (shown == "") == (capture == "none")
    await world.crash()
    assert await world.result(teller) == answer, "it replays all the same"
    assert world.provider.count == 1
    assert [step.key.kind for step in await world.steps()] == [StepKind.TOOL, StepKind.LLM]


def test_only_what_can_be_captured_can_be_said() -> None:
    with pytest.raises(ConfigError, match="capture"):
        Agent(three.function, capture="some")  # type: ignore[arg-type]
