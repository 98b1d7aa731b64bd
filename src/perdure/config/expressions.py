"""Regular expressions that people write into settings, and that look at what strangers send.

Python's own can be led to take years over a short text. These are run by the engine that pydantic carries, in
a time that grows with the text alone; what such an engine cannot do - references back, looking around - is
refused when the settings are read.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, StringConstraints, TypeAdapter

__all__ = ["LONGEST", "SafeExpression"]

LONGEST = 500
"""Characters of an expression."""
_ENGINE = ConfigDict(regex_engine="rust-regex")


class SafeExpression:
    """Looks for something in a text, in upper or lower case, in time that grows with the text alone.

    Args:
        pattern (str): The expression.
        whole (bool): Whether it must fit the whole text.

    Raises:
        ValueError: It is none, is too long, or asks for what cannot be done safely.
    """

    def __init__(self, pattern: str, *, whole: bool = False) -> None:
        if not pattern or len(pattern) > LONGEST:
            raise ValueError(f"an expression has 1 to {LONGEST} characters")
        self.pattern = pattern
        written = f"(?i)^(?:{pattern})$" if whole else f"(?i){pattern}"
        try:
            self._looks = TypeAdapter(Annotated[str, StringConstraints(pattern=written)], config=_ENGINE).validator
        except Exception as error:  # the class that pydantic raises is not one of its public ones
            reason = " ".join(str(error).split()).rpartition("rror: ")[2]
            raise ValueError(f"{pattern!r} cannot be used: {reason}") from None

    def search(self, text: str, /) -> bool:
        """Look.

        Args:
            text (str): Where.

        Returns:
            bool: True if it is there.
        """
        return self._looks.isinstance_python(text)

    def __repr__(self) -> str:
        """Say which expression this is.

        Returns:
            str: As it was written.
        """
        return f"SafeExpression({self.pattern!r})"
