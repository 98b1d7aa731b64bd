"""One line of the table that judges providers' errors."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from perdure.errors.base import Billed, ProviderError, Scope

__all__ = ["Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """If an answer looks like this, it is that error."""

    id: str
    error: type[ProviderError]
    dialects: tuple[str, ...] = ()
    only: bool = False
    status: tuple[int, ...] = ()
    code: str | None = None
    message: str | None = None
    scope: Scope | None = None
    billed: Billed | None = None
    retryable: bool | None = None
    wait_s: float | None = None
    """When to ask again, if the provider does not say."""
    slowly: bool = False
    """The limit is on growth: come back slowly."""
    hint: str | None = None
    _code: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _message: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_code", self.code and re.compile(rf"(?:{self.code})\Z", re.IGNORECASE))
        object.__setattr__(self, "_message", self.message and re.compile(self.message, re.IGNORECASE))

    def fits(self, status: int | None, codes: tuple[str, ...], message: str) -> bool:
        """Say whether this rule describes an answer.

        Args:
            status (int | None): HTTP status, or the one inside the body; None if there is none.
            codes (tuple[str, ...]): The error's code and type, where given.
            message (str): Its text.

        Returns:
            bool: True if every condition of the rule holds.
        """
        if self.status and status is not None and status not in self.status:
            return False
        if self._code is not None and not any(self._code.match(code) for code in codes):
            return False
        if self._message is not None and not self._message.search(message):
            return False
        return status is not None or self.code is not None or self.message is not None
