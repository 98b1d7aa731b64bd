"""Kept responses, in the store."""

from __future__ import annotations

from perdure.errors.base import NotFound
from perdure.messages.message import MessageId
from perdure.messages.responses import KeptResponse, ResponseStore
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["SqlResponses"]

_ADD, _GET, _DROP = (statement(f"response_{verb}") for verb in ("add", "get", "drop"))


class SqlResponses(ResponseStore):
    """Keeps responses by their id.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def keep(self, response: KeptResponse) -> None:
        """Keep a response; one that is there already stays as it is."""
        await self._engine.write(_keep, response, size_bytes=len(response.said) + len(response.asked))

    async def get(self, id: str, *, tenant: str | None) -> KeptResponse:
        """Give a response."""
        found = await self._engine.read(_get, id)
        if found is None or tenant not in (None, found.tenant):
            raise _nothing(id)
        return found

    async def drop(self, id: str, *, tenant: str | None) -> None:
        """Forget a response."""
        if not await self._engine.write(_drop, id, tenant):
            raise _nothing(id)


def _keep(tx: Transaction, response: KeptResponse) -> None:
    tx.run(_ADD, (response.id, response.tenant, response.message, response.said, response.asked, tx.now))


def _get(run: Run, id: str) -> KeptResponse | None:
    row = run(_GET, (id,)).fetchone()
    if row is None:
        return None
    tenant, message, said, asked = row
    number = None if message is None else MessageId(message)
    return KeptResponse(id=id, tenant=tenant, message=number, said=bytes(said), asked=bytes(asked))


def _drop(tx: Transaction, id: str, tenant: str | None) -> bool:
    return bool(tx.run(_DROP, (id, tenant)).fetchall())


def _nothing(id: str) -> NotFound:
    return NotFound(f"there is no response {id[:80]!r}", hint="It was never stored, was deleted, or its time is up.")
