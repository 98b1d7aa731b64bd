"""What may happen to a store, how often and with what: drawn by hypothesis for `StoreMachine`."""

from __future__ import annotations

from typing import Any, TypeAlias

from hypothesis import strategies as st

from perdure.agents.journal import Decision
from perdure.clock import Moment
from perdure.messages.message import NewMessage

__all__ = ["Day", "at", "happenings", "new_messages"]

Day: TypeAlias = tuple[list[tuple[str, int, bool]], str | None]
"""What a run writes, and how its lease ends."""
any_of: st.SearchStrategy[int] = st.integers(0, 10**6)
"""Which one of those there are, counted round."""
mostly_recent: st.SearchStrategy[int] = st.integers(0, 3) | any_of
"""Counted from the newest."""
numbers: st.SearchStrategy[int] = st.integers(1, 3)
queues: st.SearchStrategy[str] = st.sampled_from(["default", "mail"])
writes: st.SearchStrategy[tuple[str, int, bool]] = st.tuples(
    st.sampled_from(["intend", "intend", "record", "record", "settle", "fail", "defer", "obtain"]), numbers, st.booleans()
)
ends: st.SearchStrategy[str | None] = st.none() | st.sampled_from(
    [
        "done",
        "retry",
        "retry-at-once",
        "bury",
        "give-up",
        "sleep",
        "account",
        "account",
        "outcome-unknown",
        "signal",
        "signal-or-time",
        "release",
    ]
)
days: st.SearchStrategy[Day] = st.tuples(st.lists(writes, max_size=4), ends)


@st.composite
def new_messages(draw: st.DrawFn) -> NewMessage:
    """Draw a message; its times are relative to now.

    Args:
        draw (st.DrawFn): As hypothesis gives it.

    Returns:
        NewMessage: With `due_at` and `deadline` still to be added to the time of the put.
    """
    return NewMessage(
        agent="mail",
        body=draw(st.sampled_from([b"1", b"2"])),
        queue=draw(queues),
        tenant=draw(st.sampled_from(["default", "acme"])),
        priority=draw(st.sampled_from([0, 5, 9])),
        due_at=draw(st.sampled_from([None, None, None, -5.0, 30.0])),
        dedup_key=draw(st.sampled_from([None, None, None, "a", "b"])),
        deadline=draw(st.sampled_from([None, None, None, 40.0])),
        max_wait_s=draw(st.sampled_from([50.0, 10_000.0, 10_000.0])),
        lane=draw(st.sampled_from([None, "p/m"])),
        session=draw(st.sampled_from([None, None, None, "s", "t"])),
        on_dead=draw(st.sampled_from(["continue", "continue", "block"])),
        key=draw(st.sampled_from([None, None, "k", "l"])),
        cost=draw(st.sampled_from([1, 1, 3])),
    )


_DEEDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "people_put": {"drawn": st.lists(new_messages(), min_size=1, max_size=5)},
    "workers_take": {"which": mostly_recent, "limit": st.integers(1, 5), "fresh": st.booleans(), "days": st.lists(days, max_size=3)},
    "a_run_goes_on": {"which": any_of, "day": days},
    "time_passes": {
        "seconds": st.sampled_from([1.0, 9.0, 10.0, 11.0, 11.0, 30.0]),
        "silent": st.sampled_from(["nobody", "one", "all"]),
        "reaped": st.booleans(),
        "tended": st.booleans(),
    },
    "a_dead_worker_wakes": {"which": mostly_recent},
    "somebody_changes_what_may_start": {
        "which": any_of,
        "act": st.sampled_from(["pause", "resume", "resume", "close-lane", "bow-out", "limit", "limit", "limit", "lift"]),
        "queue": st.none() | queues,
    },
    "a_person_acts": {
        "which": any_of,
        "act": st.sampled_from(["cancel", "cancel", "revive", "revive", "decide", "decide", "signal", "signal"]),
        "number": numbers,
        "decision": st.sampled_from(Decision),
    },
}
_HOW_OFTEN = {
    "people_put": 2,
    "workers_take": 4,
    "a_run_goes_on": 5,
    "time_passes": 5,
    "a_dead_worker_wakes": 1,
    "somebody_changes_what_may_start": 2,
    "a_person_acts": 3,
}


_DRAWN = {name: st.tuples(st.just(name), st.fixed_dictionaries(facts)) for name, facts in _DEEDS.items()}


def happenings() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Draw what happens next.

    Returns:
        st.SearchStrategy[tuple[str, dict[str, Any]]]: The name of one of the machine's methods, and what it is given.
    """
    return st.sampled_from([name for name, often in _HOW_OFTEN.items() for _ in range(often)]).flatmap(_DRAWN.__getitem__)


def at(new: NewMessage, now: Moment) -> NewMessage:
    """Put a drawn message in its time.

    Args:
        new (NewMessage): With times relative to now.
        now (Moment): When it is put.

    Returns:
        NewMessage: With moments.
    """
    fields = {name: getattr(new, name) for name in new.__struct_fields__}
    fields["due_at"] = None if new.due_at is None else now + new.due_at
    fields["deadline"] = None if new.deadline is None else now + new.deadline
    return NewMessage(**fields)
