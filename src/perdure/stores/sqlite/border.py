"""The border to SQLite: its errors become ours here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from perdure.errors.base import InvalidInput, PerdureError, StoreBusy, StoreError, StoreFull, StoreUnsuitable

__all__ = ["FATAL", "border", "translate"]

FATAL = (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.NoMemError, apsw.ReadOnlyError, apsw.CantOpenError)
"""Errors of the file, not of one call: everything in the transaction fails with them."""


def translate(error: apsw.Error | UnicodeError) -> PerdureError:
    """Say in our words what SQLite says.

    Args:
        error (apsw.Error | UnicodeError): What it raised.

    Returns:
        PerdureError: The same as one of ours, to be raised `from` it.
    """
    if isinstance(error, UnicodeError):
        return InvalidInput(f"text that is no valid Unicode cannot be kept: {error}", hint="Lone surrogates are not allowed.")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StoreBusy("the database stayed locked too long", hint="Look for a frozen process that holds it, or raise `store.wait_s`.")
    if isinstance(error, apsw.FullError):
        return StoreFull("there is no room on the disk for the database", hint="Make room; what was accepted is safe.")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreUnsuitable(f"the database file is damaged or none: {error}", hint="Restore it from a backup.")
    if isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.PermissionsError):
        return StoreUnsuitable(f"the database cannot be written: {error}", hint="Look at the owner and mode of its file and folder.")
    return StoreError(f"SQLite failed: {error}", hint="The log of this machine's disk may say more.")


@contextmanager
def border() -> Iterator[None]:
    """Let no error of SQLite out as it is.

    Yields:
        None: While SQLite is used.

    Raises:
        PerdureError: In place of SQLite's own.
    """
    try:
        yield
    except (apsw.Error, UnicodeError) as error:
        raise translate(error) from error
