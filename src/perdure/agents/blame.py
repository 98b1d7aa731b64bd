"""Which failed call ended an attempt: found by the identity of its error.

In the next attempt that call is made again, while errors that the agent caught are raised again. So the
object that was raised into the agent is remembered, and looked for in what comes out of it: the error
itself, what it was raised from or in the course of, and the members of exception groups.

An error that went out to a framework's client as an HTTP answer comes back as an exception of that client.
It is known again by the number that the answer bore, wherever the client keeps it: in its text, its body or its headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from perdure.errors.report import chain

__all__ = ["Blame"]

_MOST_OUT = 1000
"""An error that ends an attempt is among the last that went out."""
_ID = re.compile(r"req_[0-9a-f]{24}")


class Blame:
    """Remembers with which step each error came to the agent."""

    def __init__(self) -> None:
        self._raised: list[tuple[BaseException, list[int]]] = []
        self._went_out: dict[str, BaseException] = {}

    def remember(self, error: BaseException, number: int) -> None:
        """Note an error.

        Args:
            error (BaseException): The very object that is raised.
            number (int): The step that was recorded as failed with it.
        """
        self._raised.append((error, [number]))

    def join(self, first: BaseException, other: BaseException) -> None:
        """Note that an error was left aside for another one, which from now on stands for both.

        Args:
            first (BaseException): The one that is raised.
            other (BaseException): The one that is not.
        """
        self._raised.append((first, self.steps(other)))

    def went_out(self, id: str, error: BaseException) -> None:
        """Note that an error was told to a client outside.

        Args:
            id (str): The number of the answer, `req_…`.
            error (BaseException): Ours.
        """
        self._went_out[id] = error
        if len(self._went_out) > _MOST_OUT:
            del self._went_out[next(iter(self._went_out))]

    def own(self, error: BaseException) -> BaseException:
        """Find what an exception was before it went out and came back.

        Args:
            error (BaseException): What came out of the agent.

        Returns:
            BaseException: Ours, of a group with its members exchanged; the same if it never went out.
        """
        if not self._went_out:
            return error
        if isinstance(error, BaseExceptionGroup):
            own = [self.own(one) for one in error.exceptions]
            return error if all(map(_same, own, error.exceptions)) else error.derive(own)
        return next((self._went_out[number] for number in _ids(error) if number in self._went_out), error)

    def steps(self, error: BaseException) -> list[int]:
        """Find the failed steps to which an error goes back.

        Args:
            error (BaseException): What came out of the agent.

        Returns:
            list[int]: Their numbers: of a group those of every member, else the nearest one's.
        """
        if isinstance(error, BaseExceptionGroup):
            return _each(number for one in error.exceptions for number in self.steps(one))
        for here in map(self.own, chain(error)):
            if here is not error and isinstance(here, BaseExceptionGroup):
                return self.steps(here)
            if numbers := _each(number for one, them in self._raised if one is here for number in them):
                return numbers
        return []


def _each(numbers: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def _same(one: object, other: object) -> bool:
    return one is other


def _ids(error: BaseException) -> Iterator[str]:
    for what in (
        error,
        getattr(error, "body", None),
        getattr(error, "headers", None),
        getattr(getattr(error, "response", None), "headers", None),
    ):
        with suppress(Exception):  # a foreign error whose text is broken says nothing
            yield from _ID.findall(str(what))
