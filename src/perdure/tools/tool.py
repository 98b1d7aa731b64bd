"""Tools: functions that an agent, or the model, may call as a step.

A tool's name, description and JSON Schema come from its signature and docstring; its version is a
digest of its source. What it does to the world is its author's to say: only a tool marked `idempotent`
is ever run again when its outcome is unknown.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, overload

from perdure.errors.base import ConfigError, InvalidInput
from perdure.tools.plain import load
from perdure.tools.signature import Signature
from perdure.tools.source import described, version_of

__all__ = ["Tool", "as_tool", "tool"]

_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")


class Tool:
    """A function with what a model has to know of it.

    Args:
        function (Callable[..., Any]): Async or not; its parameters are passed by name.
        name (str | None): 1 to 64 letters, digits, `_` or `-`; the function's own if None.
        description (str | None): For the model; the docstring's opening if None.
        idempotent (bool): Whether running it twice does no more than running it once.
        version (str | None): A digest of its source if None.
        near (Mapping[str, Any] | None): Names that its hints may use besides its module's own.

    Raises:
        ConfigError: The name, or a parameter, is not one a model could use.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        idempotent: bool = False,
        version: str | None = None,
        near: Mapping[str, Any] | None = None,
    ) -> None:
        self.function = function
        self.name: str = name or str(getattr(function, "__name__", ""))
        opening, self._texts = described(function)
        self.description: str = opening if description is None else description
        self.idempotent = idempotent
        self.version: str = version or version_of(function)
        self.signature: Signature = Signature(function, what=f"tool {self.name!r}", near=near)
        self._parameters: dict[str, Any] | None = None
        self.__doc__ = self.description
        self._check()

    @property
    def is_async(self) -> bool:
        """Whether it is a coroutine function; any other is run in a thread."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        if self._parameters is None:
            self._parameters = self.signature.schema(self._texts)
        return self._parameters

    def spec(self) -> dict[str, Any]:
        """Say it as an OpenAI chat request wants it.

        Returns:
            dict[str, Any]: An entry of `tools`.
        """
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": self.parameters}}

    def arguments(self, text: str | None) -> dict[str, Any]:
        """Read the arguments that a model wrote.

        Args:
            text (str | None): JSON.

        Returns:
            dict[str, Any]: Plain, by name; they fit the tool.

        Raises:
            InvalidInput: No JSON, or not what the tool takes; the message is fit for the model's eyes.
        """
        said = load((text or "{}").encode("utf-8", "replace"))
        if not isinstance(said, dict):
            raise InvalidInput(f"the arguments of {self.name!r} must be a JSON object, not {type(said).__name__}")
        bound = self.signature.bind((), said)
        self.signature.read(bound)
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, outside any run.

        Args:
            *args (Any): Its arguments.
            **kwargs (Any): Its arguments.

        Returns:
            Any: What it returns.
        """
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Say which tool this is.

        Returns:
            str: With its version.
        """
        return f"<tool {self.name}@{self.version}>"

    def _check(self) -> None:
        if not _NAME.match(self.name):
            raise ConfigError(f"{self.name!r} cannot be the name of a tool", hint="Use 1 to 64 letters, digits, `_` or `-`.")
        for parameter in self.signature.parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
                raise ConfigError(f"tool {self.name!r} has the parameter {str(parameter)!r}, which has no name a model could use")


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None, idempotent: bool = False, version: str | None = None
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    idempotent: bool = False,
    version: str | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function: `@tool`, or `@tool(idempotent=True)`.

    Args:
        function (Callable[..., Any] | None): The function, where no option is given.
        name (str | None): For the model; the function's own if None.
        description (str | None): For the model; the docstring's opening if None.
        idempotent (bool): Whether running it twice does no more than running it once. Only then is it
            run again when a crash or a time-out left its outcome unknown.
        version (str | None): A digest of its source if None.

    Returns:
        Tool | Callable[[Callable[..., Any]], Tool]: The tool, or what makes one of a function.
    """
    near = sys._getframe(1).f_locals

    def make(function: Callable[..., Any]) -> Tool:
        return Tool(function, name=name, description=description, idempotent=idempotent, version=version, near=near)

    return make if function is None else make(function)


def as_tool(function: Tool | Callable[..., Any]) -> Tool:
    """Take a tool as it is, and any other function as a tool that is not idempotent.

    Args:
        function (Tool | Callable[..., Any]): Either.

    Returns:
        Tool: A tool.
    """
    return function if isinstance(function, Tool) else Tool(function)
