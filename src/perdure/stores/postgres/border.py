"""The border to PostgreSQL: its errors become ours here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from perdure.errors.base import InvalidInput, PerdureError, StoreBusy, StoreError, StoreFull, StoreUnsuitable

__all__ = ["CONFLICT", "FOREIGN", "LOST", "border", "is_lost", "translate"]

FOREIGN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError, UnicodeError)
"""Whatever asyncpg raises."""
CONFLICT = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.UniqueViolationError,  # somebody else has just made the same route or key: next time it is found
)
"""Another transaction was quicker; made again, the call sees what that one did."""
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # it is no primary any more
    asyncpg.InternalClientError,
    OSError,  # which TimeoutError is, too
)
"""The connection, and with it the transaction, is gone or of no use."""
_GONE = ("connection is closed", "connection has been released", "the connection was closed", "underlying connection is closed")
_UNUSABLE = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
)
_MISUSED = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError, asyncpg.DataError, asyncpg.exceptions.DataError)

_WORDS: tuple[tuple[tuple[type[Exception], ...], type[PerdureError], str, str], ...] = (
    ((UnicodeError, *_MISUSED), InvalidInput, "this text or number cannot be kept: {}", "Lone surrogates are not allowed."),
    (
        (asyncpg.TooManyConnectionsError,),
        StoreBusy,
        "the database server accepts no more connections",
        "Lower `store.pool`, or raise its `max_connections`.",
    ),
    (
        (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError, *CONFLICT),
        StoreBusy,
        "the database stayed locked too long: {}",
        "Look for a transaction that was left open.",
    ),
    ((asyncpg.DiskFullError,), StoreFull, "there is no room on the disk of the database", "Make room; what was accepted is safe."),
    (_UNUSABLE, StoreUnsuitable, "the database does not let us in: {}", "Look at the user and the name in `store.url`."),
)


def is_lost(error: BaseException) -> bool:
    """Tell whether an error means that the connection is gone.

    Args:
        error (BaseException): What asyncpg raised.

    Returns:
        bool: Then a new connection may do better.
    """
    if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, _MISUSED):
        return any(said in str(error) for said in _GONE)
    return isinstance(error, LOST)


def translate(error: BaseException) -> PerdureError:
    """Say in our words what PostgreSQL says.

    Args:
        error (BaseException): What asyncpg raised.

    Returns:
        PerdureError: The same as one of ours, to be raised `from` it.
    """
    for kinds, ours, message, hint in _WORDS:
        if isinstance(error, kinds):
            return ours(message.format(error), hint=hint)
    if is_lost(error):
        return StoreError(f"the database is not to be reached: {error or type(error).__name__}", hint="Look whether the server runs.")
    return StoreError(f"PostgreSQL failed: {error}", hint="The log of its server may say more.")


@contextmanager
def border() -> Iterator[None]:
    """Let no error of asyncpg out as it is.

    Yields:
        None: While PostgreSQL is used.

    Raises:
        PerdureError: In place of asyncpg's own.
    """
    try:
        yield
    except FOREIGN as error:
        raise translate(error) from error
