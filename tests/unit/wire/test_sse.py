"""Events survive whatever the network cuts them into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.wire.sse import DONE, EventTooLarge, SseDecoder, SseEvent, encode_comment, encode_event


def read(data: bytes, *cuts: int) -> list[SseEvent]:
    decoder, events, last = SseDecoder(), [], 0
    for cut in sorted(cuts):
        events += decoder.feed(data[last:cut])
        last = cut
    return [*events, *decoder.feed(data[last:]), *decoder.end()]


@given(st.data())
def test_any_cut_gives_the_same_events(data: st.DataObject) -> None:
    raw = 'data: {"a": "é€😀"}\r\n\r\n: note\r\ndata: one\r\ndata: two\r\n\r\nevent: error\rdata: x\r\rid: 7\ndata:y\n\n'.encode()
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=8))
    assert read(raw, *cuts) == [
        SseEvent('{"a": "é€😀"}'),
        SseEvent("one\ntwo", comments=("note",)),
        SseEvent("x", "error"),
        SseEvent("y", id="7"),
    ]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_what_is_encoded_is_decoded(text: str) -> None:
    assert read(encode_event(text)) == [SseEvent(text)]


def test_values_go_out_as_json_with_their_event_and_id() -> None:
    assert encode_event({"a": 1}, event="error", id="3") == b'event: error\nid: 3\ndata: {"a":1}\n\n'


def test_a_line_break_in_a_name_cannot_forge_a_field() -> None:
    assert encode_event("x", event="a\ndata: forged") == b"event: a data: forged\ndata: x\n\n"


def test_comments_alone_are_no_event() -> None:
    assert read(encode_comment("still here") + DONE) == [SseEvent("[DONE]")]


def test_a_status_in_a_comment_is_kept_with_its_event() -> None:
    [event] = read(b'id:1\nevent:error\n:HTTP_STATUS/429\ndata:{"code":"Throttling"}\n\n')
    assert event.event == "error"
    assert event.comments == ("HTTP_STATUS/429",)


def test_an_event_without_its_last_empty_line_is_given_at_the_end() -> None:
    assert read(b"data: last") == [SseEvent("last")]
    assert read(b"data: last\r") == [SseEvent("last")]
    assert read(b"data: last\n") == [SseEvent("last")]


def test_a_byte_order_mark_at_the_beginning_is_skipped() -> None:
    assert read(b"\xef\xbb\xbfdata: x\n\n") == [SseEvent("x")]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 50, b"data: xxxxxxxx\n" * 10])
def test_an_endless_event_is_refused(piece: bytes) -> None:
    with pytest.raises(EventTooLarge):
        SseDecoder(limit_bytes=40).feed(piece)
