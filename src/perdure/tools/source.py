"""Which code this is: a digest of its source, and what its docstring says."""

from __future__ import annotations

import hashlib
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

__all__ = ["described", "version_of"]

_SECTION = re.compile(r"^(Args|Arguments|Parameters|Returns|Yields|Raises|Example|Examples|Note|Notes):\s*$")
_PARAMETER = re.compile(r"^(?P<name>\*{0,2}\w+)\s*(\([^)]*\))?:\s*(?P<text>.*)$")


def version_of(function: Callable[..., Any]) -> str:
    """Digest a function's source, so that a change of its code is a new version.

    Args:
        function (Callable[..., Any]): Any function; without source (a shell, a frozen program) its byte code counts.

    Returns:
        str: 12 hex digits.
    """
    try:
        text = textwrap.dedent(inspect.getsource(function)).encode()
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        text = repr(function).encode() if code is None else code.co_code + repr(code.co_names).encode() + _constants(code)
    return hashlib.sha256(text).hexdigest()[:12]


def described(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Read a docstring in Google's form.

    Args:
        function (Callable[..., Any]): Any function.

    Returns:
        tuple[str, dict[str, str]]: What stands before the first section, and a text for each argument.
    """
    opening: list[str] = []
    arguments: dict[str, str] = {}
    section, name, indent = "", "", -1
    for line in (inspect.getdoc(function) or "").splitlines():
        if match := _SECTION.match(line):
            section, name, indent = match[1], "", -1
        elif not section:
            opening.append(line)
        elif section in ("Args", "Arguments", "Parameters") and line.strip():
            depth = len(line) - len(line.lstrip())
            indent = depth if indent < 0 else indent
            if depth <= indent and (found := _PARAMETER.match(line.strip())):
                name = found["name"].lstrip("*")
                arguments[name] = found["text"]
            elif name:
                arguments[name] = f"{arguments[name]} {line.strip()}".strip()
    return "\n".join(opening).strip(), arguments


def _constants(code: Any) -> bytes:
    return repr([one for one in code.co_consts if isinstance(one, (str, bytes, int, float, bool, type(None)))]).encode()
