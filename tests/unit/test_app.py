from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from perdure import App, Run, agent, events, tool
from perdure.app import (
    apply_budgets,
    apply_limits,
    build_lanes,
    build_models,
    build_prices,
    build_worker,
    errors_kept,
    load_app,
    open_store,
)
from perdure.config.settings import RetentionSettings, Settings
from perdure.errors.base import ConfigError
from perdure.messages.limits import Limit, Scope
from perdure.messages.message import NewMessage
from perdure.messages.retention import Keep
from perdure.messages.spending import Budget, BudgetScope
from perdure.providers.generic import GenericProvider
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.local import LocalProvider
from perdure.providers.qwen import QwenProvider
from perdure.resources.usage import Usage
from perdure.stores.inmemory import InMemoryStore
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.upstream import Upstream


def settings(**parts: Any) -> Settings:
    return Settings.model_validate(parts)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder of the test's own, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


async def test_the_store_lies_in_the_data_folder(tmp_path: Path) -> None:
    async with open_store(settings(data=tmp_path / "data")) as store:
        assert isinstance(store, SqliteStore)
        await store.check()
    assert (tmp_path / "data" / "perdure.db").exists()


async def test_the_store_lies_where_its_address_says(tmp_path: Path) -> None:
    async with open_store(settings(data=tmp_path, store={"url": f"sqlite:///{tmp_path}/elsewhere/x.db"})):
        assert (tmp_path / "elsewhere" / "x.db").exists()


@pytest.mark.parametrize("missing", ["asyncpg", "greenlet"])
def test_postgresql_without_its_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in [name for name in sys.modules if name.startswith("perdure.stores.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(ConfigError, match=missing) as caught:
        open_store(settings(data=tmp_path, store={"url": "postgresql://ann:secret@localhost/perdure"}))

    assert caught.value.hint == 'pip install "perdure[postgres]"'


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
async def test_the_store_is_in_the_database_that_the_address_names(tmp_path: Path, postgres_url: str, scheme: str) -> None:
    url = postgres_url.replace("postgresql:", f"{scheme}:")
    async with open_store(settings(data=tmp_path / "data", store={"url": url, "schema_name": "other"})) as store:
        await store.check()
        assert type(store).__name__ == "PostgresStore"

    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT to_regclass('other.message') IS NOT NULL")
    await connection.close()


async def test_the_store_does_without_what_its_database_cannot_do(tmp_path: Path, postgres_url: str) -> None:
    wanted = settings(data=tmp_path, store={"url": postgres_url, "without": ["sessions"], "pool": 3})
    async with open_store(wanted) as store:
        assert isinstance(store, PostgresStore)
        flags = store._engine.address.flags
        assert (flags.sessions, flags.listen, flags.advisory, flags.skip_locked) == (False, False, False, True)
        await store.check()


@pytest.mark.parametrize("url", ["mysql://ann:secret@localhost/perdure", "sqlite:///", "perdure.db", "postgresql://"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.url") as caught:
        open_store(settings(data=tmp_path, store={"url": url}))
    assert "secret" not in f"{caught.value} {caught.value.hint}"


async def test_the_address_may_be_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/elsewhere/x.db")
    async with open_store(settings(data=tmp_path, store={"url": "env:DATABASE_URL"})):
        assert (tmp_path / "elsewhere" / "x.db").exists()


async def test_the_embedded_model_is_always_there(tmp_path: Path) -> None:
    models = build_models(settings(data=tmp_path))
    assert isinstance(models.resolve(None).provider, LocalProvider)
    await models.aclose()


async def test_each_kind_of_provider_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-secret")
    rows = {
        "up": {"base_url": "http://127.0.0.1:1/v1", "models": ["m"]},
        "qwen": {"kind": "qwen", "api_key": "env:THE_KEY", "region": "cn"},
    }
    models = build_models(settings(data=tmp_path, providers=rows, models={"fast": {"provider": "up", "model": "m"}}, default_model="fast"))
    assert isinstance(models.resolve(None).provider, GenericProvider)
    assert models.resolve(None).lane == "up/m"
    assert isinstance(models.resolve("qwen/qwen-max").provider, QwenProvider)
    await models.aclose()


TWO = {"qwen": {"base_url": "http://127.0.0.1:1/v1", "accounts": {"two": "env:THE_KEY"}}, "gpu": {"base_url": "http://127.0.0.1:2/v1"}}


async def test_a_model_may_have_several_deployments_and_a_provider_several_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "sk-secret")
    deployments = [{"provider": "qwen@*", "model": "plus", "weight": 3}, {"provider": "gpu", "model": "32b", "priority": 1}]
    smart = {"deployments": deployments, "order": "weights", "on_context_length": "gpu/long", "hedge_percent": 2}
    models = build_models(settings(data=tmp_path, providers=TWO, models={"smart": smart}, default_model="smart"))
    found = models.deployments(None)
    assert [(one.lane, one.weight, one.priority) for one in found.targets] == [
        ("qwen/plus", 3, 0),
        ("qwen@two/plus", 3, 0),
        ("gpu/32b", 1, 1),
    ]
    assert (found.order.value, found.larger, found.other, found.hedge is not None) == ("weights", "gpu/long", None, True)
    assert models.several() == {"smart": ["qwen/plus", "qwen@two/plus", "gpu/32b"]}
    assert {models.resolve("smart").lane for _ in range(200)} == {"qwen/plus", "qwen@two/plus"}
    await models.aclose()


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"models": {"x": {"deployments": [{"provider": "nobody", "model": "m"}]}}}, "no provider"),
        ({"models": {"x": {"deployments": [{"provider": "qwen@three", "model": "m"}]}}}, "no provider"),
        ({"models": {"x": {"deployments": [{"provider": "gpu", "model": "m"}, {"provider": "gpu", "model": "m"}]}}}, "twice"),
        ({"models": {"a/b": {"deployments": [{"provider": "qwen@*", "model": "m"}]}}}, "slash|like that of one"),
        ({"models": {"x": {"provider": "gpu", "model": "m", "on_refusal": "nothing"}}}, "falls back"),
        ({"providers": {"a@b": {"base_url": "http://127.0.0.1:1/v1"}}}, "can be called"),
        ({"providers": {"a/b": {"base_url": "http://127.0.0.1:1/v1"}}}, "can be called"),
    ],
)
def test_deployments_that_cannot_be_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, Any], match: str) -> None:
    monkeypatch.setenv("THE_KEY", "sk-secret")
    with pytest.raises(ConfigError, match=match):
        build_models(settings(data=tmp_path, **{"providers": TWO} | parts))


