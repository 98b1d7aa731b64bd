from __future__ import annotations

import math

import pytest

from perdure.clock import iso


def test_a_moment_is_told_in_utc_and_milliseconds():
    assert iso(1795446000.25) == "2026-11-23T15:00:00.250Z"
    assert iso(None) is None


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (1e300, "9999-12-31T23:59:59.000Z"),
        (math.inf, "9999-12-31T23:59:59.000Z"),
        (-1e300, "1970-01-01T00:00:00.000Z"),
        (math.nan, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_a_moment_beyond_the_calendar_is_told_as_its_edge_and_breaks_nobody(moment, told):
    assert iso(moment) == told
