"""Ids as people see them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors.base import NotFound
from perdure.messages.ids import PREFIX, read, write
from perdure.messages.message import MessageId

ids = st.integers(0, 2**63 - 1).map(MessageId)


@given(ids)
def test_an_id_is_read_as_it_was_written(id: MessageId) -> None:
    assert read(write(id)) == id


@given(ids)
def test_capitals_are_read_too(id: MessageId) -> None:
    text = write(id)
    assert read(PREFIX + text[len(PREFIX) :].upper()) == id


@given(ids, ids)
def test_text_sorts_as_ids_do(one: MessageId, other: MessageId) -> None:
    assert (write(one) < write(other)) == (one < other)


@given(ids)
def test_every_id_has_one_length_and_no_letter_that_looks_like_another(id: MessageId) -> None:
    letters = write(id)[len(PREFIX) :]
    assert len(letters) == 13
    assert not set(letters) & set("ilou")


@given(st.text(max_size=40))
def test_any_other_text_is_no_id(text: str) -> None:
    try:
        number = read(text)
    except NotFound as refused:
        assert refused.hint or "no message id" in refused.message  # noqa: PT017 - either way is right
    else:
        assert write(number) == text[: len(PREFIX)] + text[len(PREFIX) :].lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "msg_",
        "msg_0000000000000" + "0",
        "msg_000000000000",
        "key_0000000000000",
        "MSG_0000000000000",
        "msg_000000000000i",
        "msg_00000000000 0",
        "msg_zzzzzzzzzzzzz",
        "msg_8000000000000",
        "msg_٠٠٠٠٠٠٠٠٠٠٠٠٠",
        "0000000000000",
    ],
)
def test_what_is_no_id_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        read(text)


def test_the_largest_id_has_a_text() -> None:
    assert read("msg_7zzzzzzzzzzzz") == 2**63 - 1


def test_a_very_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(NotFound) as refused:
        read("x" * 10_000)
    assert len(refused.value.message) < 200
