from __future__ import annotations

import sys

import pytest

from perdure.providers.prices import FREE, OwnPrice, Prices
from perdure.resources.usage import Usage

OPENAI = {"openai": "https://api.openai.com/v1"}
INTL = {"qwen": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"}


def used(asked: int | None = 1_000_000, said: int | None = 1_000_000, **more: int) -> Usage:
    return Usage(calls=1, input_tokens=asked, output_tokens=said, **more)


def test_a_published_price_is_found_by_the_host_that_answers() -> None:
    prices = Prices(addresses=OPENAI)
    price = prices.price_of("openai", "gpt-4o")
    assert price is not None
    assert price.source.startswith("genai-prices ")
    assert prices.cost_of(used(), "openai", "gpt-4o") == pytest.approx(2.5 + 10.0)


def test_cached_input_has_its_own_price() -> None:
    prices = Prices(addresses=OPENAI)
    assert prices.cost_of(used(said=0, cached_tokens=1_000_000), "openai", "gpt-4o") == pytest.approx(1.25)


def test_the_same_name_on_ones_own_machine_has_no_price() -> None:
    prices = Prices(addresses={"mine": "http://127.0.0.1:8000/v1", "lan": "http://gpu:8000/v1", "ten": "http://10.0.0.3:8000/v1"})
    assert [prices.cost_of(used(), name, "gpt-4o") for name in ("mine", "lan", "ten", "unheard-of")] == [None] * 4


def test_a_host_that_only_begins_alike_has_no_price() -> None:
    assert Prices(addresses={"trap": "https://api.openai.com.example.org/v1"}).price_of("trap", "gpt-4o") is None


def test_a_model_that_nobody_knows_has_no_price() -> None:
    assert Prices(addresses=OPENAI).cost_of(used(), "openai", "model-of-tomorrow") is None


def test_missing_usage_is_unknown_and_never_zero() -> None:
    prices = Prices({"mine/m": OwnPrice(input_usd=1, output_usd=2)}, OPENAI | INTL)
    for provider, model in (("mine", "m"), ("openai", "gpt-4o"), ("qwen", "qwen-plus"), ("local", "smollm2")):
        assert prices.price_of(provider, model) is not None
        assert prices.cost_of(used(said=None), provider, model) is None
        assert prices.cost_of(Usage(calls=1), provider, model) is None


def test_the_settings_go_before_what_is_published() -> None:
    prices = Prices({"openai/gpt-4o": OwnPrice(input_usd=1, output_usd=2), "openai/*": OwnPrice(input_usd=7, output_usd=7)}, OPENAI)
    assert prices.cost_of(used(), "openai", "gpt-4o") == 3
    assert prices.cost_of(used(said=0), "openai", "gpt-4.1") == 7


def test_cached_and_thought_tokens_are_part_of_the_others() -> None:
    price = OwnPrice(input_usd=10, output_usd=20, cached_usd=1, reasoning_usd=40)
    assert price.cost(used(cached_tokens=400_000, reasoning_tokens=500_000)) == pytest.approx(6 + 0.4 + 10 + 20)
    assert OwnPrice(input_usd=10, output_usd=20).cost(used(cached_tokens=400_000, reasoning_tokens=500_000)) == pytest.approx(30)


def test_what_runs_here_costs_nothing() -> None:
    assert Prices().price_of("local", "smollm2") is FREE
    assert Prices().cost_of(used(), "local", "smollm2") == 0.0


def test_dashscope_asks_by_the_length_of_the_input_and_more_for_thinking() -> None:
    prices = Prices(addresses=INTL)
    assert prices.cost_of(used(1_000, 1_000), "qwen", "qwen3-max") == pytest.approx(0.0072)
    assert prices.cost_of(used(100_000, 1_000), "qwen", "qwen3-max") == pytest.approx(0.24 + 0.012)
    assert prices.cost_of(used(300_000, 1_000), "qwen", "qwen3-max") is None  # longer than any tier known
    assert prices.cost_of(used(0, 1_000, reasoning_tokens=900), "qwen", "qwen-plus") == pytest.approx(0.004)


def test_dashscope_elsewhere_has_a_list_of_its_own() -> None:
    for host in ("dashscope.aliyuncs.com", "coding-intl.dashscope.aliyuncs.com"):
        assert Prices(addresses={"qwen": f"https://{host}/v1"}).price_of("qwen", "qwen-plus") is None


def test_a_call_is_reckoned_before_it_is_made() -> None:
    prices = Prices({"mine/m": OwnPrice(input_usd=1_000_000, output_usd=10)})
    body = {"messages": [{"role": "user", "content": "x" * 269}], "max_tokens": 1_000}
    assert prices.at_most(body, "mine", "m") == pytest.approx(100 + 0.01)
    assert prices.at_most({"messages": []}, "mine", "m") == pytest.approx(1 + 0.02)
    assert prices.at_most(body, "nobody", "m") is None


def test_many_answers_and_long_tools_are_reckoned_too() -> None:
    prices = Prices({"mine/m": OwnPrice(input_usd=1_000_000, output_usd=10)})
    body = {"messages": [{"role": "user", "content": "x" * 269}], "max_tokens": 1_000}
    assert prices.at_most(body | {"n": 50}, "mine", "m") == pytest.approx(100 + 50 * 0.01)
    assert prices.at_most(body | {"max_completion_tokens": 1}, "mine", "m") == pytest.approx(100 + 0.01)
    assert prices.at_most(body | {"max_tokens": -1}, "mine", "m") == pytest.approx(100 + 0.02)
    assert prices.at_most(body | {"tools": ["y" * 296]}, "mine", "m") == pytest.approx(200 + 0.01)


def test_the_package_is_not_read_where_nothing_is_somewhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)  # importing it would fail
    prices = Prices(addresses={"mine": "http://127.0.0.1:8000/v1"} | INTL)
    assert prices.price_of("mine", "m") is None
    assert prices.price_of("qwen", "qwen-plus") is not None
