"""Somebody who looks on while a store is worked on, and remembers what he has seen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from crash.history import whole_history
from perdure.agents.journal import Step, StepKind, StepState
from perdure.app import open_store
from perdure.config.settings import Settings
from perdure.errors.base import StoreError
from perdure.messages.message import MessageId
from perdure.messages.store import Change
from perdure.stores.store import Store

__all__ = ["Recorded", "Watch", "tag_of"]

LOOK_S = 0.5
_TAG = re.compile(rb"\[tag:([^\]]+)\]")


class Recorded(NamedTuple):
    """An answer in a journal, as it was first seen there."""

    result: bytes | None
    ended_at: float | None
    tag: str | None = None
    """Of the call, if it was one of a model."""
    asked: int = 0
    """How many requests there were for it by then; no more may come."""


def tag_of(step: Step) -> str | None:
    """By which tag the provider knows a call of a model."""
    found = _TAG.search(step.request or b"") if step.key.kind is StepKind.LLM else None
    return None if found is None else found[1].decode()


class Watch:
    """Follows the changes, and looks into the journals of whoever has moved.

    Args:
        requests (Callable[[], Mapping[str, int]]): Counts what the provider has been asked so far, by tag.
    """

    def __init__(self, requests: Callable[[], Mapping[str, int]]) -> None:
        self.requests = requests
        self.followed: list[Change] = []
        self.recorded: dict[tuple[MessageId, int], Recorded] = {}

    async def look(self, store: Store) -> dict[MessageId, Sequence[Step]]:
        """Read what is new. Requests are counted after the journal is read: one that is recorded was made before.

        Returns:
            dict[MessageId, Sequence[Step]]: The steps of those that have moved since the last look.
        """
        new = await whole_history(store.messages, after=self.followed[-1].seq if self.followed else 0)
        self.followed += new
        found = {one: await store.journal.steps(one) for one in sorted({change.id for change in new})}
        asked = self.requests()
        for one, step in ((one, step) for one, steps in found.items() for step in steps):
            if step.state is StepState.DONE and (one, step.number) not in self.recorded:
                tag = tag_of(step)
                self.recorded[one, step.number] = Recorded(step.result, step.ended_at, tag, asked.get(tag, 0) if tag else 0)
        return found

    async def go_on_looking(self, settings: Settings) -> None:
        """Look again and again, also while the store is out of reach."""
        while True:
            with suppress(StoreError):
                async with open_store(settings) as store:
                    while True:
                        await self.look(store)
                        await asyncio.sleep(LOOK_S)
            await asyncio.sleep(LOOK_S)
