"""How the whole suite is run: what is dealt to which process, and what is measured."""

from __future__ import annotations

import importlib
import os
import pkgutil
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import strategies as st

import perdure

_FIRST = ("test_soak", "test_kills", "tests/crash/")
_UNMEASURED = (
    *("tests/crash/", "tests/examples/", "tests/simulation/", "contract/test_machine", "AllFlagsOff", "BehindAPooler"),
    *("testing/test_conformance", "unit/test_house", "cli/test_up"),
)
_MEASURED = "COVERAGE_PROCESS_CONFIG"
"""Where a child process finds how it is measured."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Processes of pytest-xdist are measured by pytest-cov, which can pause, and not also as anybody's children."""
    os.environ.pop(_MEASURED, None)


def pytest_configure(config: pytest.Config) -> None:
    """Each process of pytest-xdist is measured once: pytest-cov has begun as if it were the only one, and begins again when it knows."""
    measures = _measures(config)
    if hasattr(config, "workerinput") and measures is not None:
        measures.cov.stop()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Tests are read unmeasured, which takes half the time, once what they import has been imported."""
    st.randoms().validate()  # it imports only then, and CPython 3.11 cannot compile while it collects what awaits its end
    measures = _measures(session.config)
    if measures is None or not measures.started:
        return (yield)
    for found in pkgutil.walk_packages(perdure.__path__, "perdure."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    measures.pause()
    try:
        return (yield)
    finally:
        measures.resume()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Neither are the children of a test measured that is not."""
    how = os.environ.pop(_MEASURED, None) if item.get_closest_marker("no_cover") else None
    try:
        return (yield)
    finally:
        if how is not None:
            os.environ[_MEASURED] = how


def _measures(config: pytest.Config) -> Any:
    """What pytest-cov measures with, or None."""
    return getattr(config.pluginmanager.getplugin("_cov"), "cov_controller", None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """What must be run, and what first.

    Without its capabilities PostgreSQL takes the shared way, which SQLite proves too: by default a quarter of those kits is run.
    What takes longest and mostly waits begins first, so that the rest is done beside it and nobody waits for it at the end.
    Measuring coverage takes twice as long again as what is measured: it is not done where other tests run the same lines.
    """
    for item in items:
        if any(name in item.nodeid for name in _UNMEASURED):
            item.add_marker(pytest.mark.no_cover)
        if any(name in item.nodeid for name in ("AllFlagsOff", "BehindAPooler")) and zlib.crc32(item.nodeid.encode()) % 4:
            item.add_marker(pytest.mark.slow)
    result = yield
    items[:] = _dealt(items, getattr(config, "workerinput", {}).get("workercount", 1))  # once it is known who takes part
    return result


def _dealt(items: list[pytest.Item], players: int) -> list[pytest.Item]:
    """One stretch for each process, which pytest-xdist gives out in order: each begins with its share of the long tests."""
    turn = {item: next((n for n, part in enumerate(_FIRST) if part in item.nodeid), len(_FIRST)) for item in items}
    long = sorted((item for item in items if turn[item] < len(_FIRST)), key=turn.__getitem__)
    short = iter([item for item in items if turn[item] == len(_FIRST)])
    dealt: list[pytest.Item] = []
    for player in range(players):
        share = long[player::players]
        dealt += share + list(islice(short, len(items) // players - len(share)))
    return dealt + list(short)
