"""Moving what users have put within their own transactions from the inbox to where messages lie.

A message keeps the id that its transaction was told. That it cannot be put any more, since somebody else
used its dedup key between the look and the commit, is not hidden: it becomes a dead letter.
"""

from __future__ import annotations

import msgspec

from perdure.errors.base import DedupConflict, InputError
from perdure.errors.report import facts_of
from perdure.messages.ids import write
from perdure.messages.message import MessageId, NewMessage
from perdure.stores.postgres.dialect import own
from perdure.stores.sql.endings import bury
from perdure.stores.sql.places import place_of, state_of
from perdure.stores.sql.put import put_as
from perdure.stores.sql.statements import Run
from perdure.stores.sql.transaction import Transaction

__all__ = ["BITE", "holds", "is_there", "move", "move_one"]

_THERE, _HELD, _ALONE, _BITE, _ONE = (own(f"inbox_{name}") for name in ("there", "holds", "alone", "bite", "one"))
BITE = 500
"""At most so many are moved in one transaction."""
_decode = msgspec.json.Decoder(NewMessage).decode


def is_there(run: Run) -> bool:
    """Tell whether anything is in the inbox.

    Args:
        run (Run): Of a reader.

    Returns:
        bool: True if something committed is.
    """
    return bool(run(_THERE).get)


def holds(run: Run, id: MessageId) -> bool:
    """Tell whether a message is in the inbox.

    Args:
        run (Run): Of a reader.
        id (MessageId): Which.

    Returns:
        bool: False also for one that was moved already.
    """
    return run(_HELD, (id,)).fetchone() is not None


def move(tx: Transaction) -> int:
    """Move a bite of what is there, the earliest first, unless somebody else is at it.

    Args:
        tx (Transaction): What is being committed.

    Returns:
        int: How many were moved; fewer than `BITE` where no more are there.
    """
    if not tx.run(_ALONE).get:
        return 0
    rows = sorted(tx.run(_BITE, (BITE,)).fetchall())
    for number, message in rows:
        _put(tx, number, _decode(message))
    return len(rows)


def move_one(tx: Transaction, id: MessageId) -> bool:
    """Move one message, because somebody asks for it.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Which.

    Returns:
        bool: False if it is not in the inbox.
    """
    row = tx.run(_ONE, (id,)).fetchone()
    if row is not None:
        _put(tx, id, _decode(row[1]))
    return row is not None


def _put(tx: Transaction, number: int, new: NewMessage) -> None:
    try:
        receipt = put_as(tx, new, number)
    except InputError as refused:
        _bury(tx, number, new, refused)
        return
    if receipt.duplicate:
        what = f"{write(receipt.id)} was put under the same key while this one's transaction was under way"
        _bury(tx, number, new, DedupConflict(what, hint="Look there for the result; nothing is lost."))


def _bury(tx: Transaction, number: int, new: NewMessage, why: InputError) -> None:
    put_as(tx, msgspec.structs.replace(new, dedup_key=None, session=None), number)
    place = place_of(tx, number)
    if place is not None:
        bury(tx, place, state_of(tx.run, number), facts_of(why))