@pytest.mark.parametrize(
    "alias", [{}, {"provider": "gpu"}, {"provider": "gpu", "model": "m", "deployments": [{"provider": "gpu", "model": "m"}]}]
)
def test_a_model_has_one_deployment_or_several(alias: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="it needs `provider` and `model`, or `deployments`"):
        settings(models={"x": alias})


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"kind": "generic"}, "base_url"),
        ({"kind": "generic", "base_url": "http://x/v1", "api_key": "env:NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE"),
    ],
)
def test_a_provider_that_lacks_something_is_refused(tmp_path: Path, row: dict[str, str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        build_models(settings(data=tmp_path, providers={"up": row}))


def test_without_agents_of_the_users_there_is_chat() -> None:
    assert list(load_app(None).agents) == ["chat"]


AGENTS = "from perdure import App, Run, agent\n@agent\nasync def one(run: Run) -> int:\n    return 1\napp = App([one])\n"


def test_agents_are_found_in_a_module_of_the_current_folder(folder: Path) -> None:
    (folder / "mine_one.py").write_text(AGENTS)
    assert sorted(load_app("mine_one:app").agents) == ["chat", "one"]
    assert sorted(load_app("mine_one").agents) == ["chat", "one"]


def test_agents_are_found_in_a_file(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "mine_two.py").write_text(AGENTS)
    assert sorted(load_app("deep/mine_two.py:app").agents) == ["chat", "one"]


def test_a_single_agent_is_an_app_too(folder: Path) -> None:
    (folder / "mine_three.py").write_text(AGENTS)
    assert sorted(load_app("mine_three:one").agents) == ["chat", "one"]


def test_a_users_own_chat_stands(folder: Path) -> None:
    (folder / "mine_four.py").write_text(AGENTS.replace("one", "chat"))
    assert load_app("mine_four").agents["chat"].description == ""


@pytest.mark.parametrize(
    ("source", "spec", "match"),
    [
        (None, "no_such_module_here:app", "no module"),
        ("import no_such_package_at_all", "mine_five", "no_such_package_at_all"),
        ("app = 1 / 0", "mine_six", "ZeroDivisionError"),
        ("def broken(:", "mine_seven", "SyntaxError"),
        ("app = 5", "mine_eight", "no app called 'app'"),
        ("", "mine_nine:agents", "no app called 'agents'"),
    ],
)
def test_agents_that_cannot_be_had_are_refused_with_a_reason(folder: Path, source: str | None, spec: str, match: str) -> None:
    if source is not None:
        (folder / f"{spec.partition(':')[0]}.py").write_text(source)
    with pytest.raises(ConfigError, match=match):
        load_app(spec)


async def test_a_worker_is_made_as_the_settings_say(tmp_path: Path) -> None:
    async with InMemoryStore() as store:
        models = build_models(settings(data=tmp_path))
        worker = build_worker(settings(data=tmp_path, worker={"slots": 3, "queues": ["mail"]}), store, models, load_app(None))
        assert (worker.card.slots, worker.card.queues) == (3, ["mail"])
        await models.aclose()


def test_limits_of_lanes_are_those_of_the_provider_or_the_models_own(tmp_path: Path) -> None:
    row = {"limits": {"rpm": 60, "at_once": 5}, "model_limits": {"large/one": {"tpm": 9000, "unsaid_tokens": 50}}}
    lanes = build_lanes(settings(data=tmp_path, providers={"up": row, "other": {"base_url": "http://x/v1"}}))
    assert lanes.of("up/small") == LaneLimits(rpm=60, at_once=5)
    assert lanes.of("up/large/one") == LaneLimits(tpm=9000, unsaid_tokens=50)
    assert lanes.of("other/small") is None
    assert lanes
    assert not build_lanes(settings(data=tmp_path))


async def test_qwens_switches_reach_the_wire_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setenv("THE_KEY", "sk-secret")
    with Upstream(reply=lambda body: asked.append(body) or "fine") as upstream:
        row = {"kind": "qwen", "api_key": "env:THE_KEY", "base_url": upstream.base_url, "enable_thinking": True, "thinking_budget": 64}
        models = build_models(settings(data=tmp_path, providers={"qwen": row}))
        target = models.resolve("qwen/qwen-plus")
        await target.provider.chat(target.request({"messages": [{"role": "user", "content": "hi"}]}))
        await models.aclose()
    assert (asked[0]["model"], asked[0]["enable_thinking"], asked[0]["thinking_budget"]) == ("qwen-plus", True, 64)


async def test_limits_in_the_settings_are_set_at_the_start_and_no_others_touched(tmp_path: Path) -> None:
    wanted = settings(data=tmp_path, limits={"tenant": {"acme": 3}, "key": {"mail": 1}})
    async with open_store(wanted) as store:
        await store.messages.set_limit(Limit(scope=Scope.QUEUE, name="slow", at_once=2))
        await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=9))
        await apply_limits(wanted, store)
        standing = {(one.limit.scope, one.limit.name): one.limit.at_once for one in await store.messages.limits()}
    assert standing == {("queue", "slow"): 2, ("tenant", "acme"): 3, ("key", "mail"): 1}


