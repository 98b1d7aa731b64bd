"""What a function wants: its parameters with their types, read from its hints."""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from perdure.errors.base import ConfigError, InvalidInput
from perdure.tools.plain import plain
from perdure.tools.typed import Typed

__all__ = ["Signature", "hints_of"]


class Signature:
    """A function's parameters and what it returns.

    Args:
        function (Callable[..., Any]): Any function.
        what (str): What it is, for errors: `tool 'refund'`.
        near (Mapping[str, Any] | None): Names that its hints may use besides its module's own: the
            locals of the place where it was defined.
    """

    def __init__(self, function: Callable[..., Any], *, what: str, near: Mapping[str, Any] | None = None) -> None:
        self.what = what
        self._function = function
        self._shape = inspect.signature(function)
        self._hints: dict[str, Any] | None = None
        self._types: dict[str, Typed] = {}
        with contextlib.suppress(NameError):  # something defined further down in its module: asked again at the first use
            self._hints = hints_of(function, near)

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """As Python sees them."""
        return self._shape.parameters

    def typed(self, name: str, *, what: str | None = None) -> Typed:
        """Give the type of a parameter, or of `return`.

        Args:
            name (str): Which.
            what (str | None): What it is, for errors.

        Returns:
            Typed: `Any` where the function has no hint.

        Raises:
            ConfigError: A hint names something that does not exist.
        """
        if name not in self._types:
            self._types[name] = Typed(self._resolved().get(name, Any), what=what or f"{name!r} of {self.what}")
        return self._types[name]

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Find out which argument goes to which parameter.

        Args:
            args (tuple[Any, ...]): By place.
            kwargs (Mapping[str, Any]): By name.

        Returns:
            dict[str, Any]: Only what was given, by name.

        Raises:
            InvalidInput: The function does not take such arguments.
        """
        try:
            bound = self._shape.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidInput(f"{self.what} does not take these arguments: {error}", problems=[str(error)]) from error
        for name, parameter in self._shape.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                bound.update(bound.pop(name, {}))
        return dict(bound)

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Turn plain arguments into what the hints ask for.

        Args:
            arguments (Mapping[str, Any]): By name, as JSON or Python says them.

        Returns:
            dict[str, Any]: Ready to be passed by name.

        Raises:
            InvalidInput: An argument does not fit its hint.
        """
        return {name: self._read(name, value) for name, value in arguments.items()}

    def schema(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Say all parameters as one JSON Schema.

        Args:
            texts (Mapping[str, str]): A description for each parameter that has one.

        Returns:
            dict[str, Any]: Of type `object`.
        """
        properties: dict[str, Any] = {}
        definitions: dict[str, Any] = {}
        required = []
        for name, parameter in self._shape.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                continue
            one = dict(self.typed(name).schema())
            definitions |= one.pop("$defs", {})
            properties[name] = one | ({"description": texts[name]} if name in texts else {}) | _default(parameter)
            if parameter.default is parameter.empty:
                required.append(name)
        said = {"type": "object", "properties": properties, "required": required, "additionalProperties": self._open}
        return said | ({"$defs": definitions} if definitions else {})

    @property
    def _open(self) -> bool:
        return any(parameter.kind is parameter.VAR_KEYWORD for parameter in self._shape.parameters.values())

    def _read(self, name: str, value: Any) -> Any:
        if name not in self._shape.parameters:
            return value
        typed = self.typed(name)
        return value if typed.anything else typed.read(plain(value, what=f"{name!r}"))

    def _resolved(self) -> dict[str, Any]:
        if self._hints is None:
            try:
                self._hints = hints_of(self._function, None)
            except NameError as error:
                raise ConfigError(
                    f"the hints of {self.what} name something unknown: {error}", hint="Define it at the top of the module."
                ) from error
        return self._hints


def hints_of(function: Callable[..., Any], near: Mapping[str, Any] | None) -> dict[str, Any]:
    """Read a function's hints, also where they are texts.

    Args:
        function (Callable[..., Any]): Any function.
        near (Mapping[str, Any] | None): Names besides its module's own.

    Returns:
        dict[str, Any]: By parameter, and `return`.

    Raises:
        NameError: A hint names something not (yet) there.
    """
    target = function if inspect.isfunction(function) or inspect.ismethod(function) else type(function).__call__
    try:
        return typing.get_type_hints(target, localns=dict(near) if near else None, include_extras=True)
    except TypeError:  # a built-in, a partial: nothing to read
        return {}


def _default(parameter: inspect.Parameter) -> dict[str, Any]:
    if parameter.default is parameter.empty:
        return {}
    try:
        return {"default": plain(parameter.default)}
    except InvalidInput:
        return {}
