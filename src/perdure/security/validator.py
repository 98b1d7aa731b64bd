"""Input validation: does it have the shape its schema asks for, and can it be kept and shown?

Schemas are compiled once and remembered. Nothing is ever fetched for a schema (`$ref` to an address is
an error), since agents bring their own. What went wrong is kept per asyncio task and thread, so one
`Validator` serves all callers at once.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from contextvars import ContextVar
from typing import Any

import jsonschema_rs
import msgspec

from perdure.errors.base import InvalidInput

_UNKEEPABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""NUL and other control characters, and halves of characters; tab, line feed and carriage return may stay."""

__all__ = ["Validator"]


class Validator:
    """Checks data against JSON Schemas.

    Args:
        remembered (int): How many compiled schemas to keep.
        most (int): How many problems to name at most.
    """

    def __init__(self, *, remembered: int = 256, most: int = 20) -> None:
        self._compiled: OrderedDict[bytes, jsonschema_rs.Validator] = OrderedDict()
        self._remembered = remembered
        self._most = most
        self._errors: ContextVar[tuple[str, ...]] = ContextVar(f"validation_errors_{id(self)}", default=())

    def validate_input(self, data: Any, schema: dict[str, Any]) -> bool:
        """Check data; what is wrong with it is told by `get_validation_errors`.

        Args:
            data (Any): Plain data: what JSON can say.
            schema (dict[str, Any]): A JSON Schema, draft 2020-12 unless it says otherwise.

        Returns:
            bool: True if it has the schema's shape.

        Raises:
            InvalidInput: The schema itself is none.
        """
        self._errors.set(tuple(self.check(data, schema, at="")))
        return not self._errors.get()

    def sanitize_input(self, data: Any) -> Any:
        """Take out what can be neither kept nor shown: NUL, control characters, halves of characters.

        Args:
            data (Any): Plain data.

        Returns:
            Any: A copy; texts in it, keys included, are cleaned, all else is the same.
        """
        if isinstance(data, str):
            return _UNKEEPABLE.sub("", data)
        if isinstance(data, dict):
            return {self.sanitize_input(key): self.sanitize_input(value) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [self.sanitize_input(item) for item in data]
        return data

    def get_validation_errors(self) -> list[str]:
        """Say what the last `validate_input` of this task found.

        Returns:
            list[str]: One line each, with the place; empty if all was well.
        """
        return list(self._errors.get())

    def check(self, data: Any, schema: dict[str, Any], *, at: str = "body") -> list[str]:
        """Check data and say what is wrong with it in one go.

        Args:
            data (Any): Plain data: what JSON can say.
            schema (dict[str, Any]): A JSON Schema.
            at (str): What the data is called in the lines.

        Returns:
            list[str]: One line for each thing that is wrong, with its place; empty if all is well.

        Raises:
            InvalidInput: The schema itself is none.
        """
        compiled = self._compile(schema)
        problems = []
        for error in compiled.iter_errors(data):
            problems.append(f"{_place(at, error.instance_path)}: {_shortened(error.message)}")
            if len(problems) == self._most:
                break
        return problems

    def _compile(self, schema: dict[str, Any]) -> jsonschema_rs.Validator:
        name = hashlib.blake2b(msgspec.json.encode(schema, order="deterministic"), digest_size=16).digest()
        known = self._compiled.get(name)
        if known is not None:
            self._compiled.move_to_end(name)
            return known
        try:
            compiled = jsonschema_rs.validator_for(schema, offline=True)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise InvalidInput(f"this is no usable JSON Schema: {_shortened(str(error))}") from error
        self._compiled[name] = compiled
        if len(self._compiled) > self._remembered:
            self._compiled.popitem(last=False)
        return compiled


def _place(at: str, path: list[str | int]) -> str:
    written = at
    for part in path:
        written += f"[{part}]" if isinstance(part, int) else f".{part}" if written else part
    return written or "the whole"


def _shortened(text: str, limit: int = 300) -> str:
    line = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
