"""What `perdure.testing` offers, and what it costs to look at it."""

import subprocess
import sys

import pytest

import perdure.testing


def test_every_name_it_offers_is_there() -> None:
    for name in perdure.testing.__all__:
        assert getattr(perdure.testing, name) is not None, name


def test_it_offers_nothing_else() -> None:
    assert not hasattr(perdure.testing, "Nonsense")
    assert set(dir(perdure.testing)) == set(perdure.testing.__all__)


@pytest.mark.parametrize("heavy", ["pytest", "aiohttp", "starlette"])
def test_a_clock_costs_neither_a_server_nor_a_test_runner(heavy: str) -> None:
    code = f"import sys, perdure.testing; perdure.testing.FakeClock(); sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
