"""What a message is told while it lives: signals. Kept until one of its steps takes them, oldest first."""

from __future__ import annotations

from perdure.errors.base import Conflict, DedupConflict
from perdure.messages.children import MOST_SIGNALS
from perdure.messages.ids import write
from perdure.messages.message import ENDS, MessageId, View, Wait
from perdure.stores.sql.kin import wake_for
from perdure.stores.sql.places import facts_of, find
from perdure.stores.sql.progress import progress_of
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sql.views import Viewer

__all__ = ["has_come", "signal", "take"]

_KNOWN, _ADD, _FIRST, _TAKE = (statement(n) for n in ("signal_of_key", "signal_add", "signal_first", "signal_take"))
_TOUCH, _AWAITED = statement("mail_touch"), statement("awaited_touch")


def signal(tx: Transaction, id: MessageId, name: str, data: bytes, *, tenant: str | None, key: str | None) -> View:
    """Keep a signal, and wake the message if it waits for one of that name.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Who is told.
        name (str): Which of the things it may wait for.
        data (bytes): JSON.
        tenant (str | None): Only if it is this tenant's.
        key (str | None): Makes a repeated signal one.

    Returns:
        View: As the message is then.

    Raises:
        Conflict: It has ended, or too many wait to be taken.
        DedupConflict: The key came with other data.
    """
    place, state = find(tx, id, tenant)
    known = None if key is None else tx.run(_KNOWN, (id, name, key)).fetchone()
    if known is not None and known[0] != data:
        raise DedupConflict(f"the key {key!r} came before with other data", hint="Use a key once per signal.")
    if known is None:
        if state in ENDS:
            raise Conflict(f"message {write(id)!r} is {state.value}, nobody will hear a signal")
        if tx.run(_TOUCH, (id, 1, 0)).get > MOST_SIGNALS:
            raise Conflict(f"{MOST_SIGNALS:,} signals of message {write(id)!r} wait to be taken", hint="Let its agent take them first.")
        tx.run(_ADD, (id, name, key, tx.now, data))
        tx.tell("message.signalled", **facts_of(tx, place, progress_of(tx.run, id).used), name=name)
        wake_for(tx, id, f"signal:{name}")
    return Viewer(tx.run, tx.now).view(id)


def take(tx: Transaction, id: MessageId, name: str, step: int) -> bytes | None:
    """Take the oldest signal of a name.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Whose.
        name (str): Which.
        step (int): Who takes it.

    Returns:
        bytes | None: Its data; None if there is none.
    """
    row = tx.run(_FIRST, (id, name)).fetchone()
    if row is None:
        return None
    tx.run(_TAKE, (step, row[0]))
    tx.run(_TOUCH, (id, 0, 1)).fetchall()
    return bytes(row[1])


def has_come(tx: Transaction, id: MessageId, wait: Wait) -> bool:
    """Tell whether anything a message is about to wait for is there, and see to it that what comes from now on wakes it.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Who waits.
        wait (Wait): For what.

    Returns:
        bool: True if waiting would be in vain.
    """
    signals = [event.removeprefix("signal:") for event in wait.events if event.startswith("signal:")]
    steps = [int(event.removeprefix("children:")) for event in wait.events if event.startswith("children:")]
    if signals:
        tx.run(_TOUCH, (id, 0, 0)).fetchall()
    there = [tx.run(_FIRST, (id, name)).fetchone() is not None for name in signals]
    there += [tx.run(_AWAITED, (0, id, step)).get == 0 for step in steps]
    return any(there)
