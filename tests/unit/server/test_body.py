from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from perdure.errors.base import InputTooLarge, InvalidInput, Malformed, WrongMediaType
from perdure.server.body import check_media_type, depth_of, parse_json, read_body

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('[]{}"\\ab,:é'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\a', max_size=4), inner, max_size=4),
    max_leaves=30,
)


def plain_depth(data: object) -> int:
    if isinstance(data, dict):
        return 1 + max(map(plain_depth, data.values()), default=0)
    return 1 + max(map(plain_depth, data), default=0) if isinstance(data, list) else 0


@given(anything, st.booleans())
def test_depth_is_measured_without_parsing_as_parsing_would(data, ascii):
    assert depth_of(json.dumps(data, ensure_ascii=ascii).encode(), enough=0) == plain_depth(data)


@pytest.mark.parametrize(
    ("body", "depth"), [(b"[]]][[[[", 2), (b'"[[[["', 0), (b'["\\"[[[["]', 1), (b'"[[[', 0), (b'"\\\\"[[', 2), (b"", 0), (b"1", 0)]
)
def test_depth_of_odd_bytes_is_measured_too(body, depth):
    assert depth_of(body, enough=0) == depth


def test_depth_of_the_worst_four_megabytes_is_measured_in_no_time():
    for worst in (b"[],[]," * 699_050, b'"\\' * 2_097_152, b'\\"' * 2_097_152, b'"' * 4_194_304, b"[" * 4_194_304):
        began = time.process_time()
        depth_of(worst, enough=64)
        assert time.process_time() - began < 2


def test_ten_thousand_levels_are_refused_before_any_parser_sees_them():
    with pytest.raises(Malformed, match="10,000 levels"):
        parse_json(b"[" * 10_000 + b"]" * 10_000, max_depth=64)


def test_exactly_the_allowed_depth_is_read():
    assert plain_depth(parse_json(b"[" * 64 + b"]" * 64, max_depth=64)) == 64
    with pytest.raises(Malformed):
        parse_json(b"[" * 65 + b"]" * 65, max_depth=64)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"NaN", "not JSON"),
        (b"1e999", "a number in the body is too large"),
        (b'{"a": [-1e999]}', "a number in the body is too large"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'"\\ud800"', "half a character"),
        (b'"\\udc00\\ud800"', "half a character"),
        (b'{"\\uDFFF": 1}', "half a character"),
        (b'"a\x00b"', "not JSON"),
    ],
)
def test_what_is_no_json_is_refused_with_the_reason(body, says):
    with pytest.raises(Malformed, match=says) as refused:
        parse_json(body, max_depth=64)
    assert refused.value.hint


@pytest.mark.parametrize("body", [b'"\\u0000"', b'{"a\\u0000": 1}', b'["\\\\\\u0000"]'])
def test_nul_is_refused(body):
    with pytest.raises(InvalidInput, match="NUL"):
        parse_json(body, max_depth=64)


@pytest.mark.parametrize(("body", "meant"), [(b'"\\\\u0000"', "\\u0000"), (b'"\\\\ud800"', "\\ud800"), (b'"\\ud83d\\ude00"', "😀")])
def test_what_only_looks_like_it_is_read(body, meant):
    assert parse_json(body, max_depth=64) == meant


@pytest.mark.parametrize("said", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"])
def test_a_body_must_say_that_it_is_json(said):
    with pytest.raises(WrongMediaType, match="no content type" if said is None else f"must be JSON, not '{said}'"):
        check_media_type(Headers({} if said is None else {"content-type": said}))


@pytest.mark.parametrize("said", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"])
def test_json_by_any_of_its_names_is_taken(said):
    check_media_type(Headers({"content-type": said}))


class Sender:
    """A caller who sends pieces, and counts how many were taken."""

    def __init__(self, *pieces: bytes, hangs_up: bool = False) -> None:
        self.events = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        self.events.append({"type": "http.disconnect"} if hangs_up else {"type": "http.request", "body": b""})
        self.taken = 0

    async def __call__(self):
        self.taken += 1
        return self.events[self.taken - 1]


async def test_a_body_in_pieces_is_read_whole():
    assert await read_body(Headers({}), Sender(b"ab", b"cd"), limit=4) == b"abcd"


async def test_more_than_the_limit_is_refused_without_holding_it():
    sender = Sender(*[b"x" * 1000] * 50)
    with pytest.raises(InputTooLarge):
        await read_body(Headers({}), sender, limit=4000)
    assert sender.taken == 51  # let pass unread, so that the sender gets to hear of it


async def test_who_asks_before_sending_is_told_at_once():
    sender = Sender(b"x" * 5000)
    with pytest.raises(InputTooLarge):
        await read_body(Headers({"content-length": "5000", "expect": "100-continue"}), sender, limit=4000)
    assert sender.taken == 0


async def test_a_caller_who_hangs_up_in_the_middle_is_noticed():
    with pytest.raises(Malformed, match="hung up"):
        await read_body(Headers({}), Sender(b"{", hangs_up=True), limit=4000)
