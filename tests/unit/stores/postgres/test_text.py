"""Any text can be kept."""

from hypothesis import given
from hypothesis import strategies as st

from perdure.stores.postgres.text import from_kept, to_kept

TEXTS = st.text(alphabet=st.sampled_from("\x00\x1a0s\\ab") | st.characters(codec="utf-8"))


@given(TEXTS)
def test_what_is_kept_is_read_again(text: str) -> None:
    assert from_kept(to_kept(text)) == text


@given(TEXTS)
def test_no_nul_is_kept(text: str) -> None:
    assert "\x00" not in to_kept(text)


@given(TEXTS, TEXTS)
def test_two_texts_are_kept_as_two(one: str, other: str) -> None:
    assert (to_kept(one) == to_kept(other)) == (one == other)
