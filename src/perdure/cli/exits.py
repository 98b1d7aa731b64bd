"""Exit codes, and which error ends with which."""

from __future__ import annotations

from enum import IntEnum

from perdure.errors.base import ConfigError, Conflict, Forbidden, InputError, NotFound, ServerUnreachable, Unauthenticated

__all__ = ["Exit", "exit_of"]


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    AUTH = 5
    UNREACHABLE = 6
    INTERRUPTED = 130


_EXITS: tuple[tuple[type[BaseException], Exit], ...] = (
    (Unauthenticated, Exit.AUTH),
    (Forbidden, Exit.AUTH),
    (NotFound, Exit.NOT_FOUND),
    (Conflict, Exit.CONFLICT),
    (ServerUnreachable, Exit.UNREACHABLE),
    (InputError, Exit.USAGE),
    (ConfigError, Exit.USAGE),
    (KeyboardInterrupt, Exit.INTERRUPTED),
)


def exit_of(error: BaseException) -> Exit:
    """Choose the exit code for an error.

    Args:
        error (BaseException): What ended the command.

    Returns:
        Exit: `FAILURE` where nothing more is known.
    """
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.FAILURE)
