"""What a run is given, and what it gives back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Protocol, TypeAlias

import msgspec

from perdure.agents.endpoint import Endpoint
from perdure.agents.journal import Journal
from perdure.clock import Clock, Moment
from perdure.errors.base import ErrorFacts
from perdure.memory.manager import Memory
from perdure.messages.message import Wait
from perdure.messages.registry import WorkerRegistry
from perdure.messages.store import MessageStore
from perdure.providers.asks import Ask
from perdure.providers.deployments import Deployments
from perdure.providers.headroom import Headroom
from perdure.resources.usage import Usage

__all__ = ["Ending", "Failed", "Finished", "Lanes", "ModelTable", "Parked", "Passage", "Pricing", "RunParts"]


class ModelTable(Protocol):
    """Knows which providers have which model."""

    def deployments(self, name: str | None) -> Deployments:
        """Look a model up.

        Args:
            name (str | None): `provider/model`, a provider, or an alias; None for the default.

        Returns:
            Deployments: Where its calls can go.

        Raises:
            UnknownModel: Nothing has that name.
        """
        ...

    def several(self) -> Mapping[str, Sequence[str]]:
        """Tell which models have more than one deployment.

        Returns:
            Mapping[str, Sequence[str]]: Their lane to those of the deployments.
        """
        ...


class Passage(Protocol):
    """The way of one call through its lane. Whoever was let in says what came of it, at least that it is over."""

    @property
    def starts_at(self) -> Moment | None:
        """Not before this moment; None for at once. Whoever does not want to wait so long leaves."""
        ...

    @property
    def overtaken(self) -> bool:
        """Whether the provider has refused others since, for longer than until now. Whoever has waited for his start leaves then."""
        ...

    def sent(self) -> None:
        """Tell that the call is on its way to the provider from now on. One that was never sent has used nothing."""
        ...

    def answered(self, usage: Usage | None = None, usd: float | None = None, headroom: Headroom | None = None) -> None:
        """Tell that the provider answered.

        Args:
            usage (Usage | None): What the call used; None, or a count that is None, if nobody knows.
            usd (float | None): What it has cost; None if nobody knows.
            headroom (Headroom | None): What the provider said is left.
        """
        ...

    async def met(self, error: ErrorFacts) -> None:
        """Tell what the call met instead, so that others of the lane do not start if it stands against them as well.

        Args:
            error (ErrorFacts): What the provider said, or that it said nothing.
        """
        ...

    def left(self) -> None:
        """Tell that the call is over. What was told before counts; if nothing was, it says nothing of the lane."""
        ...


class Lanes(Protocol):
    """Knows which lanes are closed now, and lends what the others allow."""

    async def enter(self, lane: str, ask: Ask | None = None) -> Passage | ErrorFacts:
        """Ask before a call.

        Args:
            lane (str): `provider/model`.
            ask (Ask | None): What it will use, and how long it would wait for its start; None for one small request.

        Returns:
            Passage | ErrorFacts: The way through, or what stands against it, with the moment.
        """
        ...


class Pricing(Protocol):
    """Knows what calls cost."""

    def cost_of(self, usage: Usage, provider: str, model: str) -> float | None:
        """Say what a call cost.

        Args:
            usage (Usage): What it used.
            provider (str): Its name here.
            model (str): As the provider spells it.

        Returns:
            float | None: In US dollars; None is unknown.
        """
        ...

    def at_most(self, body: Mapping[str, Any], provider: str, model: str) -> float | None:
        """Reckon before a call what it may cost.

        Args:
            body (Mapping[str, Any]): A chat request.
            provider (str): The provider's name here.
            model (str): As the provider spells it.

        Returns:
            float | None: In US dollars; None where no price is known.
        """
        ...


def _always() -> bool:
    return True


class RunParts(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run needs of the world."""

    journal: Journal
    memory: Memory
    models: ModelTable
    clock: Clock
    threads: Executor
    """Where sync agents run."""
    park_after_s: float = 5.0
    """Longer waits hold no worker."""
    effects_allowed: Callable[[], bool] = _always
    """False while the worker's own last beat is too old to begin anything outside the store."""
    lanes: Lanes | None = None
    prices: Pricing | None = None
    """None leaves costs unsaid, which is not the same as unknown."""
    registry: WorkerRegistry | None = None
    """Knows the agents to whom a run may send."""
    messages: MessageStore | None = None
    """Where a join reads what became of its group."""
    endpoint: Endpoint | None = None
    """Where frameworks that know only OpenAI's wire ask."""
    tool_threads: Executor | None = None
    """Where sync tools of async agents run; None is the loop's own pool."""
    grace_s: float = 1.0
    """What an agent gets to end after it was told to stop."""
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
    """Waits in the slot; a test moves its clock instead."""


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The agent returned."""

    result: bytes
    """JSON."""
    usage: Usage


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt ended with an error; what becomes of the message is decided elsewhere."""

    error: ErrorFacts
    step: int | None
    """The recorded step whose failure it was; it is to be made again."""
    usage: Usage
    hung: bool = False
    """A thread goes on although it was told to stop: the slot is free, the thread is lost."""


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """The run waits without a worker."""

    wait: Wait
    hung: bool = False


Ending: TypeAlias = Finished | Failed | Parked
