"""The part of the provider kit in which whoever answers fails: every error of the table, and every way to break an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

from perdure.clock import now
from perdure.errors.base import (
    Billed,
    Category,
    ContentFiltered,
    EmptyAnswer,
    NetworkFailed,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Refused,
    ServerFailed,
    StreamCut,
)
from perdure.testing.case import ProviderCase, caught, pieces, text_of
from perdure.testing.faults import Fault
from perdure.testing.real import RealAnswer, real_answers

__all__ = ["Breaking"]

_MARK = "HTTP_STATUS"
_LIMITED = {"error": {"code": "rate_limit_exceeded", "message": "slow down", "type": "requests"}}
_EMPTY = {"choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}]}


class Breaking:
    """A provider tells every failure apart, tries nothing again, and is good for the next call."""

    _standard: ClassVar[bool] = True

    async def test_every_error_of_the_table_is_told(self, staged: ProviderCase) -> None:
        wrong = [line for row in _rows(staged) async for line in _misread(staged, row, _as_status(row), stream=False)]
        assert not wrong, _lines(wrong)

    async def test_every_error_of_the_table_is_told_of_a_stream(self, staged: ProviderCase) -> None:
        wrong = [line for row in _rows(staged) async for line in _misread(staged, row, _as_status(row), stream=True)]
        assert not wrong, _lines(wrong)

    async def test_an_error_inside_a_stream_that_began_with_200_is_told(self, staged: ProviderCase) -> None:
        wrong = [line for row in _framed(staged) async for line in _misread(staged, row, _in_stream(row, after=0), stream=True)]
        assert not wrong, _lines(wrong)

    async def test_an_error_in_the_middle_of_a_stream_says_that_a_part_is_paid(self, staged: ProviderCase) -> None:
        for row in _framed(staged):
            staged.fail(_in_stream(row, after=2))
            error = await caught(staged, stream=True)
            assert (error.category, error.billed) == (row.category, Billed.PARTIAL), str(row)

    async def test_an_error_inside_a_200_is_none_of_its_answers(self, staged: ProviderCase) -> None:
        for stream in (False, True):
            staged.fail(Fault("garbage", body=_LIMITED))
            assert isinstance(await caught(staged, stream=stream), RateLimited)

    async def test_the_moment_a_provider_names_is_kept_to_however_late(self, staged: ProviderCase) -> None:
        for wait_s in (2, 3600, 7 * 86400):
            staged.fail(Fault("status", 429, {"retry-after": str(wait_s)}, _LIMITED))
            error = await caught(staged)
            assert error.retry_at is not None, f"{wait_s} s were named"
            assert abs(error.retry_at - now() - wait_s) < 60

    async def test_a_stream_that_is_cut_is_no_answer(self, staged: ProviderCase) -> None:
        for stream in (False, True):
            staged.fail(Fault("cut", after=2))
            error = await caught(staged, stream=stream)
            assert isinstance(error, StreamCut), repr(error)
            assert (error.billed, error.retryable) == (Billed.PARTIAL, True)

    async def test_a_page_instead_of_json_is_no_answer(self, staged: ProviderCase) -> None:
        for stream in (False, True):
            staged.fail(Fault("html"))
            error = await caught(staged, stream=stream)
            assert isinstance(error, ServerFailed), repr(error)
            assert error.billed is Billed.MAYBE

    async def test_a_page_from_between_may_have_been_paid(self, staged: ProviderCase) -> None:
        staged.fail(Fault("status", 502, body="<html>Bad Gateway</html>"))
        error = await caught(staged)
        assert (error.retryable, error.billed) == (True, Billed.MAYBE), repr(error)

    async def test_nothing_at_all_is_no_answer(self, staged: ProviderCase) -> None:
        for stream in (False, True):
            staged.fail(Fault("empty"))
            error = await caught(staged, stream=stream)
            assert isinstance(error, EmptyAnswer), repr(error)
            assert error.retryable

    async def test_an_answer_without_a_word_is_none(self, staged: ProviderCase) -> None:
        for stream in (False, True):
            staged.fail(Fault("garbage", body=_EMPTY))
            assert isinstance(await caught(staged, stream=stream), EmptyAnswer)

    async def test_json_of_another_shape_is_no_answer(self, staged: ProviderCase) -> None:
        bodies: tuple[Any, ...] = ({}, {"choices": []}, {"choices": None}, [1], "text", {"choices": [7]})
        for body in bodies:
            staged.fail(Fault("garbage", body=body))
            assert isinstance(await caught(staged), ServerFailed), repr(body)

    async def test_bytes_that_are_no_text_are_no_answer(self, staged: ProviderCase) -> None:
        staged.fail(Fault("mangled"))
        assert isinstance(await caught(staged), ServerFailed)

    async def test_what_a_filter_or_the_model_refused_is_not_asked_again(self, staged: ProviderCase) -> None:
        for message, reason, kind in (({"content": None}, "content_filter", ContentFiltered), ({"refusal": "no"}, "stop", Refused)):
            staged.fail(Fault("garbage", body={"choices": [{"index": 0, "message": message, "finish_reason": reason}]}))
            error = await caught(staged)
            assert isinstance(error, kind), repr(error)
            assert (error.retryable, error.billed) == (False, Billed.YES)

    async def test_an_answer_that_ran_out_of_room_is_one_and_says_so(self, staged: ProviderCase) -> None:
        cut = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "and the"}, "finish_reason": "length"}]}
        staged.fail(Fault("garbage", body=cut))
        answer = await staged.provider.chat(staged.ask())
        assert (answer.text, answer.finish_reason) == ("and the", "length")

    async def test_usage_that_is_missing_is_unknown(self, staged: ProviderCase) -> None:
        said = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
        staged.fail(Fault("garbage", body=said))
        usage = (await staged.provider.chat(staged.ask())).usage
        assert (usage.calls, usage.input_tokens, usage.output_tokens) == (1, None, None)

    async def test_a_silent_server_is_given_up_and_may_have_been_paid(self, staged: ProviderCase) -> None:
        for stream in (False, True):
            staged.fail(Fault("hang"))
            error = await caught(staged, stream=stream, timeout_s=0.2)
            assert isinstance(error, ProviderTimeout), repr(error)
            assert (error.billed, error.retryable) == (Billed.MAYBE, True)

    async def test_an_answer_that_stops_in_the_middle_is_given_up(self, staged: ProviderCase) -> None:
        for stream in (False, True):
            staged.fail(Fault("stall"))
            error = await caught(staged, stream=stream, timeout_s=0.3)
            assert isinstance(error, ProviderTimeout), repr(error)
            assert error.billed in {Billed.MAYBE, Billed.PARTIAL}

    async def test_a_slow_answer_is_waited_for(self, staged: ProviderCase) -> None:
        staged.fail(Fault("slow", seconds=0.02), Fault("slow", seconds=0.02))
        assert text_of(await staged.provider.chat(staged.ask()))
        assert await pieces(staged, staged.ask())

    async def test_a_connection_that_breaks_may_have_been_paid(self, staged: ProviderCase) -> None:
        for stream in (False, True):
            staged.fail(Fault("disconnect"))
            error = await caught(staged, stream=stream)
            assert isinstance(error, NetworkFailed), repr(error)
            assert (error.billed, error.retryable) == (Billed.MAYBE, True)

    async def test_it_connects_again_after_a_connection_is_gone(self, staged: ProviderCase) -> None:
        staged.fail(Fault("close"), Fault("close"))
        for _ in range(3):
            assert text_of(await staged.provider.chat(staged.ask()))

    async def test_nothing_is_tried_again(self, staged: ProviderCase) -> None:
        if staged.asked is None:
            return
        for fault in (Fault("status", 500), Fault("status", 429), Fault("disconnect"), Fault("html"), Fault("cut")):
            before = staged.count()
            staged.fail(fault)
            await caught(staged)
            assert staged.count() == before + 1, f"{fault.kind} {fault.status} was answered with {staged.count() - before} requests"

    async def test_after_every_failure_it_is_good_for_the_next_call(self, staged: ProviderCase) -> None:
        kinds = ("status", "cut", "html", "empty", "garbage", "stream-error", "disconnect", "mangled")
        for fault in map(Fault, kinds):  # type: ignore[arg-type]
            staged.fail(fault)
            await caught(staged)
            assert text_of(await staged.provider.chat(staged.ask())), f"not after {fault.kind}"

    async def test_a_call_that_is_cancelled_while_it_waits_leaves_it_good(self, staged: ProviderCase) -> None:
        staged.fail(Fault("hang"))
        task = asyncio.ensure_future(staged.provider.chat(staged.ask()))
        await asyncio.wait([task], timeout=0.1)
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.cancelled(), "a cancelled call has to end as cancelled"
        assert text_of(await staged.provider.chat(staged.ask()))

    async def test_its_key_is_in_no_error(self, staged: ProviderCase) -> None:
        if staged.secret is None:
            return
        said = {"error": {"message": f"the key {staged.secret} is refused", "code": "invalid_api_key"}}
        staged.fail(Fault("status", 401, body=said))
        error = await caught(staged)
        assert error.category is Category.AUTH
        assert staged.secret not in f"{error!r} {error.hint} {error.facts()}"

    async def test_what_it_does_not_know_passes_through(self, staged: ProviderCase) -> None:
        if staged.asked is None:
            return
        await staged.provider.chat(staged.ask(a_parameter_of_next_year={"x": 1}))
        assert staged.asked()[-1].get("a_parameter_of_next_year") == {"x": 1}


def _rows(case: ProviderCase) -> Iterator[RealAnswer]:
    """Those of its own dialect; of one that is in no row, what anyone can tell."""
    own = [row for row in real_answers() if row.dialect == case.dialect]
    yield from own or (row for row in real_answers() if row.told_by_gateway)


def _framed(case: ProviderCase) -> Iterator[RealAnswer]:
    yield from (row for row in _rows(case) if row.framed != "never")


def _as_status(row: RealAnswer) -> Fault:
    return Fault("status", row.status, body=row.raw.decode())


def _in_stream(row: RealAnswer, *, after: int) -> Fault:
    return Fault("stream-error", body=json.loads(row.raw), after=after, comment=f"{_MARK}/{row.status}")


async def _misread(case: ProviderCase, row: RealAnswer, fault: Fault, *, stream: bool) -> AsyncIterator[str]:
    case.fail(fault)
    error = await caught(case, stream=stream)
    own = row.dialect == case.dialect
    if _meaning(error, own=own) != _expected(row, own=own):
        yield f"{row}: {_meaning(error, own=own)} instead of {_expected(row, own=own)}"


def _meaning(error: ProviderError, *, own: bool) -> tuple[str, ...]:
    known = (error.category.value, f"retryable={error.retryable}")
    return (*known, error.scope.value, f"billed={error.billed.value}") if own else known


def _expected(row: RealAnswer, *, own: bool) -> tuple[str, ...]:
    known = (row.category.value, f"retryable={row.retryable}")
    return (*known, row.scope.value, f"billed={row.billed.value}") if own else known


def _lines(wrong: list[str]) -> str:
    return f"{len(wrong)} are misread:\n" + "\n".join(wrong[:40])
