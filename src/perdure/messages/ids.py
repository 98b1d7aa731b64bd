"""Message ids as people see them: `msg_` and thirteen characters that sort by time."""

from __future__ import annotations

from perdure.errors.base import NotFound
from perdure.messages.message import MessageId

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
_LENGTH = 13  # 63 bits
PREFIX = "msg_"

__all__ = ["PREFIX", "read", "write"]


def write(number: MessageId) -> str:
    """Write an id as text.

    Args:
        number (MessageId): 0 to 2^63 - 1.

    Returns:
        str: For example `msg_01k7s8x4zv000`; ids put later sort later.
    """
    letters = []
    rest = int(number)
    for _ in range(_LENGTH):
        rest, value = divmod(rest, 32)
        letters.append(_ALPHABET[value])
    return PREFIX + "".join(reversed(letters))


def read(text: str) -> MessageId:
    """Read an id from text.

    Args:
        text (str): As `write` makes it; upper case is taken too.

    Returns:
        MessageId: The number.

    Raises:
        NotFound: This is no message id, so there can be no such message.
    """
    number = 0
    letters = text[len(PREFIX) :].lower()
    if not text.startswith(PREFIX) or len(letters) != _LENGTH or not set(letters) <= _VALUE.keys():
        raise NotFound(f"{text[:60]!r} is no message id", hint=f"An id is {PREFIX!r} and 13 letters or digits.")
    for letter in letters:
        number = number * 32 + _VALUE[letter]
    if number >= 1 << 63:
        raise NotFound(f"{text!r} is no message id")
    return MessageId(number)
