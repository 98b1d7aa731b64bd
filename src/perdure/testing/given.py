"""What the tests of the kits begin with: messages, workers, leases, in as few words as possible."""

from __future__ import annotations

from typing import Any

from perdure.agents.journal import Intent, StepKey, StepKind
from perdure.clock import Moment
from perdure.errors.base import Category, ErrorFacts
from perdure.messages.message import Lease, MessageId, NewMessage, State, Wait, WorkerId
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.messages.routes import Route
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock

BROKE = ErrorFacts(code="agent-failed", category=Category.AGENT, message="it broke", retryable=True)
NO_CREDIT = ErrorFacts(code="provider-billing", category=Category.BILLING, message="no credit left", retryable=True)
UNKNOWN = ErrorFacts(code="outcome-unknown", category=Category.OUTCOME_UNKNOWN, message="nobody knows whether it happened")

__all__ = [
    "BROKE",
    "NO_CREDIT",
    "UNKNOWN",
    "alive",
    "asks",
    "card",
    "dies",
    "intent",
    "key",
    "leased",
    "message",
    "open_routes",
    "put",
    "runs",
    "soon",
    "state",
    "states",
    "take",
]


def message(**changes: Any) -> NewMessage:
    """Write a message for the agent `mail`.

    Args:
        **changes (Any): What is different about it.

    Returns:
        NewMessage: Ready to be put.
    """
    fields: dict[str, Any] = {"agent": "mail", "body": b'{"n":1}'}
    return NewMessage(**(fields | changes))


async def put(store: Store, **changes: Any) -> MessageId:
    """Put one message.

    Args:
        store (Store): Where.
        **changes (Any): What is different about it.

    Returns:
        MessageId: Its id.
    """
    [receipt] = await store.messages.put([message(**changes)])
    return receipt.id


def card(*agents: str, **changes: Any) -> WorkerCard:
    """Write the card of a worker that knows some agents, `mail` if none is named.

    Args:
        *agents (str): Their names, or `name@version`.
        **changes (Any): What is different about the worker.

    Returns:
        WorkerCard: For `register`.
    """
    named = [agent.partition("@") for agent in agents or ("mail",)]
    cards = [AgentCard(name=name, version=version or "v1") for name, _, version in named]
    fields: dict[str, Any] = {"host": "here", "pid": 1, "slots": 10, "agents": cards}
    return WorkerCard(**(fields | changes))


async def alive(store: Store, *agents: str, **changes: Any) -> WorkerId:
    """Let a worker begin to live.

    Args:
        store (Store): Where.
        *agents (str): What it knows, `mail` if nothing is named.
        **changes (Any): What is different about it.

    Returns:
        WorkerId: Who it is.
    """
    return await store.workers.register(card(*agents, **changes))


async def dies(store: Store, clock: FakeClock) -> None:
    """Let every worker fall silent until it is dead, and take back what they held.

    Args:
        store (Store): Where they live.
        clock (FakeClock): Its time.
    """
    clock.pass_by(seconds=11)
    await store.workers.reap()


async def open_routes(store: Store, *, quarantine: bool = False) -> list[Route]:
    """List the routes of an ordinary worker, or of one in quarantine, whatever is paused.

    Args:
        store (Store): Where.
        quarantine (bool): Which of the two.

    Returns:
        list[Route]: To lease from.
    """
    return [route for route in await store.messages.routes() if route.quarantine == quarantine]


async def take(store: Store, worker: WorkerId, limit: int = 1, *, quarantine: bool = False) -> list[Lease]:
    """Lease from all routes.

    Args:
        store (Store): Where.
        worker (WorkerId): Who takes.
        limit (int): How many at most.
        quarantine (bool): Whether from the quarantine routes instead.

    Returns:
        list[Lease]: What there was.
    """
    return await store.messages.lease(await open_routes(store, quarantine=quarantine), limit=limit, worker=worker)


async def runs(store: Store, **changes: Any) -> Lease:
    """Put a message and let a new worker take it.

    Args:
        store (Store): Where.
        **changes (Any): What is different about the message.

    Returns:
        Lease: The worker's right to it.
    """
    id = await put(store, **changes)
    return await leased(store, id)


async def leased(store: Store, id: MessageId) -> Lease:
    """Let a new worker take one certain message, which must be the next.

    Args:
        store (Store): Where.
        id (MessageId): Which.

    Returns:
        Lease: The worker's right to it.
    """
    agent = (await store.messages.get(id)).message.agent
    [lease] = await take(store, await alive(store, agent))
    assert lease.message.id == id
    return lease


async def asks(store: Store, lease: Lease, number: int = 1) -> None:
    """Begin a step that may not be repeated, lose sight of it, and wait for a person.

    Args:
        store (Store): Where.
        lease (Lease): The run.
        number (int): The step.
    """
    await store.journal.intend(lease, intent(number, kind=StepKind.TOOL))
    await store.messages.park(lease, Wait(why="outcome-unknown", step=number, error=UNKNOWN))


def key(name: str = "think", *, kind: StepKind = StepKind.LLM, scope: str = "", n: int = 0) -> StepKey:
    """Write the key of a step.

    Args:
        name (str): The step's own name.
        kind (StepKind): What it is a call of.
        scope (str): In which branch of the run.
        n (int): Which of the equal calls.

    Returns:
        StepKey: It.
    """
    return StepKey(scope=scope, kind=kind, name=name, fingerprint="00ff", n=n)


def intent(number: int = 1, *, kind: StepKind = StepKind.LLM, **changes: Any) -> Intent:
    """Write the intent of a step.

    Args:
        number (int): Its place in the journal.
        kind (StepKind): What it is a call of.
        **changes (Any): What is different about it.

    Returns:
        Intent: For `intend`.
    """
    fields: dict[str, Any] = {"number": number, "key": key(f"step-{number}", kind=kind), "request": b'["hello"]'}
    return Intent(**(fields | changes))


async def state(store: Store, id: MessageId) -> State:
    """Look where a message is.

    Args:
        store (Store): Where it is kept.
        id (MessageId): Which.

    Returns:
        State: Its place.
    """
    return (await store.messages.get(id)).state


async def states(store: Store, ids: list[MessageId]) -> list[State]:
    """Look where some messages are.

    Args:
        store (Store): Where they are kept.
        ids (list[MessageId]): Which.

    Returns:
        list[State]: Their places, in the same order.
    """
    return [await state(store, id) for id in ids]


def soon(clock: FakeClock, seconds: float = 60) -> Moment:
    """Name a moment to come.

    Args:
        clock (FakeClock): The store's time.
        seconds (float): How far off.

    Returns:
        Moment: It.
    """
    return clock.now() + seconds
