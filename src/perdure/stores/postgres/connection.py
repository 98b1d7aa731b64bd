"""Connections to the database, with what every one of ours needs set on it."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, TypeAlias

import asyncpg
import msgspec

from perdure.stores.postgres.flags import Flags
from perdure.stores.postgres.text import from_kept, to_kept

__all__ = ["Address", "Connection", "connect", "discard", "farewell"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_CONNECT_S = 10.0
_ANSWER_S = 60.0
"""No statement of ours takes so long; a server that says nothing for so long is gone."""
_KEPT_STATEMENTS = 512
_PLANS = {
    # Plans are made once, and without knowing the values: small tables' statistics would lead them to walk the
    # backlog once it has grown. Every statement of ours finds its rows by an index, so they are told to.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
_LIMITS = {
    # A process that stands still, or was cut off, must not hold rows that others need.
    "idle_in_transaction_session_timeout": "15s",
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


class Address(msgspec.Struct, frozen=True):
    """Where the database is, and how to speak with it."""

    url: str
    schema: str
    flags: Flags
    wait_s: float

    @property
    def application(self) -> str:
        """By this name our connections are told from others'.

        Returns:
            str: `perdure`, and whose.
        """
        return f"perdure {self.schema}"

    @property
    def settings(self) -> dict[str, str]:
        """What is set while we use the database.

        Returns:
            dict[str, str]: By name.
        """
        how = "none" if not self.flags.xids else "" if self.flags.activity else "snapshot"
        limit = f"{max(1, int(self.wait_s * 1000))}ms"
        return {**_PLANS, "search_path": f'"{self.schema}"', "lock_timeout": limit, "perdure.horizon": how}

    @property
    def preamble(self) -> str:
        """What begins a transaction where nothing may be kept on a connection.

        Returns:
            str: SQL; empty where connections keep what is set.
        """
        if self.flags.sessions:
            return ""
        return "".join(f"SELECT set_config('{name}', '{value}', true);" for name, value in self.settings.items())


async def connect(address: Address, *, role: str | None = None, answer_s: float = _ANSWER_S) -> Connection:
    """Open a connection.

    Args:
        address (Address): Where to.
        role (str | None): What it is for, shown in `pg_stat_activity`; None for one of a pool, which gets a name that no other has.
        answer_s (float): How long a statement may take.

    Returns:
        Connection: To be used by one task at a time.
    """
    given: dict[str, Any] = {"application_name": f"{address.application} {role or secrets.token_hex(4)}"}
    if address.flags.sessions:
        given |= {**_LIMITS, **address.settings}
    connection = await asyncpg.connect(
        address.url,
        timeout=min(_CONNECT_S, max(address.wait_s, 1.0)),
        command_timeout=answer_s,
        statement_cache_size=_KEPT_STATEMENTS if address.flags.sessions else 0,
        max_cached_statement_lifetime=0,
        server_settings=given,
    )
    try:
        await connection.set_type_codec("text", schema="pg_catalog", encoder=to_kept, decoder=from_kept, format="text")
    except BaseException:
        connection.terminate()
        raise
    return connection


def discard(connection: Connection) -> None:
    """Throw a connection away, whatever state it is in. The server takes back what was not committed.

    Args:
        connection (Connection): One that nobody uses.
    """
    if not connection.is_closed():
        connection.terminate()


async def farewell(connection: Connection, limit_s: float = 2.0) -> None:
    """Close a connection in good order, or at least for certain.

    Args:
        connection (Connection): One that nobody uses.
        limit_s (float): How long good order may take.
    """
    try:
        async with asyncio.timeout(limit_s):
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        discard(connection)
