"""Several worker processes share a lane with limits, and a real server writes down when their requests arrive."""

from __future__ import annotations

import asyncio
import json
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crash.conftest import Ground, Seer
from perdure.app import open_store
from perdure.messages.message import ENDS, MessageId, NewMessage, State
from perdure.testing.upstream import Seen, Upstream

__all__ = ["RATES_S", "Arrivals", "Limits", "Traffic", "reply"]

RATES_S = float(os.environ.get("CRASH_RATES_S", "15"))
LANE = "up/fake-1"
PROMPT_WORDS = 40


@dataclass(frozen=True)
class Limits:
    """Of the lane, and what counts as a minute."""

    rpm: int
    tpm: int
    minute_s: float


def body(tag: str, words: int, longest: int) -> bytes:
    """A request whose prompt has `PROMPT_WORDS` words and asks for an answer of so many."""
    prompt = " ".join([f"[tag:{tag}]", f"{words}", *["word"] * (PROMPT_WORDS - 2)])
    return json.dumps({"messages": [{"role": "user", "content": prompt}], "max_tokens": longest}).encode()


def reply(request: Mapping[str, Any]) -> str:
    """Answer with as many words as were asked for."""
    return " ".join(["word"] * int(str(request["messages"][-1]["content"]).split()[1]))


def tokens_of(seen: Seen) -> int:
    return PROMPT_WORDS + int(str((seen.body or {})["messages"][-1]["content"]).split()[1])


class Arrivals:
    """What arrived, and when: the judge, who knows nothing of how limits are kept.

    Args:
        requests (Sequence[Seen]): As the server saw them.
        minute_s (float): What counts as a minute.
    """

    def __init__(self, requests: Sequence[Seen], minute_s: float) -> None:
        arrived = sorted((seen.at, tokens_of(seen), str(seen.tag)) for seen in requests)
        self.moments = [at for at, _, _ in arrived]
        self.tokens = [tokens for _, tokens, _ in arrived]
        self.tags = [tag for _, _, tag in arrived]
        self._minute_s = minute_s

    def most(self) -> tuple[int, int]:
        """The most requests and the most tokens in any sliding minute; one begins with each arrival."""
        ends = [bisect_left(self.moments, at + self._minute_s) for at in self.moments]
        return max(end - begin for begin, end in enumerate(ends)), max(sum(self.tokens[begin:end]) for begin, end in enumerate(ends))

    def used(self, limits: Limits, span_s: float) -> float:
        """Which part of what was allowed in the first so many seconds was used, of whichever limit binds."""
        until = bisect_left(self.moments, self.moments[0] + span_s)
        minutes = span_s / self._minute_s
        return max(until / (limits.rpm * minutes), sum(self.tokens[:until]) / (limits.tpm * minutes))


class Traffic:
    """Workers on one lane, a tenant with a large backlog and one that puts a message now and then.

    Args:
        folder (Path): Where everything goes.
        url (str | None): Of PostgreSQL; None for SQLite.
        limits (Limits): Of the lane.
        upstream (Upstream): Who answers.
    """

    def __init__(self, folder: Path, url: str | None, limits: Limits, upstream: Upstream) -> None:
        self.limits, self._upstream = limits, upstream
        self.ground = Ground(folder, upstream.base_url, url)
        self.ground.environ |= {
            "PERDURE_PROVIDERS__UP__LIMITS__RPM": str(limits.rpm),
            "PERDURE_PROVIDERS__UP__LIMITS__TPM": str(limits.tpm),
            "PERDURE_PROVIDERS__UP__LIMITS__MINUTE_S": str(limits.minute_s),
        }
        self.waited_s: list[float] = []
        """By the messages of the small tenant, from the put to the end."""

    async def flow(self, workers: int, span_s: float, *, every_s: float, answers: Sequence[int]) -> Arrivals:
        """Let it run for a while, from the first arrival on."""
        backlog = int(2 * span_s / self.limits.minute_s * self.limits.rpm) + 50
        children = [self.ground.worker() for _ in range(workers)]
        async with open_store(self.ground.settings) as store:
            seer = Seer(store)

            async def all_live() -> bool:
                return await seer.living() == workers

            await seer.until(all_live, what=f"the workers live: {self.ground.said()}")
            await store.messages.put([self._new("large", f"large-{n}", answers[n % len(answers)], max(answers)) for n in range(backlog)])
            await seer.until(self._begun, what="something arrives")
            ends_at = asyncio.get_running_loop().time() + span_s + 1.0
            small: list[MessageId] = []
            while asyncio.get_running_loop().time() < ends_at:
                small += [
                    one.id
                    for one in await store.messages.put(
                        [self._new("small", f"small-{len(small)}", answers[len(small) % len(answers)], max(answers))]
                    )
                ]
                await asyncio.sleep(every_s)
            arrivals = Arrivals(list(self._upstream.requests), self.limits.minute_s)
            views = [await store.messages.get(one) for one in small]
            self.waited_s = [view.ended_at - view.message.created_at for view in views if view.ended_at is not None]
            assert all(view.state is State.DONE or view.state not in ENDS for view in views), [view.error for view in views]
        for child in children:
            assert child.poll() is None, self.ground.said()
            child.terminate()
        for child in children:
            assert await asyncio.to_thread(child.wait, 60) == 0
        return arrivals

    async def _begun(self) -> bool:
        return bool(self._upstream.requests)

    def _new(self, tenant: str, tag: str, words: int, longest: int) -> NewMessage:
        return NewMessage(agent="chat", body=body(tag, words, longest), tenant=tenant, lane=LANE)
