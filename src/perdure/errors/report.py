"""From exceptions to plain data and back.

`facts_of` says of any exception what is journaled and kept with a dead letter. `error_from` makes the
exception again, so that an agent on replay meets the same type it met the first time. That is possible
for our own tree always, and for a foreign type if its module is already imported (nothing is ever
imported because a journal says so), it is an `Exception`, and its recorded arguments rebuild it.
Otherwise it is `ToolFailed`; whoever records an error should raise `error_from(facts)` at once where it
differs, so that the first time and every replay look alike.
"""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import msgspec

from perdure.errors import base
from perdure.errors.base import AgentFailed, ErrorFacts, Evidence, PerdureError, RunLimit, ToolFailed

__all__ = ["chain", "error_from", "facts_of"]

_MAX_CAUSES = 10
_MAX_LINE = 500
_MAX_MESSAGE = 4000


def facts_of(error: BaseException, *, kind: type[PerdureError] = AgentFailed) -> ErrorFacts:
    """Say what an exception is, as plain data.

    Args:
        error (BaseException): Any exception.
        kind (type[PerdureError]): What a foreign exception counts as: `AgentFailed` or `ToolFailed`.

    Returns:
        ErrorFacts: With its causes; a foreign one also with its type, and its arguments where JSON can say them.
    """
    causes = [_line(cause) for cause in list(chain(error))[1 : _MAX_CAUSES + 1]]
    if isinstance(error, PerdureError):
        facts = msgspec.structs.replace(error.facts(), causes=causes)
        return facts if type(error).__module__ == base.__name__ else _typed(facts, error)
    facts = ErrorFacts(
        code=kind.code,
        category=kind.category,
        message=_text(error),
        retryable=kind.default_retryable,
        evidence=Evidence(trace=_where(error)),
        causes=causes,
    )
    return _typed(facts, error)


def error_from(facts: ErrorFacts) -> Exception:
    """Make an exception again.

    Args:
        facts (ErrorFacts): As `facts_of` said.

    Returns:
        Exception: Of the same type where that is possible, else `ToolFailed`.
    """
    if facts.type_name is not None:
        return _foreign(facts) or _ours(ToolFailed, facts)
    return _ours(_KINDS.get(facts.code, ToolFailed), facts)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Go through an exception and all that led to it, nearest first.

    Args:
        error (BaseException): Where to begin; it comes first.

    Yields:
        BaseException: Causes, contexts and members of groups, each once.
    """
    seen: set[int] = set()
    ahead = [error]
    while ahead:
        here = ahead.pop(0)
        if id(here) in seen:
            continue
        seen.add(id(here))
        yield here
        if isinstance(here, BaseExceptionGroup):
            ahead.extend(here.exceptions)
        ahead.extend(one for one in (here.__cause__, here.__context__) if one is not None)


def _kinds(root: type[PerdureError]) -> Iterator[type[PerdureError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)


_KINDS = {kind.code: kind for kind in reversed(list(_kinds(PerdureError))) if kind.__module__ == base.__name__}
_KINDS |= {f"limit-{what}": RunLimit for what in ("steps", "tokens", "time", "turns", "depth", "children")}


def _ours(kind: type[PerdureError], facts: ErrorFacts) -> PerdureError:
    error = kind.__new__(kind, facts.message)
    _furnish(error, facts)
    if isinstance(error, RunLimit):
        error.what = facts.code.removeprefix("limit-")
    if isinstance(error, base.InvalidInput):
        error.problems = []
    return error


def _furnish(error: PerdureError, facts: ErrorFacts) -> None:
    PerdureError.__init__(
        error,
        facts.message,
        hint=facts.hint,
        retryable=facts.retryable,
        retry_at=facts.retry_at,
        scope=facts.scope,
        billed=facts.billed,
        evidence=facts.evidence,
    )


def _foreign(facts: ErrorFacts) -> Exception | None:
    kind = _imported(facts.type_name or "")
    if kind is None or facts.args is None:
        return None
    try:
        error = kind(*facts.args)
        same = list(error.args) == facts.args and _text(error) == facts.message
    except Exception:  # its own constructor wants something else than it keeps: it cannot be rebuilt
        return None
    if isinstance(error, PerdureError):
        _furnish(error, facts)
    return error if same else None


def _imported(type_name: str) -> type[Exception] | None:
    module, _, path = type_name.partition(":")
    found: Any = sys.modules.get(module)
    for name in path.split("."):
        found = getattr(found, name, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _typed(facts: ErrorFacts, error: BaseException) -> ErrorFacts:
    kind = type(error)
    args = list(error.args) if all(_plain(arg) for arg in error.args) else None
    return msgspec.structs.replace(facts, type_name=f"{kind.__module__}:{kind.__qualname__}", args=args)


def _plain(value: object, depth: int = 0) -> bool:
    if isinstance(value, list):
        return depth < 8 and all(_plain(one, depth + 1) for one in value)
    if isinstance(value, dict):
        return depth < 8 and all(isinstance(key, str) and _plain(one, depth + 1) for key, one in value.items())
    if type(value) is str:
        return len(value) <= _MAX_MESSAGE and _text_of(value) == value
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is int:
        return abs(value) < 1 << 63
    return value is None or type(value) is bool


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a broken __str__ must not hide the error it belongs to
        text = ""
    return _text_of(text)[:_MAX_MESSAGE] or type(error).__name__


def _text_of(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # a lone surrogate is no text that could be kept


def _line(error: BaseException) -> str:
    text = _text(error).replace("\n", " ")
    return f"{type(error).__name__}: {text}"[:_MAX_LINE]


def _where(error: BaseException) -> str | None:
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames)) or None
