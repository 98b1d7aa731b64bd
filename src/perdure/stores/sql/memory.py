"""What agents keep between runs, in the store."""

from __future__ import annotations

from perdure.memory.manager import Memory
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["SqlMemory", "change"]

_READ, _WRITE, _DROP, _CLEAR, _STATS = (statement(f"memory_{verb}") for verb in ("read", "write", "drop", "clear", "stats"))


class SqlMemory(Memory):
    """The store's memory, by tenant and space.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def read(self, tenant: str, space: str, key: str) -> bytes | None:
        """Read a value."""
        return await self._engine.read(_read, tenant, space, key)

    async def write(self, tenant: str, space: str, key: str, value: bytes) -> None:
        """Write a value from outside any run."""
        await self._engine.write(change, tenant, space, key, value, size_bytes=len(value))

    async def clear(self, tenant: str, space: str, key: str | None = None) -> None:
        """Forget one value, or a whole space."""
        await self._engine.write(change, tenant, space, key, None)

    async def stats(self, tenant: str, space: str) -> dict[str, int]:
        """Say how much a space holds."""
        return await self._engine.read(_stats, tenant, space)


def change(tx: Transaction, tenant: str, space: str, key: str | None, value: bytes | None) -> None:
    """Change memory together with whatever else is being committed.

    Args:
        tx (Transaction): What is being committed.
        tenant (str): Whose.
        space (str): Which space.
        key (str | None): Which value; None for all of the space.
        value (bytes | None): What it is from now on; None removes it.
    """
    if key is None:
        tx.run(_CLEAR, (tenant, space))
    elif value is None:
        tx.run(_DROP, (tenant, space, key))
    else:
        tx.run(_WRITE, (tenant, space, key, value))


def _read(run: Run, tenant: str, space: str, key: str) -> bytes | None:
    value: bytes | None = run(_READ, (tenant, space, key)).get
    return value


def _stats(run: Run, tenant: str, space: str) -> dict[str, int]:
    entries, size_bytes = run(_STATS, (tenant, space)).fetchone()
    return {"entries": entries, "size_bytes": size_bytes}
