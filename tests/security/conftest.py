"""The pages' browser, for those who attack them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_PAGES = Path(__file__).parents[1] / "unit" / "server" / "dashboard" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("dashboard_browser", _PAGES)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules["dashboard_browser"] = _MODULE
_SPEC.loader.exec_module(_MODULE)


@pytest.fixture
def browser(served):
    return _MODULE.Browser(served)