def test_prices_are_the_settings_own_then_those_of_where_providers_answer() -> None:
    prices = build_prices(
        settings(
            providers={
                "openai": {"kind": "generic"},
                "work": {"kind": "qwen", "workspace": "ws-1", "region": "intl"},
                "gpus": {"base_url": "http://127.0.0.1:8000/v1"},
                "small": {"kind": "local"},
            },
            prices={"gpus/*": {"input_usd": 1, "output_usd": 2}},
        )
    )
    used = Usage(calls=1, input_tokens=1_000_000, output_tokens=1_000_000)
    assert prices.cost_of(used, "gpus", "any") == 3
    assert prices.cost_of(used, "openai", "gpt-4o") == pytest.approx(12.5)
    assert prices.cost_of(used, "work", "qwen-max") == pytest.approx(8.0)
    assert [prices.cost_of(used, name, "smollm2") for name in ("small", "local")] == [0.0, 0.0]


def test_a_provider_that_took_the_name_of_the_embedded_one_is_not_free() -> None:
    prices = build_prices(settings(providers={"local": {"base_url": "http://127.0.0.1:8000/v1"}}))
    assert prices.price_of("local", "m") is None


def test_what_the_settings_keep_by_default_is_what_tidying_keeps_by_default() -> None:
    said = RetentionSettings().model_dump()
    assert Keep(**{name: None if kept == "forever" else kept for name, kept in said.items()}) == Keep()


