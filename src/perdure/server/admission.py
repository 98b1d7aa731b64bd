"""What makes of a caller's words a message that may be put: agent, shape, defaults, lane.

In this order, since each needs the one before: the agent must be known, its schema decides whether the
body will do, its card and then the settings fill in what the caller left open, and the lane says which
provider it will need. All messages of a put are looked at before any is refused, so that a caller with
a file of them learns of all that is wrong at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from perdure.agents.chat import chat
from perdure.clock import Moment
from perdure.config.settings import QueueSettings
from perdure.errors.base import Forbidden, InputTooLarge, InvalidInput, UnknownAgent
from perdure.messages.message import NewMessage
from perdure.messages.registry import AgentCard
from perdure.messages.terms import refuse_reserved, with_terms
from perdure.security.access import OPERATOR
from perdure.security.keys import Key
from perdure.security.validator import Validator
from perdure.server.asks import PutMessage
from perdure.server.moments import moment_of
from perdure.server.parts import ServerParts
from perdure.wire.requests import read_chat_request

CHAT = chat.name
"""The built-in agent whose lane is that of the model in the body."""
_CHAT_REQUEST = (chat.input_schema or {})["title"]
_MOST_PROBLEMS = 50

__all__ = ["CHAT", "Admission", "Completion", "unknown_agent"]


class Admission:
    """Turns what callers ask for into messages.

    Args:
        parts (ServerParts): Registry, models and settings are used.
        validator (Validator): Checks bodies against the schemas of agents.
    """

    def __init__(self, parts: ServerParts, validator: Validator) -> None:
        self._parts = parts
        self._completion = Completion(validator, parts.queue, lambda model: parts.models.deployments(model).lane)

    async def admit(self, asks: Sequence[PutMessage], *, key: Key, many: bool = False) -> list[NewMessage]:
        """Check messages and complete them.

        Args:
            asks (Sequence[PutMessage]): What the caller wants put.
            key (Key): Whose messages they will be.
            many (bool): Whether to name places by index.

        Returns:
            list[NewMessage]: One for each, ready for `MessageStore.put`.

        Raises:
            InputTooLarge: There are too many of them.
            UnknownAgent: An agent was never registered.
            Forbidden: One is for another tenant than the key's.
            InvalidInput: A body does not have its agent's shape, or two fields contradict each other.
            UnknownModel: A `chat` names a model that there is not.
        """
        if len(asks) > self._parts.settings.max_batch:
            raise InputTooLarge(
                f"{len(asks):,} messages are too many for one put; {self._parts.settings.max_batch:,} are allowed",
                hint="Put them in several calls, or raise `server.max_batch`.",
            )
        cards = await self._cards(asks)
        return self._completion.complete(
            asks, cards, tenant_of=lambda ask: _tenant(ask, key), now=self._parts.clock.now(), by=key.id, many=many
        )

    async def _cards(self, asks: Sequence[PutMessage]) -> dict[str, AgentCard | None]:
        cards = {name: await self._parts.store.workers.agent(name) for name in dict.fromkeys(ask.agent for ask in asks)}
        missing = [name for name, card in cards.items() if card is None]
        if missing and not self._parts.settings.allow_unregistered:
            raise unknown_agent(missing, [card.name for card in await self._parts.store.workers.agents()])
        return cards


class Completion:
    """Checks messages against what is known of their agents, and fills in what is left open. Asks nobody anything.

    Args:
        validator (Validator): Checks bodies against the schemas of agents.
        defaults (QueueSettings): What a message gets that neither it nor its agent says.
        lane_of (Callable[[str | None], str | None]): The lane of a model's name, for `chat`.
    """

    def __init__(self, validator: Validator, defaults: QueueSettings, lane_of: Callable[[str | None], str | None]) -> None:
        self._validator = validator
        self._defaults = defaults
        self._lane_of = lane_of

    def complete(
        self,
        asks: Sequence[PutMessage],
        cards: Mapping[str, AgentCard | None],
        *,
        tenant_of: Callable[[PutMessage], str],
        now: Moment,
        by: str | None = None,
        many: bool = False,
    ) -> list[NewMessage]:
        """Check messages and complete them.

        Args:
            asks (Sequence[PutMessage]): What the caller wants put.
            cards (Mapping[str, AgentCard | None]): What is known of their agents.
            tenant_of (Callable[[PutMessage], str]): Whose a message will be.
            now (Moment): The store's time.
            by (str | None): The id of the key that puts them.
            many (bool): Whether to name places by index.

        Returns:
            list[NewMessage]: One for each.

        Raises:
            InvalidInput: A body does not have its agent's shape, or two fields contradict each other.
        """
        self._check(asks, cards, many=many)
        return [self._complete(ask, cards[ask.agent], tenant=tenant_of(ask), by=by, now=now) for ask in asks]

    def _check(self, asks: Sequence[PutMessage], cards: Mapping[str, AgentCard | None], *, many: bool) -> None:
        problems: list[str] = []
        for index, ask in enumerate(asks):
            at = f"messages[{index}]." if many else ""
            if ask.delay_s is not None and ask.due_at is not None:
                problems.append(f"{at}due_at: say either `delay_s` or `due_at`, not both")
            card = cards[ask.agent]
            if _asks_a_model(ask, card):
                problems += _chat_problems(ask.body, at=f"{at}body")
            elif card is not None and card.input_schema is not None:
                problems += self._validator.check(ask.body, card.input_schema, at=f"{at}body")
            if len(problems) >= _MOST_PROBLEMS:
                break
        if problems:
            names = ", ".join(sorted({repr(ask.agent) for ask in asks}))
            raise InvalidInput(
                problems[0] if len(problems) == 1 else f"{len(problems)} things are wrong; the first is {problems[0]}",
                problems=problems,
                hint=f"The shape that {names[:200]} expects is at GET /api/v1/agents.",
            )

    def _complete(self, ask: PutMessage, card: AgentCard | None, *, tenant: str, by: str | None, now: Moment) -> NewMessage:
        defaults = self._defaults
        refuse_reserved(ask.metadata)
        return NewMessage(
            agent=ask.agent,
            body=_written(ask.body),
            queue=ask.queue or (card.queue if card else "default"),
            tenant=tenant,
            priority=ask.priority,
            due_at=now + ask.delay_s if ask.delay_s else moment_of("due_at", ask.due_at),
            dedup_key=ask.dedup_key,
            attempts=ask.attempts or (card.attempts if card else None) or defaults.attempts,
            timeout_s=ask.timeout_s or (card.timeout_s if card else None) or defaults.timeout_s,
            deadline=moment_of("deadline", ask.deadline),
            max_wait_s=ask.max_wait_s or defaults.max_wait_s,
            version=ask.version,
            lane=self._lane(ask, card),
            session=ask.session,
            on_dead=ask.on_dead,
            key=ask.key,
            cost=ask.cost,
            metadata=with_terms(ask.metadata, by=by, max_cost_usd=ask.max_cost_usd),
        )

    def _lane(self, ask: PutMessage, card: AgentCard | None) -> str | None:
        if ask.agent != CHAT:
            return card.lane if card else None
        model = ask.body.get("model") if isinstance(ask.body, dict) else None
        if model is not None and not isinstance(model, str):
            raise InvalidInput("body.model: a model's name is a text", problems=["body.model: a model's name is a text"])
        return self._lane_of(model)


def unknown_agent(missing: Sequence[str], known: Sequence[str]) -> UnknownAgent:
    """Say that an agent was never registered, and which one may have been meant.

    Args:
        missing (Sequence[str]): Agents that nobody knows, at least one.
        known (Sequence[str]): Those that were registered.

    Returns:
        UnknownAgent: To be raised.
    """
    near = difflib.get_close_matches(missing[0], known, n=1)
    also = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    if not known:
        hint = "No worker has registered any agent yet: start one with `perdure worker --app module:app`."
    elif near:
        hint = f"Did you mean {near[0]!r}?"
    else:
        hint = f"Known here: {', '.join(known[:20])}. A worker registers its agents when it starts."
    return UnknownAgent(f"no worker ever registered an agent {missing[0]!r}{also}", hint=hint)


def _asks_a_model(ask: PutMessage, card: AgentCard | None) -> bool:
    """Tell whether a message is for the built-in agent; an app may have one of its own under that name."""
    return ask.agent == CHAT and (card is None or (card.input_schema or {}).get("title") == _CHAT_REQUEST)


def _chat_problems(body: Any, *, at: str) -> list[str]:
    """Find now what its provider would refuse later, in the words of `/v1/chat/completions`."""
    try:
        read_chat_request(body)
    except InvalidInput as error:
        return [f"{at}.{problem}" for problem in error.problems] or [f"{at}: {error.message}"]
    return []


def _tenant(ask: PutMessage, key: Key) -> str:
    if key.tenant == OPERATOR:
        return ask.tenant or "default"
    if ask.tenant not in (None, key.tenant):
        raise Forbidden(
            f"key {key.id!r} puts messages of tenant {key.tenant!r} only, not of {ask.tenant!r}",
            hint="Leave `tenant` out.",
        )
    return key.tenant


def _written(body: Any) -> bytes:
    try:
        return msgspec.json.encode(body)
    except (msgspec.MsgspecError, OverflowError, ValueError) as error:
        raise InvalidInput(f"body: it cannot be kept as JSON: {error}", problems=[f"body: {error}"]) from error
