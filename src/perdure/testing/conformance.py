"""Runs the provider kit without pytest: for the command line, and to see what a wrong provider fails."""

from __future__ import annotations

import asyncio
import inspect
import linecache
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from perdure.clock import awake
from perdure.errors.base import ConfigError
from perdure.testing.answering import Answering
from perdure.testing.breaking import Breaking
from perdure.testing.case import ProviderCase

__all__ = ["Outcome", "names_of", "run_conformance"]

_PARTS: dict[str, type] = {"answers": Answering, "failures": Breaking}
_CASES = {"answers": "case", "failures": "staged"}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one test ended."""

    name: str
    """A sentence, as the test's own name has it."""
    part: str
    """`answers` or `failures`."""
    passed: bool
    seconds: float
    why: str | None = None
    """What was found instead."""


def names_of(part: str) -> list[str]:
    """List the tests of a part.

    Args:
        part (str): `answers` or `failures`.

    Returns:
        list[str]: Their names, in the order in which they stand.
    """
    return [name for name in vars(_PARTS[part]) if name.startswith("test")]


async def run_conformance(
    *,
    case: ProviderCase | None = None,
    staged: ProviderCase | None = None,
    limit_s: float = 120.0,
    told: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run every test of the kit.

    Args:
        case (ProviderCase | None): The provider, at whatever answers; None leaves that part out.
        staged (ProviderCase | None): The same provider where it can be made to fail; None leaves that part out.
        limit_s (float): For one test.
        told (Callable[[Outcome], None] | None): Hears of each as it ends.

    Returns:
        list[Outcome]: One for each test.

    Raises:
        ConfigError: Python was told to skip assertions, so nothing would be tested.
    """
    if not __debug__:
        raise ConfigError("Python runs with -O and skips assertions: the kit would find nothing", hint="Leave -O and PYTHONOPTIMIZE out.")
    cases = {"case": case, "staged": staged}
    ended = []
    for part, name in _all_tests():
        found = cases[_CASES[part]]
        if found is None:
            continue
        ended.append(await _outcome(part, name, found, limit_s))
        if told is not None:
            told(ended[-1])
    return ended


def _all_tests() -> Iterator[tuple[str, str]]:
    yield from ((part, name) for part in _PARTS for name in names_of(part))


async def _outcome(part: str, name: str, case: ProviderCase, limit_s: float) -> Outcome:
    test: Callable[[ProviderCase], Any] = getattr(_PARTS[part](), name)
    assert inspect.iscoroutinefunction(test)
    began, why = awake(), None
    try:
        async with asyncio.timeout(limit_s):
            await test(case)
    except TimeoutError:
        why = f"it was not over after {limit_s:g} s"
    except Exception as error:
        why = _why(error)
    return Outcome(name=name, part=part, passed=why is None, seconds=awake() - began, why=why)


def _why(error: Exception) -> str:
    if str(error) and isinstance(error, AssertionError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    line = last.line or linecache.getline(last.filename, last.lineno or 0).strip()
    said = f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else "this does not hold"
    return f"{said}: {line}" if isinstance(error, AssertionError) else said
