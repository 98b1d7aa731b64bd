"""Structured output: a type or a JSON Schema that an answer has to fit."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from perdure.errors.base import InvalidInput, InvalidOutput
from perdure.tools.plain import load
from perdure.tools.typed import Typed

__all__ = ["RE_ASKS", "Output"]

RE_ASKS = 2
"""How often a model is asked again for an answer of the right shape."""

_FENCE = re.compile(r"^```[a-zA-Z]*\n(.*?)\n?```$", re.DOTALL)
_VALUE = "value"


class Output:
    """What shape an answer must have.

    Args:
        shape (Any): A type, or a JSON Schema as a dict.
    """

    def __init__(self, shape: Any) -> None:
        self._typed = None if isinstance(shape, dict) else Typed(shape, what="the answer")
        schema: dict[str, Any] = shape if self._typed is None else self._typed.schema()
        self._wrapped = self._typed is not None and schema.get("type") != "object"  # the wire wants an object at the top
        self._schema = _wrap(schema) if self._wrapped else schema
        self._validator: Any = None

    def format(self) -> dict[str, Any]:
        """Say it as a chat request's `response_format`.

        Returns:
            dict[str, Any]: Of type `json_schema`.
        """
        name = re.sub(r"\W+", "_", str(self._schema.get("title") or "answer"))[:64]
        strict = {"strict": True} if _closed(self._schema) else {}
        return {"type": "json_schema", "json_schema": {"name": name, "schema": self._schema} | strict}

    def read(self, text: str) -> Any:
        """Read an answer.

        Args:
            text (str): What the model wrote.

        Returns:
            Any: A value of the type; plain data for a JSON Schema.

        Raises:
            InvalidOutput: It does not fit; the message says why, fit for the model's eyes.
        """
        fenced = _FENCE.match(text.strip())
        try:
            data = load((fenced[1] if fenced else text).encode("utf-8", "replace"))
            if self._typed is None:
                self._check(data)
                return data
            return self._typed.read(data.get(_VALUE) if self._wrapped and isinstance(data, dict) else data)
        except InvalidInput as error:
            raise InvalidOutput(
                f"the answer has the wrong shape: {error.message}", hint="Ask for less at once, or use a larger model."
            ) from error

    def _check(self, data: Any) -> None:
        if self._validator is None:
            import jsonschema_rs  # 40 ms: only where somebody gives a JSON Schema

            try:
                self._validator = jsonschema_rs.validator_for(self._schema)
            except ValueError as error:
                raise InvalidInput(f"this is no JSON Schema: {error}") from error
        problems = [f"{one.message} (at /{'/'.join(map(str, one.instance_path))})" for one in self._validator.iter_errors(data)]
        if problems:
            raise InvalidInput("; ".join(problems[:5]), problems=problems)


def _wrap(schema: dict[str, Any]) -> dict[str, Any]:
    inner = dict(schema)
    definitions = inner.pop("$defs", None)
    whole = {"type": "object", "properties": {_VALUE: inner}, "required": [_VALUE], "additionalProperties": False}
    return whole | ({"$defs": definitions} if definitions else {})


def _closed(schema: Any) -> bool:
    """Tell whether every object in a schema names all its keys: what `strict` asks for."""
    if isinstance(schema, list):
        return all(_closed(one) for one in schema)
    if not isinstance(schema, dict):
        return True
    named = schema.get("type") != "object" or (
        schema.get("additionalProperties") is False
        and set(schema.get("required", ())) == set(schema.get("properties", msgspec.UNSET) or ())
    )
    return named and all(_closed(one) for one in schema.values())
