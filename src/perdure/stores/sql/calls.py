"""Calls with a key of the caller's own, in the store."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure.errors.base import DedupConflict
from perdure.messages.calls import Begun, CallStore, Found, KeptAnswer, KeyedCall, UnderWay
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction, sees_latest

__all__ = ["SqlCalls"]

_GET, _ADD, _BEGIN, _RENEW = (statement(f"call_{verb}") for verb in ("get", "add", "begin", "renew"))
_RECORD, _FREE, _FORGET = (statement(f"call_{verb}") for verb in ("record", "free", "drop"))
_headers = msgspec.json.Decoder(list[tuple[str, str]])


class SqlCalls(CallStore):
    """Keeps calls by their tenant and key.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def begin(self, call: KeyedCall, *, lasts_s: float) -> Found:
        """Begin a call, unless it is made or answered already."""
        return await self._engine.write(_begin, call, lasts_s)

    async def renew(self, calls: Sequence[tuple[KeyedCall, Begun]], *, lasts_s: float) -> int:
        """Say that calls are still being made."""
        return await self._engine.write(_renew, calls, lasts_s)

    async def record(self, call: KeyedCall, begun: Begun, answer: KeptAnswer) -> KeptAnswer:
        """Keep an answer."""
        return await self._engine.write(_record, call, begun, answer, size_bytes=len(answer.body))

    async def give_up(self, call: KeyedCall, begun: Begun, *, paid: bool) -> None:
        """Say that a call got no answer worth keeping."""
        await self._engine.write(_give_up, call, begun, paid)


@sees_latest
def _begin(tx: Transaction, call: KeyedCall, lasts_s: float) -> Found:
    whose = (call.tenant, call.key)
    row = tx.run(_GET, whose).fetchone()
    if row is None:
        tx.run(_ADD, (*whose, call.fingerprint, tx.now))
        row = tx.run(_GET, whose).fetchone()
    fingerprint, token, until, unsure, *answer = row
    if bytes(fingerprint) != call.fingerprint:
        raise DedupConflict(
            f"the key {call.key[:60]!r} was used for another call", hint="Use a new key for each call, and the same for its repeats alone."
        )
    if answer[0] is not None:
        return _kept(*answer)
    if until > tx.now:
        return UnderWay(until)
    tx.run(_BEGIN, (*whose, token + 1, tx.now + lasts_s, tx.now))
    return Begun(token + 1, again=bool(unsure))


def _renew(tx: Transaction, calls: Sequence[tuple[KeyedCall, Begun]], lasts_s: float) -> int:
    until = tx.now + lasts_s
    return sum(len(tx.run(_RENEW, (call.tenant, call.key, begun.token, until)).fetchall()) for call, begun in calls)


@sees_latest
def _record(tx: Transaction, call: KeyedCall, begun: Begun, answer: KeptAnswer) -> KeptAnswer:
    row = tx.run(_GET, (call.tenant, call.key)).fetchone()
    if row is None or bytes(row[0]) != call.fingerprint or row[1] < begun.token:
        return answer  # it was forgotten meanwhile
    if row[4] is not None:
        return _kept(*row[4:])
    headers = msgspec.json.encode(answer.headers).decode()
    tx.run(_RECORD, (call.tenant, call.key, answer.status, answer.media_type, headers, answer.body, tx.now))
    return answer


@sees_latest
def _give_up(tx: Transaction, call: KeyedCall, begun: Begun, paid: bool) -> None:
    tx.run(_FREE if paid or begun.again else _FORGET, (call.tenant, call.key, begun.token))


def _kept(status: int, media_type: str, headers: str, body: bytes) -> KeptAnswer:
    return KeptAnswer(status=status, media_type=media_type, headers=_headers.decode(headers), body=bytes(body))
