"""What JSON can say of a value, and one way to say it."""

from __future__ import annotations

import dataclasses
import enum
import json
import subprocess
import sys
from collections import Counter, OrderedDict, UserDict, deque
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors.base import InvalidInput
from perdure.tools.plain import canonical, dump, fingerprint, load, plain


class Colour(enum.Enum):
    RED = "red"
    ONE = 1


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Ticket:
    text: str
    tags: list[Colour] = dataclasses.field(default_factory=list)


class Model(pydantic.BaseModel):
    at: datetime
    inner: Any = None


class Struct(msgspec.Struct, rename="camel", tag="s", tag_field="kind"):
    some_name: int
    left_out: int | msgspec.UnsetType = msgspec.UNSET


class Row(msgspec.Struct, array_like=True):
    a: int
    b: str


class Pair(NamedTuple):
    a: int
    b: str


class Told(TypedDict):
    a: int


class Text(str):
    pass


class Number(float):
    pass


AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Ticket("x", [Colour.RED]), {"text": "x", "tags": ["red"]}),
        (Model(at=AT, inner={"a": [1]}), {"at": "2026-11-23T14:00:00Z", "inner": {"a": [1]}}),
        (Struct(1), {"kind": "s", "someName": 1}),
        (Row(1, "b"), [1, "b"]),
        (Pair(1, "b"), [1, "b"]),
        (Told(a=1), {"a": 1}),
        (Colour.ONE, 1),
        (Level.HIGH, 3),
        (AT, "2026-11-23T14:00:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(minutes=1), 60.0),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.50"), "1.50"),
        (PurePosixPath("/a/b"), "/a/b"),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({1, "a"}, ["a", 1]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (UserDict({"a": 1}), {"a": 1}),
        (deque([1, 2]), [1, 2]),
        (range(3), [0, 1, 2]),
        (Text("t"), "t"),
        (Number(1.5), 1.5),
        ({1: "a", Colour.RED: "b", UUID(int=1): 1}, {"1": "a", "red": "b", "00000000-0000-0000-0000-000000000001": 1}),
        (10**30, 10**30),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_people_pass_around_is_said_in_jsons_words(value: Any, wanted: Any) -> None:
    assert plain(value) == wanted
    assert load(dump(value)) == wanted


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"x", "the value is a bytes"),
        ({"a": [1, object()]}, "the value.a[1] is a object"),
        (Ticket("x", [b""]), "the value.tags[0] is a bytes"),  # type: ignore[list-item]
        (float("nan"), "nan"),
        ([float("inf")], "the value[0] is inf"),
        ("\ud800", "lone surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        ({1: 1, "1": 2}, "two keys"),
        ({None: 1}, "the key None"),
        ({True: 1}, "the key True"),
        ({1.5: 1}, "the key 1.5"),
        ({(1, 2): 1}, "the key (1, 2)"),
        (lambda: None, "is a function"),
        (Ticket, "is a type"),
        ([10**5000], "cannot be written"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_say_is_said_clearly(value: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        dump(value)
    assert message in raised.value.message


def test_what_refers_to_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidInput, match="refers to itself"):
        plain(loop)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"nul", b"[" * 200_000])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInput, match="no JSON"):
        load(text)


def test_keys_keep_their_order_where_they_are_kept_and_lose_it_where_they_are_compared() -> None:
    assert dump({"b": 1, "a": 2}) == b'{"b":1,"a":2}'
    assert canonical({"b": 1, "a": 2}) == b'{"a":2,"b":1}'


@given(json_values)
def test_what_json_says_comes_back_as_it_was(value: Any) -> None:
    assert load(dump(value)) == value


@given(json_values, st.randoms())
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(value: Any, dice: Any) -> None:
    def shuffled(one: Any) -> Any:
        if isinstance(one, dict):
            pairs = [(key, shuffled(inner)) for key, inner in one.items()]
            dice.shuffle(pairs)
            return dict(pairs)
        return [shuffled(inner) for inner in one] if isinstance(one, list) else one

    assert fingerprint(shuffled(value)) == fingerprint(value) == fingerprint(load(dump(value)))


@given(json_values, json_values)
def test_different_values_have_different_fingerprints(one: Any, other: Any) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (canonical(one) == canonical(other))


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    value = {"a": [1, "ü", None], "b": {"set": ["x", "y"]}}
    code = f"from perdure.tools.plain import fingerprint; print(fingerprint({value!r} | {{'b': {{'set': {{'y', 'x'}}}}}}))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env={"PYTHONHASHSEED": seed}
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert seen == {fingerprint(value)}


def test_a_fingerprint_stays_what_it_is() -> None:
    assert fingerprint({"messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5}) == "47005bbbe87115572e3ccd6a51cb5cda"


def test_the_json_is_the_standards() -> None:
    assert json.loads(dump({"a": "ü\n", "b": [True, None, 1.0]})) == {"a": "ü\n", "b": [True, None, 1.0]}
