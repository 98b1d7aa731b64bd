"""A lane that is down, as all processes see it: left alone for a while, then one call of one process goes through to see."""

from __future__ import annotations

from perdure.clock import Moment
from perdure.providers.book import Book
from perdure.providers.lanes import Heard, Standing
from perdure.providers.spreading import slow_down

__all__ = ["next_standing"]


def next_standing(book: Book, heard: Heard, worker: int, now: Moment, *, rest_s: float, longest_rest_s: float) -> Standing:
    """Take in what a worker says of a lane.

    Args:
        book (Book): Of the lane, tidy; changed.
        heard (Heard): What it says.
        worker (int): Who.
        now (Moment): The store's time.
        rest_s (float): How long the lane is left alone at first.
        longest_rest_s (float): How long at most.

    Returns:
        Standing: How it stands now.
    """
    mine = book.down and book.prober == worker
    if heard is Heard.DOWN and not book.down:
        book.down, book.rest_s, book.down_until = True, rest_s, now + rest_s
    elif mine and heard is Heard.MENDED:
        book.down, book.prober = False, 0
        slow_down(book, now)
    elif mine and heard is Heard.FAILED:
        book.prober, book.rest_s = 0, min(2 * book.rest_s, longest_rest_s)
        book.down_until = now + book.rest_s
    elif mine and heard is Heard.GAVE_UP:
        book.prober = 0
    if not book.down:
        return Standing(healthy=True)
    if heard is Heard.ASKS and not book.prober and book.down_until <= now:
        book.prober, book.probed_at = worker, now
        return Standing(probe=True)
    return Standing(wait_s=max(book.down_until - now, rest_s if book.prober else 0.0))
