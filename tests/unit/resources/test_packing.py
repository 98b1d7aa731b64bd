"""Bytes that say by themselves how to read them."""

from __future__ import annotations

import os
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors.base import StoreError
from perdure.resources.packing import PLAIN_BYTES, Mark, mark_of, pack, unpack


@given(st.binary(max_size=3000) | st.builds(lambda one, times: one * times, st.binary(max_size=20), st.integers(0, 3000)))
def test_what_is_packed_comes_back(data: bytes) -> None:
    assert unpack(pack(data)) == data


def test_json_that_is_short_stays_as_it_is() -> None:
    assert pack(b'{"a":1}') == b'{"a":1}'


def test_what_repeats_itself_becomes_small() -> None:
    assert len(pack(b'"' + b"again and " * 5000 + b'"')) < 1000


def test_what_gains_nothing_stays_as_it_is() -> None:
    noise = b'"' + os.urandom(4 * PLAIN_BYTES)

    assert pack(noise) == noise


def test_what_was_kept_before_there_was_packing_is_plain() -> None:
    assert [mark_of(old) for old in (b"{}", b"[1]", b'"a"', b"1", b"-1", b"null", b" 1", b"\t1", b"\n1", b"")] == [None] * 10


@pytest.mark.parametrize("size_bytes", [0, 10, 10**9], ids=["less", "a little", "more"])
def test_a_body_never_takes_more_memory_than_was_written_down(size_bytes: int) -> None:
    bomb = b"\x01" + struct.pack(">I", size_bytes) + zlib.compress(bytes(50_000_000))

    with pytest.raises(StoreError, match="not as long"):
        unpack(bomb)


@pytest.mark.parametrize("broken", [b"\x01", b"\x01\x00\x00\x00\x09junk", b"\x02" + bytes(32), b"\x03", b"\x08new"], ids=repr)
def test_what_cannot_be_read_says_so(broken: bytes) -> None:
    with pytest.raises(StoreError):
        unpack(broken)


def test_marks_are_no_beginning_of_json() -> None:
    assert all(mark.value < 9 for mark in Mark)
