"""How messages are called off and given back, in memory."""

from __future__ import annotations

from perdure.messages.message import ENDS, Move, State
from perdure.resources.usage import Usage
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.rows import Row

__all__ = ["call_off", "cancel", "release"]


def cancel(contents: Contents, row: Row, usage: Usage | None = None) -> None:
    """Cancel a message.

    Args:
        contents (Contents): What the store keeps.
        row (Row): The message, which has not ended.
        usage (Usage | None): What it used; None for the sum over its steps.
    """
    contents.move(row, Move.CANCEL, usage=usage)
    contents.total(row, "cancelled")


def release(contents: Contents, row: Row) -> None:
    """Let a message lie ready again that was held; one that was called off ends.

    Args:
        contents (Contents): What the store keeps.
        row (Row): The message.
    """
    if row.called_off:
        cancel(contents, row)
    else:
        contents.move(row, Move.RELEASE)


def call_off(contents: Contents, row: Row, *, children: bool) -> None:
    """Call a message off: at once, or by a mark if it runs.

    Args:
        contents (Contents): What the store keeps.
        row (Row): The message.
        children (bool): Also what it has sent and has not ended.
    """
    if row.state is State.LEASED:
        if not row.called_off:
            row.called_off = True
            contents.note(row, "message.cancelling")
    elif row.state not in ENDS:
        cancel(contents, row)
    if children:
        for child in [one for one in contents.rows.values() if one.message.parent == row.message.id]:
            call_off(contents, child, children=True)
