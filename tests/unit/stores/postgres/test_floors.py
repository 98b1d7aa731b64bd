"""Floors: where to begin to read while dead rows cannot be cleared away."""

from perdure.stores.postgres.choosing import Head
from perdure.stores.postgres.floors import Floors

SLOW, QUICK = 0.02, 0.0001
MANY, FEW = 2000, 30
"""Pages before the heads: of thousands of dead rows, of none."""


def slow(floors: Floors, *, since: float = 0.0, first: int = 100) -> float:
    """Looks are slow for three seconds, while the head goes forward; tell the moment after."""
    now = since
    for step in range(31):
        now = since + step * 0.1
        floors.looked([Head(5, first + step, first + step, 1)], [Head(9, 1, 50 + step, 2)], turns=1, took_s=SLOW, now=now)
    floors.counted(len(floors.to_count(now)), MANY, now)
    return now


def test_without_slow_looks_everything_is_read() -> None:
    floors = Floors()
    for step in range(100):
        floors.looked([Head(5, step, step, 1)], [], turns=0, took_s=QUICK, now=step * 0.1)
    assert floors.of([1, 2]) == [0] * 20
    assert floors.oldest_of([1]) == [0]
    assert floors.to_sweep(1000.0) == []


def test_one_slow_look_means_nothing() -> None:
    floors = Floors()
    for step in range(100):
        floors.looked([Head(5, step, step, 1)], [], turns=0, took_s=QUICK if step % 5 else SLOW, now=step * 0.1)
    assert floors.to_count(10.0) == []


def test_when_looks_seem_slow_the_server_is_asked_once_a_second() -> None:
    floors = Floors()
    for step in range(10):
        floors.looked([Head(5, step, step, 1)], [], turns=0, took_s=SLOW, now=step * 0.1)
    assert floors.to_count(1.0) == [(1, 5)]
    assert floors.to_count(1.9) == []
    assert floors.to_count(2.0) == [(1, 5)]


def test_a_slow_network_is_no_reason_for_floors() -> None:
    floors = Floors()
    for step in range(100):
        floors.looked([Head(5, step, step, 1)], [], turns=0, took_s=SLOW, now=step * 0.1)
        if heads := floors.to_count(step * 0.1):
            floors.counted(len(heads), FEW, step * 0.1)
    assert not floors.needed


def test_when_looks_are_slow_they_begin_where_the_head_was_two_seconds_ago() -> None:
    floors = Floors()
    slow(floors)
    [floor] = {tag for tag in floors.of([1]) if tag}
    assert 108 <= floor <= 111
    assert floors.of([1]).index(floor) == 5
    assert floors.of([7]) == [0] * 10
    assert 58 <= floors.oldest_of([2])[0] <= 61


def test_a_sweep_is_due_ten_seconds_later_and_then_again() -> None:
    floors = Floors()
    now = slow(floors)
    assert floors.to_sweep(now) == []
    lanes = floors.to_sweep(now + 10)
    assert sorted(lane[:2] for lane in lanes) == [(1, 5), (1, 10), (2, 10)]
    assert floors.to_sweep(now + 11) == []
    floors.swept([], SLOW, now + 11)
    assert floors.to_sweep(now + 20) == []
    assert floors.to_sweep(now + 21)


def test_a_sweep_that_takes_long_comes_less_often() -> None:
    floors = Floors()
    now = slow(floors)
    floors.to_sweep(now + 10)
    floors.swept([], 2.0, now + 12)
    assert floors.to_sweep(now + 100) == []
    assert floors.to_sweep(now + 113)


def test_what_a_sweep_finds_lowers_its_floor() -> None:
    floors = Floors()
    now = slow(floors)
    floors.swept([(1, 5, 7)], SLOW, now)
    assert floors.of([1])[5] == 7


def test_when_no_dead_rows_are_left_floors_are_not_needed() -> None:
    floors = Floors()
    now = slow(floors)
    floors.counted(3, FEW, now)
    assert floors.of([1]) == [0] * 10


def test_a_quick_sweep_is_no_reason_to_do_without() -> None:
    floors = Floors()
    now = slow(floors)
    floors.swept([], QUICK, now)
    assert floors.needed


def test_of_a_route_that_was_not_shown_no_more_is_believed_than_was_seen() -> None:
    floors = Floors()
    for step in range(31):
        floors.looked([Head(5, 900, 900, 1)], [Head(9, 1, 50, 2)], turns=1, took_s=SLOW, now=step * 0.1)
    floors.begin(3.0)
    assert floors.oldest_of([1, 2]) == [50, 50]  # of route 1 there may be one behind 900 that was put earlier, though not before 50
