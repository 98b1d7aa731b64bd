"""Money of a lane: by the day and by the month, in UTC. Reserved before a call, settled after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from perdure.clock import Moment
from perdure.providers.book import SLOT_S, Book
from perdure.providers.lanes import NotYet, Reason

__all__ = ["over_budget", "spend", "spend_later"]


def over_budget(book: Book, usd: float, now: Moment) -> NotYet | None:
    """Say whether money stands against a call.

    Args:
        book (Book): Of the lane, with the spans of now.
        usd (float): What it may cost at most; 0 if nobody knows.
        now (Moment): The store's time.

    Returns:
        NotYet | None: Until the day or the month is over; None if there is enough.
    """
    limits, day = book.limits, datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = (
        (limits.usd_per_month, book.month.usd, (day.replace(day=1) + timedelta(days=32)).replace(day=1)),
        (limits.usd_per_day, book.day.usd, day + timedelta(days=1)),
    )
    for most, spent, end in ends:
        if most and usd > most:  # of nothing there is none today, whatever it costs; that is no fault of the call
            return NotYet(wait_s=0.0, why=Reason.TOO_DEAR)
        if most is not None and (spent >= most or spent + usd > most):
            return NotYet(wait_s=end.timestamp() - now, why=Reason.BUDGET)
    return None


def spend(book: Book, usd: float) -> None:
    """Note that money is spent, or reserved.

    Args:
        book (Book): Of the lane, with the spans of now.
        usd (float): How much; negative gives back.
    """
    book.day.usd = max(0.0, book.day.usd + usd)
    book.month.usd = max(0.0, book.month.usd + usd)


def spend_later(book: Book, slot: int, usd: float) -> None:
    """Correct what was reserved in the day and the month in which it was.

    Args:
        book (Book): Of the lane, with the spans of now.
        slot (int): When it was reserved.
        usd (float): How much more; negative gives back.
    """
    day = datetime.fromtimestamp(slot * SLOT_S, UTC).strftime("%Y-%m-%d")
    if usd and book.day.span == day:
        book.day.usd = max(0.0, book.day.usd + usd)
    if usd and book.month.span == day[:7]:
        book.month.usd = max(0.0, book.month.usd + usd)
