import pytest

from perdure.testing import FakeClock


def test_it_stands_still() -> None:
    clock = FakeClock()
    assert clock.now() == clock.now()


def test_it_goes_on_when_told() -> None:
    clock = FakeClock(start=100.0)
    clock.pass_by(seconds=2.5)
    clock.pass_by(seconds=0)
    assert clock.now() == 102.5


def test_it_never_goes_back() -> None:
    clock = FakeClock()
    with pytest.raises(ValueError, match="does not go back"):
        clock.pass_by(seconds=-1)
