"""One turn at a lane's book: corrections first, then what is needed, in its order."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from perdure.clock import Moment
from perdure.providers.book import Asker, Book, Left, slot_of
from perdure.providers.budgets import over_budget, spend, spend_later
from perdure.providers.headroom import Headroom
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Correction, Grant, Need, NotYet, Reason, Turn
from perdure.providers.spreading import advance, correct, earliest, slow_down

__all__ = ["Visit", "take_turn"]

FULL_S = 0.5
"""When all permits are out nobody knows until when: whoever waits looks again so soon."""
_PRESSED_S = 2.0
"""Whoever came to wait so lately still does."""


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker brings to a turn; `LaneStore.turn` says what each is."""

    limits: LaneLimits
    worker: int
    needs: Sequence[Need] = ()
    corrections: Sequence[Correction] = ()
    holds: int = 0
    waiting: int = 0
    headroom: Headroom | None = None
    slow_for_s: float | None = None


def take_turn(book: Book, visit: Visit, now: Moment, living: Collection[int]) -> Turn:
    """Take one turn.

    Args:
        book (Book): Of the lane; changed.
        visit (Visit): Who comes, with what.
        now (Moment): The store's time.
        living (Collection[int]): The workers alive, `visit.worker` among them.

    Returns:
        Turn: The answers.
    """
    worker, book.limits = visit.worker, visit.limits
    book.tidy(now, living)
    book.spans(now)
    for correction in visit.corrections:
        _correct(book, correction)
    book.permits[worker] = visit.holds
    _take_over(book, visit, now)
    book.askers[worker] = Asker(now, visit.waiting)
    answers = _answers(book, visit, now)
    book.askers[worker] = Asker(now, visit.waiting + sum(isinstance(answer, NotYet) for answer in answers))
    most = visit.limits.at_once
    return Turn(
        answers=answers,
        next_s=max(0.0, earliest(book, visit.needs[-1] if visit.needs else Need(), now) - now),
        free=None if most is None else max(0, most - sum(book.permits.values())),
        askers=len(book.askers),
        used_share=book.used_share,
        pressed=any(one.waiting and now - one.at <= _PRESSED_S for other, one in book.askers.items() if other != worker),
    )


def _answers(book: Book, visit: Visit, now: Moment) -> list[Grant | NotYet]:
    answers: list[Grant | NotYet] = []
    full = False
    for need in visit.needs:
        answer = _answer(book, visit.worker, need, now, full=full)
        full = full or (isinstance(answer, NotYet) and answer.why in (Reason.RATE, Reason.AT_ONCE))
        answers.append(answer)
    return answers


def _answer(book: Book, worker: int, need: Need, now: Moment, *, full: bool) -> Grant | NotYet:
    dear = over_budget(book, need.usd, now) if book.limits.costs else None
    if dear is not None:
        return dear
    most = book.limits.at_once
    if most is not None and sum(book.permits.values()) + need.requests > most:
        return NotYet(wait_s=FULL_S, why=Reason.AT_ONCE)
    at = earliest(book, need, now)
    if full or at - now > need.patience_s:
        return NotYet(wait_s=at - now, why=Reason.RATE)
    advance(book, need, at)
    slot = slot_of(at)
    book.add(slot, need.requests, need.tokens)
    spend(book, need.usd)
    book.permits[worker] += need.requests
    return Grant(wait_s=at - now, slot=slot)


def _correct(book: Book, correction: Correction) -> None:
    if book.entries and correction.slot >= book.entries[0].slot:
        book.add(correction.slot, correction.requests, correction.tokens + correction.used - correction.reserved)
        correct(book, correction.tokens, reserved=correction.reserved, used=correction.used)
    spend_later(book, correction.slot, correction.usd)


def _take_over(book: Book, visit: Visit, now: Moment) -> None:
    """Believe what the provider said of itself."""
    if visit.slow_for_s is not None:
        slow_down(book, now + visit.slow_for_s)
    said = visit.headroom
    if said is not None and said.requests is not None:
        book.requests_left = Left(said.requests, now, now + said.requests_for_s, said.requests_a_second)
    if said is not None and said.tokens is not None:
        book.tokens_left = Left(said.tokens, now, now + said.tokens_for_s, said.tokens_a_second)
