"""A conversation in pieces: what an LLM call says beyond what the call before it said.

Theory of operation: each call of a conversation sends all that was said so far and a little more. So its
request is taken apart into a *head* (everything but the messages) and the messages, and each message is
named by a rolling hash, of all that came before it and itself. Two requests that begin alike share the
names of what they share, and only what is new has to be kept; one whose history was edited branches off
where it differs. Put together again a request is, byte for byte, what it was.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

__all__ = ["NAME_BYTES", "Ref", "Talk", "chain", "head_of", "name_after", "name_of_head", "split", "text_of", "told"]

NAME_BYTES = 16
"""Within one run; an agent that makes two of its own messages collide fools only itself."""
_AT = struct.Struct(">I")
_COUNT = struct.Struct(">I")
_as_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_as_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Talk(NamedTuple):
    """A request taken apart."""

    head: bytes
    """Where the messages stand in it, then the request with an empty list of them."""
    messages: list[bytes]

    def whole(self) -> bytes:
        """Put it together again.

        Returns:
            bytes: The request.
        """
        [at] = _AT.unpack_from(self.head)
        text = text_of(self.head)
        return b"".join((text[:at], b",".join(self.messages), text[at:]))


class Ref(NamedTuple):
    """What stands for a request where its head and its messages are known by name."""

    head: bytes
    last: bytes
    """The name of its last message, and with it of all before."""
    upto: int
    """How many messages that are."""

    def written(self) -> bytes:
        """Write it down.

        Returns:
            bytes: Always as many.
        """
        return self.head + self.last + _COUNT.pack(self.upto)

    @classmethod
    def read(cls, written: bytes) -> Ref:
        """Read it.

        Args:
            written (bytes): From `written`.

        Returns:
            Ref: The same.
        """
        return cls(written[:NAME_BYTES], written[NAME_BYTES : 2 * NAME_BYTES], _COUNT.unpack_from(written, 2 * NAME_BYTES)[0])


def split(request: bytes) -> Talk | None:
    """Take a request apart.

    Args:
        request (bytes): JSON.

    Returns:
        Talk | None: None for what is no chat request, or was not written without spaces.
    """
    try:
        fields = _as_object(request)
        messages = [bytes(one) for one in _as_list(fields["messages"])]
    except (msgspec.DecodeError, KeyError):
        return None
    at = _place(fields)
    size = sum(map(len, messages)) + max(0, len(messages) - 1)
    talk = Talk(b"%b%b%b" % (_AT.pack(at), request[:at], request[at + size :]), messages)
    return talk if messages and talk.whole() == request else None


def head_of(request: bytes) -> bytes:
    """Make a head of a request that has no messages.

    Args:
        request (bytes): A JSON object written without spaces, its `messages` an empty list.

    Returns:
        bytes: As in a `Talk`.
    """
    return _AT.pack(_place(_as_object(request))) + request


def text_of(head: bytes) -> bytes:
    """Read a head.

    Args:
        head (bytes): Of a `Talk`.

    Returns:
        bytes: The request with an empty list of messages.
    """
    return head[_AT.size :]


def name_after(before: bytes, message: bytes) -> bytes:
    """Name a message.

    Args:
        before (bytes): The name of the one before it; empty for the first.
        message (bytes): As JSON.

    Returns:
        bytes: Its name.
    """
    digest = hashlib.sha256(before)
    digest.update(message)
    return digest.digest()[:NAME_BYTES]


def chain(messages: Iterable[bytes], before: bytes = b"") -> list[bytes]:
    """Name each message of a conversation.

    Args:
        messages (Iterable[bytes]): As JSON.
        before (bytes): The name of the last one before them.

    Returns:
        list[bytes]: Their names.
    """
    names: list[bytes] = []
    for message in messages:
        before = name_after(before, message)
        names.append(before)
    return names


def name_of_head(head: bytes) -> bytes:
    """Name a head.

    Args:
        head (bytes): Of a `Talk`.

    Returns:
        bytes: No message has the same name.
    """
    return hashlib.sha256(b"head:" + head).digest()[:NAME_BYTES]


def told(ref: Ref, said: Mapping[bytes, tuple[bytes, bytes]]) -> Sequence[bytes] | None:
    """Find the messages of a conversation, from its last back to its first.

    Args:
        ref (Ref): Which.
        said (Mapping[bytes, tuple[bytes, bytes]]): By name: the name before, and the message.

    Returns:
        Sequence[bytes] | None: In the order in which they were said; None if one is missing.
    """
    found: list[bytes] = []
    name = ref.last
    while len(found) < ref.upto:
        if name not in said:
            return None
        name, message = said[name]
        found.append(message)
    return None if name else found[::-1]


def _place(fields: Mapping[str, msgspec.Raw]) -> int:
    """Find the first byte inside the brackets of `messages`, in an object written without spaces."""
    at = 1
    for name, value in fields.items():
        at += len(msgspec.json.encode(name)) + 1
        if name == "messages":
            break
        at += len(value) + 1
    return at + 1
