"""Many messages in one statement: the way of those that need nothing but to be done.

Theory of operation. A statement for each row costs more in getting to the database and back than in the database; and
each time it comes back, its thread has to wait for Python's own lock, which the agents' thread holds while it works. So
what is known of a hundred messages goes down as one JSON text, and is taken apart there. Who belongs to a parent, a
group or a session, counts under a limit, or has not said what was used, is left to `finish.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure.events import heard
from perdure.messages.message import Lease, Move, State
from perdure.messages.store import Ended
from perdure.stores.sql.progress import usage_text
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["FEW", "done_together", "text"]

_HELD, _DROP, _OUTCOMES = statement("leases_held"), statement("leases_drop"), statement("outcomes_add")
_DONE = "message.done"
FEW = 4
"""So few are as quick one by one."""
_encode = msgspec.json.Encoder().encode
_decode_held = msgspec.json.Decoder(list[tuple[int, int, int]]).decode


def done_together(tx: Transaction, ended: Sequence[Ended]) -> set[int]:
    """End well those that need no more than that.

    Args:
        tx (Transaction): What is being committed.
        ended (Sequence[Ended]): Which, and with what.

    Returns:
        set[int]: The places of those that are done; of the others nothing was written.
    """
    plain: dict[int, int] = {one.lease.message.id: place for place, one in enumerate(ended) if _is_plain(one)}
    if not tx.takes_rows_as_text or len(plain) < FEW:
        return set()
    tokens = [(number, ended[place].lease.token) for number, place in plain.items()]
    held = _decode_held(tx.run(_HELD, (text(tokens),)).get)
    rows = []
    for number, _, _ in held:
        one = ended[plain[number]]
        used = usage_text(one.usage)
        rows.append((number, one.code_version, used and used.decode(), one.result.decode()))
    tx.move_all([(number, tx.names.route_by_id(route)) for number, route, _ in held], State.LEASED, Move.FINISH)
    if heard(_DONE):
        tx.events.extend((_DONE, _facts(tx, ended[plain[number]], attempt)) for number, _, attempt in held)
    if held:
        tx.run(_OUTCOMES, (text(rows), tx.now))
        tx.run(_DROP, (text([row[0] for row in held]),))
    return {plain[row[0]] for row in held}


def text(rows: Sequence[object]) -> str:
    """Say rows as one parameter.

    Args:
        rows (Sequence[object]): Tuples of numbers and texts, or just numbers.

    Returns:
        str: JSON.
    """
    return _encode(rows).decode()


def _is_plain(one: Ended) -> bool:
    message = one.lease.message
    return message.parent is None and message.group is None and message.session is None and one.usage is not None


def _facts(tx: Transaction, one: Ended, attempt: int) -> dict[str, object]:
    lease: Lease = one.lease
    message = lease.message
    return {
        "message": message.id,
        "agent": message.agent,
        "queue": message.queue,
        "tenant": message.tenant,
        "attempt": attempt,
        "code": None,
        "took_s": tx.now - lease.leased_at,
    }
