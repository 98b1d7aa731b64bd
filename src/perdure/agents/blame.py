"""Which failed call ended an attempt: found by the identity of its error.

In the next attempt that call is made again, while errors that the agent caught are raised again. So the
object that was raised into the agent is remembered, and looked for in what comes out of it: the error
itself, what it was raised from or in the course of, and the members of exception groups.
"""

from __future__ import annotations

from collections.abc import Iterable

from perdure.errors.report import chain

__all__ = ["Blame"]


class Blame:
    """Remembers with which step each error came to the agent."""

    def __init__(self) -> None:
        self._raised: list[tuple[BaseException, list[int]]] = []

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

    def steps(self, error: BaseException) -> list[int]:
        """Find the failed steps to which an error goes back.

        Args:
            error (BaseException): What came out of the agent.

        Returns:
            list[int]: Their numbers: of a group those of every member, else the nearest one's.
        """
        if isinstance(error, BaseExceptionGroup):
            return _each(number for one in error.exceptions for number in self.steps(one))
        for here in chain(error):
            if here is not error and isinstance(here, BaseExceptionGroup):
                return self.steps(here)
            if numbers := _each(number for one, them in self._raised if one is here for number in them):
                return numbers
        return []


def _each(numbers: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(numbers))
