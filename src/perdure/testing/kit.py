"""What all kits share: a clock, and the rule that nobody bends them quietly.

A kit is a class of tests. Subclass it, give a `store` fixture, and your store is proved. A standard
test that your store cannot pass may be overridden only in the open: with
`@pytest.mark.xfail(reason="…")`. Anything else fails when the class is made, before any test runs.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import pytest

from perdure.testing.clock import FakeClock

__all__ = ["Kit", "bent_tests"]


class Kit:
    """The ground that every kit stands on."""

    pytestmark: ClassVar[Any] = pytest.mark.asyncio
    _standard = False

    def __init_subclass__(cls, *, standard: bool = False, **more: Any) -> None:
        """Refuse a subclass that changes a standard test without saying why.

        Args:
            standard (bool): True for the kits themselves: their tests are the standard.
            **more (Any): For other base classes.

        Raises:
            TypeError: A standard test is overridden without `xfail(reason=…)`.
        """
        super().__init_subclass__(**more)
        cls._standard = standard
        bent = bent_tests(cls)
        if bent:
            raise TypeError(
                f"{cls.__name__} overrides {', '.join(bent)} without `@pytest.mark.xfail(reason=…)`: "
                "a store that does not keep a promise has to say so"
            )

    @pytest.fixture
    def clock(self) -> FakeClock:
        """Give the time that the store shall take its own from.

        Returns:
            FakeClock: New for each test.
        """
        return FakeClock()


def bent_tests(kit: type) -> list[str]:
    """Find the standard tests that a class overrides without giving a reason.

    Args:
        kit (type): A subclass of a kit.

    Returns:
        list[str]: Their names, sorted.
    """
    standards = [base for base in kit.__mro__ if base.__dict__.get("_standard") is True]
    return sorted(
        {
            name
            for base in standards
            for name, test in vars(base).items()
            if name.startswith("test")
            and inspect.getattr_static(kit, name) is not test
            and not _has_reason(inspect.getattr_static(kit, name))
        }
    )


def _has_reason(test: object) -> bool:
    marks = getattr(test, "pytestmark", [])
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