def test_changes_cannot_go_before_whoever_waits_has_read_them() -> None:
    with pytest.raises(ValueError, match="changes_s"):
        settings(retention={"changes_s": 5})


async def test_a_brake_is_set_at_the_first_start_and_what_a_person_changed_stays(tmp_path: Path) -> None:
    async with InMemoryStore() as store:
        new = await apply_budgets(settings(data=tmp_path), store)
        assert [(one.scope, one.daily_usd) for one in new] == [("installation", 100.0), ("tenant", 50.0), ("key", 50.0)]
        await store.spending.set_budget(Budget(scope=BudgetScope.INSTALLATION, name="*", daily_usd=None))
        assert await apply_budgets(settings(data=tmp_path), store) == []
        [of_all, _, _] = await store.spending.budgets()
        assert (of_all.budget.name, of_all.budget.daily_usd) == ("*", None)


async def test_budgets_in_the_settings_are_set_at_each_start(tmp_path: Path) -> None:
    wanted = settings(data=tmp_path, budgets={"daily_usd": 7.0, "tenant_daily_usd": "none", "tenant": {"acme": 3.0}})
    async with InMemoryStore() as store:
        assert [one.scope for one in await apply_budgets(wanted, store)] == ["key"], "only what nobody has said is told"
        await store.spending.set_budget(Budget(scope=BudgetScope.INSTALLATION, name="*", daily_usd=9.0))
        await apply_budgets(wanted, store)
        standing = {(one.budget.scope.value, one.budget.name): one.budget.daily_usd for one in await store.spending.budgets()}
    assert standing == {("installation", "*"): 7.0, ("tenant", "*"): None, ("tenant", "acme"): 3.0, ("key", "*"): 50.0}


async def test_what_runs_fail_of_is_kept_with_the_tool_and_its_version(tmp_path: Path) -> None:
    @tool(version="v7")
    async def pay(order: int) -> None:
        raise ValueError(f"order {order} was refused")

    @agent
    async def shop(run: Run) -> None:
        await run.call(pay, order=run.body)

    wanted, ended, stop = settings(data=tmp_path), asyncio.Event(), asyncio.Event()
    gone = events.listen("message.dead", lambda *_: ended.set() if next(left) == 1 else None)
    left = iter((3, 2, 1))
    models = build_models(wanted)
    async with open_store(wanted) as store, errors_kept(wanted, store):
        worker = build_worker(wanted, store, models, App([shop]))
        working = asyncio.create_task(worker.run(stop))
        await worker.ready.wait()
        await store.messages.put([NewMessage(agent="shop", body=str(n).encode(), attempts=1) for n in range(3)])
        await asyncio.wait_for(ended.wait(), 20)
        stop.set()
        await working
    gone()
    await models.aclose()
    async with open_store(wanted) as store:
        [kept] = await store.errors.lines()
    assert (kept.count, kept.line.message, kept.line.code) == (3, "order <n> was refused", "tool-failed")
    assert (kept.line.agent, kept.line.tool, kept.line.tool_version) == ("shop", "pay", "v7")
    assert (kept.line.frame or "").endswith(" pay")
