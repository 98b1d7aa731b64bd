"""What must be true when a crash test is over, whatever was killed, cut or set: one list of checks for all of them.

A test gathers the books - what the store says now, all it ever told, what somebody who looked on has seen, and what happened outside
of it: requests at the provider, traces of tools - and `check_everything` holds them against each other. A check is a function that
says what is wrong, one sentence each; `test_books.py` proves of each that it can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crash.history import (
    ended_twice,
    illegal_paths,
    leased_twice,
    maybe_apart,
    missed,
    never_told,
    sessions_out_of_order,
    starved,
    told_what_is_not,
    whole_history,
)
from crash.watch import Recorded, Watch, tag_of
from perdure.agents.journal import Step, StepKind
from perdure.app import open_store, open_upkeep
from perdure.config.settings import Settings
from perdure.messages.message import ENDS, MessageId, State, View
from perdure.messages.store import Change, Filter
from perdure.stores.store import Store

__all__ = ["CHECKS", "Books", "check_everything", "every_view", "gathered", "wrong_in"]

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Books:
    """All that is known when a test is over."""

    put: Sequence[MessageId]
    """What was answered with an id."""
    views: Mapping[MessageId, View]
    steps: Mapping[MessageId, Sequence[Step]]
    told: Sequence[Change]
    followed: Sequence[Change] = ()
    """The changes that somebody read while they were made."""
    recorded: Mapping[tuple[MessageId, int], Recorded] = field(default_factory=dict)
    """Answers that somebody has seen in the journal, by message and step."""
    asked: Mapping[str, int] = field(default_factory=dict)
    """Requests that the provider has seen, by the tag of their call."""
    tool_runs: Mapping[MessageId, int] = field(default_factory=dict)
    """How often the tool of a message ran that must not run twice, by the traces it left."""
    paid_twice: int = 0
    """How many calls the store says it may have paid for twice."""
    leasers: int = 1
    """How many may have taken messages at the same time."""
    faults: Sequence[str] = ()
    """What the store finds wrong with itself."""
    gone: Collection[MessageId] = ()
    """What somebody has discarded, and with it its history."""

    @property
    def called_off(self) -> set[MessageId]:
        """Those that somebody called off."""
        return {one for one, view in self.views.items() if view.cancelling or view.state is State.CANCELLED}

    @property
    def states(self) -> dict[MessageId, State]:
        return {one: view.state for one, view in self.views.items()}

    def calls(self) -> Iterator[tuple[MessageId, Step, str]]:
        """Every call of a model, with its tag."""
        for one, steps in self.steps.items():
            for step in steps:
                if step.key.kind is StepKind.LLM and (tag := tag_of(step)) is not None:
                    yield one, step, tag


def _lost(books: Books) -> list[str]:
    return [f"{one} was accepted and is not there" for one in books.put if one not in books.views]


def _unended(books: Books) -> list[str]:
    return [f"{one} is {view.state}: {view.wait or view.error}" for one, view in books.views.items() if view.state not in ENDS]


def _out_of_session(books: Books) -> list[str]:
    """A revived one joins at the end of its session, so its id says nothing of its place."""
    named = {one: view for one, view in books.views.items() if view.message.session is not None and not view.revived}
    return sessions_out_of_order(books.told, {one: f"{view.message.tenant}/{view.message.session}" for one, view in named.items()})


def _starved(books: Books) -> list[str]:
    return starved(books.told, workers=books.leasers, apart=maybe_apart(books.told))


def _recorded_again(books: Books) -> list[str]:
    """What was recorded stays as it was: whoever makes a recorded call again records it again, with another time."""
    wrong = []
    for (one, number), before in books.recorded.items():
        now = next((step for step in books.steps.get(one, ()) if step.number == number), None)
        if now is None:
            wrong.append(f"step {number} of {one} was recorded and is gone")
        elif (now.result, now.ended_at) != (before.result, before.ended_at):
            wrong.append(f"step {number} of {one} was recorded at {before.ended_at}, and is again at {now.ended_at}")
    return wrong


def _asked_again(books: Books) -> list[str]:
    return [
        f"step {number} of {one} was recorded after {before.asked} requests, and {books.asked.get(before.tag, 0)} were made"
        for (one, number), before in books.recorded.items()
        if before.tag is not None and books.asked.get(before.tag, 0) > before.asked
    ]


def _paid_too_often(books: Books) -> list[str]:
    allowed: Counter[str] = Counter()
    for _, step, tag in books.calls():
        allowed[tag] += 1 + step.ambiguous
    return [f"{tag} was asked {n} times, of which {allowed[tag]} are accounted for" for tag, n in books.asked.items() if n > allowed[tag]]


def _never_asked(books: Books) -> list[str]:
    return [
        f"{tag} is recorded for {one}, and nobody was asked"
        for one, step, tag in books.calls()
        if step.result is not None and step.origin is None and not books.asked.get(tag)
    ]


def _miscounted(books: Books) -> list[str]:
    counted = sum(step.ambiguous for steps in books.steps.values() for step in steps if step.key.kind is StepKind.LLM)
    if counted == books.paid_twice:
        return []
    return [f"the journals say that {counted} calls may have been paid for twice, the counter {books.paid_twice}"]


def _tools(books: Books) -> list[str]:
    wrong = [f"the tool of {one} ran {n} times" for one, n in books.tool_runs.items() if n > 1]
    done = [one for one, n in books.tool_runs.items() if n == 0 and one in books.views and books.views[one].state is State.DONE]
    return wrong + [f"{one} is done, and its tool never ran" for one in done]


CHECKS: Mapping[str, Callable[[Books], list[str]]] = {
    "lost": _lost,
    "not ended": _unended,
    "illegal paths": lambda books: illegal_paths(books.told, called_off=books.called_off),
    "leased twice": lambda books: leased_twice(books.told, called_off=books.called_off),
    "ended twice": lambda books: ended_twice(books.told),
    "never told": lambda books: never_told(books.told, books.states),
    "told what is not": lambda books: told_what_is_not(books.told, books.states),
    "not gone": lambda books: [f"{one} was discarded and is there" for one in books.gone if one in books.views],
    "followers miss": lambda books: missed([one for one in books.followed if one.id not in books.gone], books.told),
    "sessions out of order": _out_of_session,
    "starved": _starved,
    "recorded again": _recorded_again,
    "asked again": _asked_again,
    "paid too often": _paid_too_often,
    "never asked": _never_asked,
    "miscounted": _miscounted,
    "tools": _tools,
    "faults": lambda books: list(books.faults),
}


def wrong_in(books: Books) -> dict[str, list[str]]:
    """Make every check; by its name what it finds, where it finds anything."""
    found = {name: check(books) for name, check in CHECKS.items()}
    return {name: wrong for name, wrong in found.items() if wrong}


async def every_view(store: Store) -> dict[MessageId, View]:
    """Read where every message is."""
    found: dict[MessageId, View] = {}
    cursor = None
    while True:
        page = await store.messages.list(Filter(), limit=1000, cursor=cursor)
        found |= {view.message.id: view for view in page.views}
        if (cursor := page.cursor) is None:
            return found


async def gathered(store: Store, settings: Settings, watch: Watch, **known: Any) -> Books:
    """Close the books: nobody works any more."""
    views = await every_view(store)
    return Books(
        views=views,
        steps={one: list(await store.journal.steps(one)) for one in views},
        told=await whole_history(store.messages),
        followed=watch.followed,
        recorded={at: seen for at, seen in watch.recorded.items() if at[0] not in known.get("gone", ())},
        asked=watch.requests(),
        paid_twice=(await store.messages.counters()).get("possibly_paid_twice", 0),
        faults=[f"{fault.check}: {fault.what} {fault.examples}" for fault in await open_upkeep(settings).verify()],
        **known,
    )


async def check_everything(settings: Settings, watch: Watch, **known: Any) -> Books:
    """Hold a store against its history, against what was seen of it on the way, and against the world outside.

    Args:
        settings (Settings): Where it is.
        watch (Watch): Who looked on.
        **known (Any): What the test knows of its `Books`: what was `put`, the `tool_runs`, how many `leasers` there were.

    Returns:
        Books: For what else a test wants to know.
    """
    async with open_store(settings) as store:
        books = await gathered(store, settings, watch, **known)
    wrong = wrong_in(books)
    assert not wrong, "\n".join(f"{name}: {len(said)}, {said[:_SHOWN]}" for name, said in wrong.items())
    return books
