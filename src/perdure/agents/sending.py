"""What makes of a run's words a message for another agent: shape, queue, defaults, lane.

What the run leaves open comes from the agent's own card, as a worker registered it last, and then from the run's own
message: whoever put that has chosen for what belongs to it as well.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from perdure.agents.parts import RunParts
from perdure.agents.shapes import problems_of
from perdure.errors.base import ConfigError, InvalidInput, UnknownAgent
from perdure.messages.message import IDLE, URGENT, Message, NewMessage, OnDead
from perdure.messages.registry import AgentCard, WorkerRegistry
from perdure.messages.terms import inherited, refuse_reserved
from perdure.tools.plain import dump, plain

__all__ = ["Sending"]

_CHAT = "chat"
"""The built-in agent whose lane is that of the model in the body."""


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """How messages are to be sent; None leaves it to the agent, and then to the message whose run sends them."""

    agent: str
    queue: str | None = None
    priority: int | None = None
    session: str | None = None
    on_dead: OnDead = "continue"
    key: str | None = None
    cost: int = 1
    delay_s: float | None = None
    due_at: datetime | None = None
    deadline: datetime | None = None
    attempts: int | None = None
    version: str | None = None
    metadata: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        if self.delay_s is not None and (self.due_at is not None or not 0 <= self.delay_s < math.inf):
            raise InvalidInput("say either `due_at` or `delay_s`, seconds from now", hint="A delay is 0 or more.")
        if self.priority is not None and not URGENT <= self.priority <= IDLE:
            raise InvalidInput(f"{self.priority!r} is no priority", hint="0 is the most urgent, 9 the least.")

    async def messages(self, bodies: Sequence[Any], parts: RunParts, by: Message) -> list[NewMessage]:
        """Make messages that may be put.

        Args:
            bodies (Sequence[Any]): What they say.
            parts (RunParts): The registry, the models and the clock are used.
            by (Message): Whose run sends them.

        Returns:
            list[NewMessage]: One for each body.

        Raises:
            UnknownAgent: Nobody ever registered the agent.
            InvalidInput: A body does not have the agent's shape.
        """
        if parts.registry is None:
            raise ConfigError("this run cannot send: nobody gave it a registry of agents")
        card = await parts.registry.agent(self.agent)
        if card is None:
            raise await _unknown(self.agent, parts.registry)
        return [self._message(body, card, parts, by) for body in bodies]

    def _message(self, body: Any, card: AgentCard, parts: RunParts, by: Message) -> NewMessage:
        refuse_reserved(self.metadata)
        said = plain(body, what=f"the body for agent {self.agent!r}")
        problems = problems_of(said, card.input_schema, at="body")
        if problems:
            raise InvalidInput(f"agent {self.agent!r} does not take this: {problems[0]}", problems=problems)
        now = parts.clock.now()
        due_at = now + self.delay_s if self.delay_s else None if self.due_at is None else self.due_at.timestamp()
        deadlines = [one for one in (by.deadline, None if self.deadline is None else self.deadline.timestamp()) if one is not None]
        return NewMessage(
            agent=self.agent,
            body=dump(said),
            queue=self.queue or card.queue,
            tenant=by.tenant,
            priority=by.priority if self.priority is None else self.priority,
            due_at=due_at,
            attempts=self.attempts or card.attempts or by.attempts,
            timeout_s=card.timeout_s or by.timeout_s,
            deadline=min(deadlines, default=None),
            max_wait_s=by.max_wait_s,
            version=self.version,
            lane=_lane(said, card, parts),
            session=self.session,
            on_dead=self.on_dead,
            key=self.key,
            cost=self.cost,
            parent=by.id,
            metadata={**self.metadata, **inherited(by.metadata)},
        )


def _lane(body: Any, card: AgentCard, parts: RunParts) -> str | None:
    if card.name != _CHAT:
        return card.lane
    model = body.get("model") if isinstance(body, dict) else None
    return parts.models.deployments(model if isinstance(model, str) else None).lane


async def _unknown(name: str, registry: WorkerRegistry) -> UnknownAgent:
    known = sorted(card.name for card in await registry.agents())
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known[:20])}."
    return UnknownAgent(f"no worker ever registered an agent {name!r}", hint=hint)
