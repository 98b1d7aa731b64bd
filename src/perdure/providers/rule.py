"""One line of the tables that judge providers' errors."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, Protocol

from perdure.errors.base import Billed, ProviderError, Scope
from perdure.wire.errors import ErrorSaid

__all__ = ["Expression", "Rule", "Table"]


class Expression(Protocol):
    """What looks for something in a text: Python's expressions, or those of the settings."""

    def search(self, text: str, /) -> object:
        """Look.

        Args:
            text (str): Where.

        Returns:
            object: True, or something that is, if it is there.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """If an answer looks like this, it is that error."""

    id: str
    error: type[ProviderError]
    dialects: tuple[str, ...] = ()
    only: bool = False
    """At others the same words mean something else."""
    status: tuple[int, ...] = ()
    sure: bool = False
    """The status has to be known; an error inside a stream often has none."""
    code: str | Expression | None = None
    """The whole of the error's `code` or `type`, in upper or lower case."""
    message: str | Expression | None = None
    """Somewhere in its text."""
    bare: bool = False
    """Only where the body is no error of a known shape: a page, nothing, garbage."""
    scope: Scope | None = None
    billed: Billed | None = None
    retryable: bool | None = None
    wait_s: float | None = None
    """When to ask again, if the provider does not say."""
    until: Literal["month"] | None = None
    """Ask again when this begins anew, if the provider does not say."""
    slowly: bool = False
    """The limit is on growth: come back slowly."""
    hint: str | None = None
    _code: Expression | None = field(init=False, repr=False, compare=False)
    _message: Expression | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        code, message = self.code, self.message
        object.__setattr__(self, "_code", re.compile(rf"\A(?:{code})\Z", re.IGNORECASE) if isinstance(code, str) else code)
        object.__setattr__(self, "_message", re.compile(message, re.IGNORECASE) if isinstance(message, str) else message)

    def fits(self, said: ErrorSaid, status: int | None) -> bool:
        """Say whether this rule describes an answer.

        Args:
            said (ErrorSaid): What its body says.
            status (int | None): HTTP status, or the one inside the body; None if there is none.

        Returns:
            bool: True if every condition of the rule holds.
        """
        return not self.misses(said, status)

    def misses(self, said: ErrorSaid, status: int | None) -> tuple[str, ...]:
        """Say which of its conditions do not hold.

        Args:
            said (ErrorSaid): What its body says.
            status (int | None): HTTP status, or the one inside the body; None if there is none.

        Returns:
            tuple[str, ...]: Of `status`, `code`, `message` and `bare`; none if it fits.
        """
        missed = []
        if self.status and (status not in self.status if status is not None else self.sure or not self._tells_more):
            missed.append("status")
        if self._code is not None and not any(self._code.search(code) for code in said.codes):
            missed.append("code")
        if self._message is not None and not self._message.search(said.message):
            missed.append("message")
        if self.bare and said.known_shape:
            missed.append("bare")
        return tuple(missed)

    @property
    def _tells_more(self) -> bool:
        """An error inside a stream has no status: then a code or a text has to do."""
        return self._code is not None or self._message is not None


@dataclass(frozen=True, slots=True)
class Table:
    """The rules of one provider, or of nobody in particular."""

    name: str
    version: int
    """Goes up when a rule changes what becomes of a message."""
    rules: tuple[Rule, ...]
