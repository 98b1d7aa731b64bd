"""Leasing: the heads of some routes are merged, so what is taken costs the same whatever lies behind it.

Routes that may not be served are never touched, and no row is looked at that is not taken, but one per
route. Every sixteenth message taken is the one put earliest: nobody waits for ever behind what is urgent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from heapq import merge
from operator import itemgetter
from typing import Any, Final

import msgspec

from perdure.errors.base import WorkerFenced
from perdure.events import heard
from perdure.messages.message import Lease, Move, State, WorkerId
from perdure.messages.order import EVERY
from perdure.messages.routes import Route
from perdure.stores.sql.rows import message_from
from perdure.stores.sql.statements import statement
from perdure.stores.sql.together import FEW, text
from perdure.stores.sql.transaction import Transaction

__all__ = ["LEASED", "facts_of", "lease"]

_URGENT, _EARLIEST, _LEAVE = statement("ready_most_urgent"), statement("ready_earliest"), statement("ready_take")
_ALIVE, _MESSAGES, _LEASE = statement("worker_is_alive"), statement("messages_to_run"), statement("lease_add")
_PAUSED, _CLOSED, _OCCUPIED = statement("queue_paused"), statement("lane_closed"), statement("ready_routes")
_AT_ONCE = statement("messages_at_once")
_LEAVE_MANY, _LEASES, _HEADS = statement("ready_take_many"), statement("leases_add"), statement("ready_heads")
LEASED = "message.leased"
"""Told for each."""
_FEW_AT_ONCE = 2  # of so few routes, all heads that could be taken are read at once
_FEW = 8  # so many heads are read as fast as it is found out which there are
_PRIORITY: Final = 0
_TAG: Final = 1
_ID: Final = 2
_ROUTE: Final = 3
_GATES: Final = 4
_PUT = 18  # so many columns say how it was put, the last of them its body
_BODY: Final = _PUT - 1
_Head = tuple[int, int, int, int, str | None]
_decode_rows = msgspec.json.Decoder(list[list[Any]]).decode
_decode_heads = msgspec.json.Decoder(list[_Head]).decode


def lease(tx: Transaction, routes: Sequence[Route], limit: int, worker: WorkerId) -> list[Lease]:
    """Take the most urgent ready messages of some routes.

    Args:
        tx (Transaction): What is being committed.
        routes (Sequence[Route]): What the worker can serve.
        limit (int): At most so many.
        worker (WorkerId): Who takes them.

    Returns:
        list[Lease]: What it has now.

    Raises:
        WorkerFenced: The worker is not alive.
    """
    if tx.run(_ALIVE, (worker,)).get is None:
        raise WorkerFenced(f"worker {worker} is not alive", hint="It must stop; whatever it still writes is refused.")
    heads = _choose(tx, _occupied(tx, [route.id for route in _open(tx, routes)]), limit)
    tx.tags.left()
    _leave(tx, heads)
    found = _found(tx, [head[_ID] for head in heads])
    rows = [(found[head[_ID]], tx.number(), head[_GATES]) for head in heads]
    _hold(tx, rows, worker)
    tx.move_all([(row[0], tx.names.route_by_id(row[1])) for row, _, _ in rows], State.READY, Move.LEASE)
    leases = [_lease(tx, row, token, worker) for row, token, _ in rows]
    if heard(LEASED):
        tx.events.extend((LEASED, facts_of(one)) for one in leases)
    return leases


def _found(tx: Transaction, ids: list[int]) -> dict[int, Sequence[Any]]:
    """The messages' rows by their ids."""
    if not tx.takes_rows_as_text or len(ids) < FEW:
        return {row[0]: row for row in tx.run(_MESSAGES, (text(ids),))} if ids else {}
    rows: list[list[Any]] = _decode_rows(tx.run(_AT_ONCE, (text(ids),)).get)
    for row in rows:
        row[_BODY] = row[_BODY].encode()
    return {row[0]: row for row in rows}


def _leave(tx: Transaction, heads: Sequence[_Head]) -> None:
    if not tx.takes_rows_as_text or len(heads) < FEW:
        tx.run_many(_LEAVE, [(head[_ROUTE], *head[:_ROUTE]) for head in heads])
        return
    of_route: dict[int, list[int]] = {}
    for head in heads:
        of_route.setdefault(head[_ROUTE], []).append(head[_ID])
    for route, ids in of_route.items():
        tx.run(_LEAVE_MANY, (route, text(ids)))


