"""Exceptions survive being written down."""

import inspect
import json
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import base
from perdure.errors.base import Billed, ErrorFacts, PerdureError, ProviderTimeout, RateLimited, RunLimit, ToolFailed
from perdure.errors.report import chain, error_from, facts_of


def again(error: BaseException) -> Exception:
    """Through facts, JSON and back."""
    return error_from(msgspec.json.decode(msgspec.json.encode(facts_of(error, kind=ToolFailed)), type=ErrorFacts))


class Declined(Exception):
    """An application's own exception."""


class Awkward(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class OurOwn(PerdureError):
    """A user's subclass of ours."""


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even this fails")


TREE = [kind for kind in vars(base).values() if inspect.isclass(kind) and issubclass(kind, PerdureError)]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_comes_back_as_itself(kind: type[PerdureError]) -> None:
    error = RunLimit("steps", "too many") if kind is RunLimit else kind("it went wrong", hint="look", retry_at=12.5, billed=Billed.MAYBE)
    back = again(error)
    assert type(back) is kind
    assert str(back) == str(error)
    assert msgspec.structs.replace(back.facts()) == error.facts()  # type: ignore[attr-defined]


def test_every_code_of_the_tree_is_used_once() -> None:
    codes = [kind.code for kind in TREE]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        KeyError("missing"),
        Declined("no funds", 3, {"why": ["a"]}),
        OSError(2, "no such file"),
        ZeroDivisionError(),
        ValueError("two\nlines"),
        Silent("x"),
    ],
    ids=repr,
)
def test_a_foreign_exception_comes_back_with_its_type_and_arguments(error: Exception) -> None:
    back = again(error)
    assert type(back) is type(error)
    assert back.args == error.args


def test_a_users_own_kind_of_ours_keeps_its_facts() -> None:
    back = again(OurOwn("mine", hint="try later", retryable=True))
    assert isinstance(back, OurOwn)
    assert (back.hint, back.retryable) == ("try later", True)


@pytest.mark.parametrize(
    "error",
    [Awkward("one", "two"), json.JSONDecodeError("bad", "{", 0), ValueError(object()), ValueError(1 << 70), ValueError(float("nan"))],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_be_rebuilt_is_a_tool_failure_that_says_what_it_was(error: Exception) -> None:
    facts = facts_of(error, kind=ToolFailed)
    back = error_from(facts)
    assert type(back) is ToolFailed
    assert facts.type_name is not None
    assert facts.type_name.endswith(type(error).__qualname__)


def test_nothing_is_imported_because_a_journal_says_so() -> None:
    sys.modules.pop("this", None)
    facts = ErrorFacts(code="tool-failed", category=base.Category.TOOL, message="x", type_name="this:Error", args=["x"])
    assert type(error_from(facts)) is ToolFailed
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    "name", ["builtins:SystemExit", "builtins:KeyboardInterrupt", "builtins:print", "os:system", "builtins:", ":", "nonsense"]
)
def test_only_exceptions_are_ever_made(name: str) -> None:
    facts = ErrorFacts(code="tool-failed", category=base.Category.TOOL, message="x", type_name=name, args=["x"])
    assert type(error_from(facts)) is ToolFailed


def test_an_exception_defined_in_a_function_cannot_be_found_again() -> None:
    class Local(Exception):
        pass

    assert type(again(Local("x"))) is ToolFailed


def test_the_causes_are_told_nearest_first() -> None:
    try:
        try:
            try:
                raise KeyError("id")
            except KeyError:
                raise Declined("no account") from None
        except Declined as cause:
            raise RateLimited("slow down", retry_at=5.0) from cause
    except RateLimited as error:
        facts = facts_of(error)
    assert facts.causes == ["Declined: no account", "KeyError: 'id'"]
    assert facts.retry_at == 5.0


def test_a_chain_that_bites_its_tail_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    group = ExceptionGroup("both", [one, ProviderTimeout("late")])
    assert [str(error) for error in chain(group)][1:] == ["one", "late", "two"]


def test_a_foreign_exception_says_where_it_was_raised() -> None:
    def deep() -> None:
        raise ValueError("here")

    try:
        deep()
    except ValueError as error:
        trace = facts_of(error).evidence.trace
    assert trace is not None
    assert trace.startswith("test_report.py:")
    assert "deep" in trace


def test_text_that_cannot_be_kept_is_mended() -> None:
    assert facts_of(ValueError("\ud800")).message == "?"


@given(st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()))))
def test_any_arguments_come_back_equal_or_as_a_tool_failure(args: list[object]) -> None:
    back = again(ValueError(*args))
    assert type(back) is ToolFailed or list(back.args) == args
