"""A type from somebody's hints: its JSON Schema, and plain data read into it.

Two libraries know how. msgspec is here already and takes dataclasses, TypedDicts, its own structs and
everything built in; pydantic takes its models and constraints, and costs 0.2 s to import, so it is asked
only where a hint needs it.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from perdure.errors.base import ConfigError, InvalidInput

__all__ = ["Typed"]

_CONSTRAINTS = ("pydantic", "pydantic_core", "annotated_types")


class Typed:
    """A type that plain data can be read into.

    Args:
        hint (Any): A type as in a hint; `Any` takes everything as it is.
        what (str): What has this type, for errors: `the payload of 'triage'`.
    """

    def __init__(self, hint: Any, *, what: str) -> None:
        self.hint = hint
        self.what = what
        self._reader: Callable[[Any], Any] | None = None
        self._schema: dict[str, Any] | None = None

    @property
    def anything(self) -> bool:
        """Whether the hint says nothing."""
        return self.hint is Any or self.hint is object

    def read(self, data: Any) -> Any:
        """Read plain data.

        Args:
            data (Any): What JSON said.

        Returns:
            Any: A value of the type.

        Raises:
            InvalidInput: The data does not fit; `problems` has a line for each place.
            ConfigError: Nothing can be read into such a type.
        """
        if self.anything:
            return data
        self._prepare()
        return self._reader(data) if self._reader else data

    def schema(self) -> dict[str, Any]:
        """Say the type as JSON Schema.

        Returns:
            dict[str, Any]: An object type stands at the top itself, not behind a reference.

        Raises:
            ConfigError: JSON Schema cannot say it.
        """
        if self.anything:
            return {}
        self._prepare()
        return self._schema or {}

    def _prepare(self) -> None:
        if self._reader is not None:
            return
        try:
            self._choose()
        except NameError as error:
            raise ConfigError(
                f"the hint of {self.what} names something unknown: {error}", hint="Define it at the top of a module that is imported."
            ) from error

    def _choose(self) -> None:
        if not any(_needs_pydantic(part) for part in _parts(self.hint)):
            try:
                self._schema, self._reader = _lifted(msgspec.json.schema(self.hint)), self._by_msgspec
            except (TypeError, RuntimeError):  # unions of several records and the like: pydantic can
                pass
            else:
                return
        self._schema, self._reader = self._by_pydantic()

    def _by_msgspec(self, data: Any) -> Any:
        try:
            return msgspec.convert(data, self.hint)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"{self.what} is wrong: {error}", problems=[str(error)]) from error

    def _by_pydantic(self) -> tuple[dict[str, Any], Callable[[Any], Any]]:
        import pydantic  # 0.2 s: only where a hint needs it

        try:
            adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(self.hint)
            schema = _lifted(adapter.json_schema())
        except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticSchemaGenerationError) as error:
            raise ConfigError(
                f"{self.what} has the hint {self.hint!r}, which JSON cannot be read into",
                hint="Use a dataclass, a pydantic model, a TypedDict, a msgspec.Struct or a built-in type.",
            ) from error

        def read(data: Any) -> Any:
            try:
                return adapter.validate_python(data)
            except pydantic.ValidationError as error:
                problems = [f"{'.'.join(map(str, one['loc'])) or '$'}: {one['msg']}" for one in error.errors(include_url=False)]
                raise InvalidInput(f"{self.what} is wrong: {'; '.join(problems[:5])}", problems=problems) from error

        return schema, read


def _lifted(schema: dict[str, Any]) -> dict[str, Any]:
    """Put the type that a lone reference at the top points to in its place."""
    reference = schema.get("$ref", "")
    definitions: dict[str, Any] = schema.get("$defs", {})
    name = reference.removeprefix("#/$defs/")
    if not reference or name not in definitions:
        return schema
    others = {key: value for key, value in definitions.items() if key != name}
    if f'"{reference}"' in msgspec.json.encode(definitions).decode():  # it refers to itself and must keep its name
        return schema
    found: dict[str, Any] = definitions[name]
    return found | ({"$defs": others} if others else {})


def _parts(hint: Any) -> Iterator[Any]:
    """Go through a hint and every hint inside it, each once."""
    seen: dict[int, Any] = {}  # keeps what it saw, since the id of what is gone may be given again
    ahead = [hint]
    while ahead:
        here = ahead.pop()
        if id(here) in seen:
            continue
        seen[id(here)] = here
        yield here
        ahead.extend(typing.get_args(here))
        if dataclasses.is_dataclass(here) or typing.is_typeddict(here) or _is_struct(here):
            ahead.extend(_fields(here).values())


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _fields(record: Any) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(record, include_extras=True)
    except NameError:  # a forward reference to somewhere we cannot see; the library in charge will say so
        return {}


def _needs_pydantic(hint: Any) -> bool:
    kind = hint if isinstance(hint, type) else type(hint)
    return (
        hasattr(kind, "__get_pydantic_core_schema__")
        or hasattr(kind, "__pydantic_validator__")
        or kind.__module__.split(".")[0] in _CONSTRAINTS
    )