def _hold(tx: Transaction, rows: Sequence[tuple[Sequence[Any], int, str | None]], worker: WorkerId) -> None:
    if tx.takes_rows_as_text and len(rows) >= FEW:
        held = [(row[0], token, row[1], row[2], row[_PUT] + 1, row[_PUT + 1], gates) for row, token, gates in rows]
        tx.run(_LEASES, (text(held), worker, tx.now))
    else:
        tx.run_many(_LEASE, [_held(tx, row, token, worker, gates) for row, token, gates in rows])


def _held(tx: Transaction, row: Sequence[Any], token: int, worker: WorkerId, gates: str | None) -> tuple[Any, ...]:
    used, crashes, started_at = row[_PUT : _PUT + 3]
    return row[0], token, worker, row[1], row[2], used + 1, crashes, tx.now, started_at or tx.now, gates


def _open(tx: Transaction, routes: Sequence[Route]) -> list[Route]:
    """Leave out what has been paused or closed since the worker looked."""
    if tx.is_all_paused():
        return []
    paused = {name for (name,) in tx.run(_PAUSED)}
    closed = {name for (name,) in tx.run(_CLOSED, (tx.now,))}
    return [route for route in routes if route.queue not in paused and route.lane not in closed]


def _occupied(tx: Transaction, routes: list[int]) -> list[int]:
    """Leave out empty routes where there are many: every queue, version and lane ever named left one behind."""
    if len(routes) <= _FEW:
        return routes
    occupied = {route for (route,) in tx.run(_OCCUPIED)}
    return [route for route in routes if route in occupied]


def _choose(tx: Transaction, routes: list[int], limit: int) -> list[_Head]:
    chosen: dict[int, _Head] = {}
    furthest: dict[int, int] = {}
    with ExitStack() as cursors:
        urgent = _merged(tx, cursors, _URGENT, routes, limit, key=itemgetter(_PRIORITY, _TAG, _ID))
        earliest: Iterator[_Head] | None = None
        while len(chosen) < limit:
            stream = urgent
            if tx.turn() % EVERY == 0:
                earliest = earliest or _merged(tx, cursors, _EARLIEST, routes, limit, key=itemgetter(_ID))
                stream = earliest
            head = next((head for head in stream if head[_ID] not in chosen), None)
            if head is None:
                break
            chosen[head[_ID]] = head
            tx.took()
            if stream is urgent:
                furthest[head[_PRIORITY]] = head[_TAG]  # tags only grow within a priority
    for priority, tag in furthest.items():
        tx.tags.leased(priority, tag)
    return list(chosen.values())


def _merged(tx: Transaction, cursors: ExitStack, sql: str, routes: list[int], limit: int, *, key: Any) -> Iterator[_Head]:
    if sql is _URGENT and limit >= FEW and len(routes) <= _FEW_AT_ONCE and tx.takes_rows_as_text:
        streams: list[Any] = [iter(_decode_heads(tx.run(_HEADS, (route, limit)).get)) for route in routes]
    else:
        streams = [cursors.enter_context(closing(tx.run(sql, (route,)))) for route in routes]
    return iter(streams[0]) if len(streams) == 1 else merge(*streams, key=key)


def _lease(tx: Transaction, row: Sequence[Any], token: int, worker: WorkerId) -> Lease:
    used, crashes, _, waiting_since, begun = row[_PUT:]
    route = tx.names.route_by_id(row[1])
    return Lease(
        message=message_from(row[0], route[1:5], tx.names.tenant_name(row[2]), row[3:_PUT]),
        token=token,
        worker=worker,
        attempt=used + 1,
        crashes=crashes,
        begun=bool(begun),
        leased_at=tx.now,
        waiting_since=waiting_since,
    )


def facts_of(lease: Lease) -> dict[str, Any]:
    """Say what is told of a message that was leased.

    Args:
        lease (Lease): The right to it.

    Returns:
        dict[str, Any]: For `LEASED`.
    """
    message = lease.message
    return {
        "message": message.id,
        "agent": message.agent,
        "queue": message.queue,
        "tenant": message.tenant,
        "attempt": lease.attempt,
        "code": None,
        "worker": lease.worker,
        "waited_s": lease.leased_at - message.created_at,
    }
