"""When a calendar's moments come, and what is done about those that were missed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors.base import InvalidInput
from perdure.messages.calendar import AT_MOST, ON_TIME_S, Calendar, Misfire, plan

CRONS = ["* * * * *", "*/15 * * * *", "30 2 * * *", "0 3 * * MON", "0 0 1 * *", "@hourly", "15 2,14 * * *"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
moments = st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)).map(lambda one: one.replace(tzinfo=UTC).timestamp())


@settings(deadline=None)
@given(st.sampled_from(CRONS), st.sampled_from(ZONES), moments)
def test_moments_only_go_forward_wherever_one_begins(cron: str, zone: str, begin: float) -> None:
    calendar = Calendar(cron, zone)
    found = calendar.upcoming(begin, 5)
    assert all(before < after for before, after in zip([begin, *found], found, strict=False))
    assert found[1:] == [calendar.after(one) for one in found[:-1]]  # nothing is lost between two looks


@settings(deadline=None)
@given(st.sampled_from(CRONS), st.sampled_from(ZONES), moments, st.floats(0, 40 * 24 * 3600), st.sampled_from(list(Misfire)))
def test_a_plan_puts_only_moments_that_have_come_and_goes_on_behind_now(
    cron: str, zone: str, begin: float, late_s: float, misfire: Misfire
) -> None:
    calendar = Calendar(cron, zone)
    next_at = calendar.after(begin)
    now = next_at + late_s
    made = plan(calendar, misfire, next_at, now)
    assert made.next_at > now
    assert all(next_at <= moment <= now for moment in made.moments)
    assert len(made.moments) <= {Misfire.SKIP: 1, Misfire.ONCE: 1, Misfire.ALL: AT_MOST}[misfire]
    assert made.passed_over >= 0
    if misfire is Misfire.SKIP:
        assert all(now - moment <= ON_TIME_S for moment in made.moments)
    else:
        assert calendar.after(made.moments[-1]) == made.next_at


def test_a_moment_that_is_just_noticed_was_not_missed() -> None:
    calendar = Calendar("0 * * * *")
    assert list(plan(calendar, Misfire.SKIP, 3600.0, 3600.0 + ON_TIME_S).moments) == [3600.0]
    assert list(plan(calendar, Misfire.SKIP, 3600.0, 3601.0 + ON_TIME_S).moments) == []


def test_years_of_minutes_are_not_told_one_by_one() -> None:
    made = plan(Calendar("* * * * *"), Misfire.ONCE, 60.0, 60.0 + 20 * 365 * 24 * 3600)
    assert list(made.moments) == [60.0 + 20 * 365 * 24 * 3600]


@pytest.mark.parametrize("cron", ["", "a b c d e", "0 0 31 2 *", "* * * * * *", "@never", "60 * * * *", "0 24 * * *", "0 0 0 * *"])
def test_what_no_calendar_has_is_refused(cron: str) -> None:
    with pytest.raises(InvalidInput):
        Calendar(cron)
