"""A conversation in pieces."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from perdure.agents.talk import NAME_BYTES, Ref, chain, name_of_head, split, told

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["messages", "größe", "a"]) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@given(
    st.dictionaries(st.sampled_from(["model", "messages ", "größe", '"', "\\", "\x01"]), JSON, max_size=3),
    st.lists(JSON, min_size=1, max_size=5),
    JSON,
)
def test_a_request_put_together_again_is_what_it_was(before: dict[str, Any], messages: list[Any], after: Any) -> None:
    request = compact({**before, "messages": messages, "after": after})

    talk = split(request)

    if talk is not None:
        assert talk.whole() == request
        assert [json.loads(one) for one in talk.messages] == messages
    else:
        assert any(ord(letter) < 32 for key in before for letter in key), "only keys that can be spelled in two ways stop it"


@given(st.binary(max_size=50) | JSON.map(compact))
def test_anything_else_is_left_whole(data: bytes) -> None:
    talk = split(data)

    assert talk is None or talk.whole() == data


def test_a_name_stands_for_all_that_was_said() -> None:
    assert chain([b"1", b"2"]) == chain([b"1", b"2", b"3"])[:2]
    assert chain([b"1", b"2"])[1] != chain([b"0", b"2"])[1]
    assert chain([b"1", b"2", b"3"])[2:] == chain([b"3"], chain([b"1", b"2"])[-1])
    assert all(len(name) == NAME_BYTES for name in [*chain([b"1"]), name_of_head(b"1")])
    assert name_of_head(b"1") != chain([b"1"])[0]


def test_a_conversation_is_found_by_the_name_of_its_last_message() -> None:
    messages = [b"1", b"2", b"1"]
    names = chain(messages)
    said = {name: (before, message) for name, before, message in zip(names, [b"", *names], messages, strict=False)}

    assert told(Ref(b"", names[2], 3), said) == messages
    assert told(Ref(b"", names[1], 2), said) == messages[:2]
    assert told(Ref(b"", names[1], 1), said) is None, "there is one more before it"
    assert told(Ref(b"", b"?", 1), said) is None


def test_a_reference_is_written_in_a_few_bytes() -> None:
    ref = Ref(b"h" * NAME_BYTES, b"l" * NAME_BYTES, 70_000)

    assert Ref.read(ref.written()) == ref
    assert len(ref.written()) == 2 * NAME_BYTES + 4
