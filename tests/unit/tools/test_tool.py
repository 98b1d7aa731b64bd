"""What makes a function a tool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic
import pytest

from perdure.errors.base import ConfigError, InvalidInput
from perdure.tools.current import STEP_KEY, idempotency_key
from perdure.tools.source import described, version_of
from perdure.tools.tool import Tool, as_tool, tool
from perdure.tools.typed import Typed


@dataclass
class Address:
    street: str
    number: int = 1


class Person(pydantic.BaseModel):
    name: str
    boss: Person | None = None


@tool
def send(to: Address, text: str, kind: Literal["mail", "parcel"] = "mail", copies: list[Address] | None = None) -> bool:
    """Send something.

    It takes a while.

    Args:
        to: Where it goes.
        text (str): What is in it,
            over two lines.
        kind: How.

    Returns:
        bool: Whether it went.
    """
    return bool(to and text and kind) and not copies


def test_a_tool_is_described_by_its_signature_and_docstring() -> None:
    spec = send.spec()
    assert spec["type"] == "function"
    function = spec["function"]
    assert function["name"] == "send"
    assert function["description"] == "Send something.\n\nIt takes a while."
    parameters = function["parameters"]
    assert parameters["required"] == ["to", "text"]
    assert parameters["additionalProperties"] is False
    assert parameters["properties"]["text"] == {"type": "string", "description": "What is in it, over two lines."}
    assert parameters["properties"]["to"]["properties"]["street"] == {"type": "string"}
    assert parameters["properties"]["kind"]["default"] == "mail"
    assert "Address" in parameters["$defs"]


def test_a_tool_is_still_the_function_it_was() -> None:
    assert send(Address("x"), "y") is True
    assert repr(send) == f"<tool send@{send.version}>"
    assert send.is_async is False


def test_options_of_a_tool() -> None:
    @tool(name="other", description="Mine.", idempotent=True, version="v2")
    async def function(a: int) -> int:
        return a

    assert (function.name, function.description, function.idempotent, function.version, function.is_async) == (
        "other",
        "Mine.",
        True,
        "v2",
        True,
    )


def test_a_tool_may_take_anything_by_name() -> None:
    @tool
    def anything(first, **rest):  # type: ignore[no-untyped-def]
        return first, rest

    assert anything.parameters == {"type": "object", "properties": {"first": {}}, "required": ["first"], "additionalProperties": True}
    assert anything.arguments('{"first": 1, "second": 2}') == {"first": 1, "second": 2}


def test_a_default_that_json_cannot_say_is_left_out() -> None:
    marker = object()

    @tool
    def odd(a: Any = marker) -> None: ...

    assert odd.parameters["properties"]["a"] == {}


@pytest.mark.parametrize("name", ["", "has space", "x" * 65, "ünicode"])
def test_a_name_no_model_could_use_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        Tool(lambda: None, name=name or None)


@pytest.mark.parametrize("function", [lambda *args: None, eval("lambda a, /: None")])
def test_a_parameter_without_a_name_is_refused(function: Any) -> None:
    with pytest.raises(ConfigError, match="has the parameter"):
        Tool(function, name="odd")


def test_arguments_are_read_into_their_hints() -> None:
    given = send.signature.bind((Address("x"),), {"text": "y"})
    assert send.signature.read(given) == {"to": Address("x"), "text": "y"}
    assert send.signature.read({"to": {"street": "x", "number": 2}, "text": "y"})["to"] == Address("x", 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"to": {"street": 1}, "text": "y"}', "'to' of tool 'send' is wrong"),
        ('{"to": {"street": "x"}, "text": "y", "kind": "pigeon"}', "pigeon"),
        ('{"text": "y"}', "missing a required argument: 'to'"),
        ("[]", "must be a JSON object, not list"),
        ("{", "no JSON"),
    ],
)
def test_wrong_arguments_are_told_so_that_a_model_understands(text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        send.arguments(text)
    assert told in raised.value.message


def test_no_arguments_are_an_empty_object() -> None:
    assert Tool(lambda: None, name="none").arguments(None) == {}
    assert Tool(lambda: None, name="none").arguments("") == {}


def test_any_function_can_be_taken_as_a_tool() -> None:
    assert as_tool(send) is send
    made = as_tool(len_of)
    assert (made.name, made.idempotent) == ("len_of", False)


def len_of(text: str) -> int:
    """Measure."""
    return len(text)


class Desk:
    """Its methods are tools, too."""

    def write(self, text: str) -> str:
        """Write it down."""
        return text


def test_a_bound_method_can_be_a_tool() -> None:
    made = Tool(Desk().write)
    assert list(made.parameters["properties"]) == ["text"]
    assert made.description == "Write it down."


# Versions and docstrings --------------------------------------------------------------------------


def test_the_version_follows_the_source_and_nothing_else() -> None:
    def one(a: int) -> int:
        return a

    def two(a: int) -> int:
        return a + 1

    assert version_of(one) == version_of(one)
    assert version_of(one) != version_of(two)
    assert len(version_of(one)) == 12


def test_without_source_the_byte_code_counts() -> None:
    space: dict[str, Any] = {}
    exec("def a(x): return x + 1\ndef b(x): return x + 1\ndef c(x): return x + 2\ndef d(x): return len(x)", space)
    assert version_of(space["a"]) == version_of(space["b"])
    assert len({version_of(space[name]) for name in "acd"}) == 3
    assert version_of(len) == version_of(len)


def test_a_docstring_in_googles_form_is_taken_apart() -> None:
    def function() -> None:
        """Opening.

        Args:
            a (int): First.
            *rest: Others.
                Continued.

            b: Second: with a colon.

        Raises:
            ValueError: Never.
        """

    assert described(function) == ("Opening.", {"a": "First.", "rest": "Others. Continued.", "b": "Second: with a colon."})
    assert described(lambda: None) == ("", {})


# Types --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (Annotated[int, pydantic.Field(gt=1)], 2, 1),
        (Person, {"name": "x", "boss": {"name": "y"}}, {"boss": {}}),
        (list[Person], [{"name": "x"}], [{}]),
        (dict[str, Annotated[str, pydantic.StringConstraints(max_length=1)]], {"a": "x"}, {"a": "xx"}),
        (Address | Person, {"name": "x"}, {"nothing": 1}),
        (Address | None, None, {"street": 1}),
    ],
    ids=str,
)
def test_each_hint_finds_the_library_that_knows_it(hint: Any, good: Any, bad: Any) -> None:
    typed = Typed(hint, what="it")
    typed.read(good)
    assert isinstance(typed.schema(), dict)
    with pytest.raises(InvalidInput) as raised:
        typed.read(bad)
    assert raised.value.problems
    assert raised.value.message.startswith("it is wrong: ")


def test_a_type_that_refers_to_itself_keeps_its_name() -> None:
    schema = Typed(Person, what="it").schema()
    assert schema["$ref"] == "#/$defs/Person"
    assert "Person" in schema["$defs"]


def test_a_hint_nothing_can_be_read_into_is_a_mistake_of_the_programs() -> None:
    class Socket:
        pass

    with pytest.raises(ConfigError, match="Socket"):
        Typed(Socket, what="it").read({})


def test_no_hint_takes_everything() -> None:
    typed = Typed(Any, what="it")
    marker = object()
    assert typed.read(marker) is marker
    assert typed.schema() == {}
    assert typed.anything


# The step under way -------------------------------------------------------------------------------


def test_the_idempotency_key_is_that_of_the_step() -> None:
    with pytest.raises(InvalidInput, match="outside a step"):
        idempotency_key()
    token = STEP_KEY.set("msg_1-3")
    assert idempotency_key() == "msg_1-3"
    STEP_KEY.reset(token)
