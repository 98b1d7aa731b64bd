from __future__ import annotations

import pytest

from perdure.errors.base import InvalidInput
from perdure.messages.terms import inherited, max_cost_of, own, put_by, refuse_reserved, with_terms


def test_terms_are_read_as_they_were_written_and_are_no_part_of_what_the_sender_wrote() -> None:
    metadata = with_terms({"trace": "1"}, by="key_1", max_cost_usd=0.1)
    assert (put_by(metadata), max_cost_of(metadata), own(metadata)) == ("key_1", 0.1, {"trace": "1"})
    assert (put_by({}), max_cost_of({}), with_terms({})) == (None, None, {})


def test_what_a_run_sends_is_on_the_same_account_but_not_under_its_limit() -> None:
    assert put_by(inherited(with_terms({"a": "b"}, by="key_1", max_cost_usd=3.0))) == "key_1"
    assert max_cost_of(inherited(with_terms({}, by="key_1", max_cost_usd=3.0))) is None


def test_nobody_can_write_terms_of_their_own() -> None:
    with pytest.raises(InvalidInput, match=r"perdure\.put_by"):
        refuse_reserved({"perdure.put_by": "key_of_another"})
    refuse_reserved({"perdure": "fine"})
