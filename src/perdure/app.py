"""Wiring: settings in, running parts out. The only file below cli/ and testing/ that names concrete classes."""

from __future__ import annotations

import asyncio
import difflib
import importlib
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType

from perdure.agents.agent import Agent
from perdure.agents.chat import chat
from perdure.agents.configured import ConfiguredAgent
from perdure.agents.registry import App
from perdure.clock import Clock, SystemClock
from perdure.config.secrets import reveal
from perdure.config.settings import AgentSettings, ProviderSettings, RetentionSettings, Settings
from perdure.errors.base import ConfigError
from perdure.errors.handler import handler
from perdure.messages.limits import Limit, Scope
from perdure.messages.retention import Keep
from perdure.messages.retry import Backoff
from perdure.messages.spending import EACH, Budget, BudgetScope
from perdure.monitor.gathering import Gathering
from perdure.monitor.measuring import Measuring
from perdure.monitor.sentry import SentrySink
from perdure.monitor.telemetry import TelemetrySink
from perdure.monitor.webhook import WebhookSink
from perdure.providers.arranging import arranged, with_accounts
from perdure.providers.generic import GenericProvider
from perdure.providers.kinds import address_of, make_provider
from perdure.providers.lane_limits import LaneLimits, LaneTable
from perdure.providers.local import LocalProvider
from perdure.providers.models import Models
from perdure.providers.others import OtherProvider
from perdure.providers.own_rules import own_rules
from perdure.providers.prices import OwnPrice, Prices
from perdure.providers.target import base_of
from perdure.stores.postgres.flags import flags_without
from perdure.stores.sqlite.store import SqliteStore
from perdure.stores.sqlite.upkeep import SqliteUpkeep
from perdure.stores.store import Store
from perdure.stores.upkeep import Upkeep
from perdure.tools.tool import Tool
from perdure.worker.duties import rounds
from perdure.worker.lanes import Circuit
from perdure.worker.watch import Looks, Watch
from perdure.worker.worker import Worker

__all__ = [
    "apply_budgets",
    "apply_limits",
    "build_circuit",
    "build_lanes",
    "build_models",
    "build_prices",
    "build_sinks",
    "build_worker",
    "errors_kept",
    "load_app",
    "open_store",
    "open_upkeep",
]

_AGENT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,127}")
_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql", "postgres")


def open_store(settings: Settings, *, clock: Clock | None = None) -> Store:
    """Make the store that the settings name; `async with` opens it.

    Args:
        settings (Settings): Its address, or the data folder.
        clock (Clock | None): The store's time; None for the machine's.

    Returns:
        Store: Not yet open.

    Raises:
        ConfigError: The address is none, its secret cannot be found, or PostgreSQL's extra is not installed.
    """
    address = _address(settings)
    if isinstance(address, str):
        return _in_postgres(address, settings, clock)
    _make_folder(address.parent)
    return SqliteStore(
        address,
        clock=clock or SystemClock(),
        synchronous=settings.store.synchronous,
        wait_s=settings.store.wait_s,
        run_dir=settings.data / "run",
    )


async def apply_limits(settings: Settings, store: Store) -> None:
    """Set the limits that the settings name, unless they stand already; others stay as they are.

    Args:
        settings (Settings): With `[limits]`.
        store (Store): Open.
    """
    wanted = [
        Limit(scope=Scope(scope), name=name, at_once=at_once)
        for scope, limits in settings.limits.model_dump().items()
        for name, at_once in limits.items()
    ]
    standing = [one.limit for one in await store.messages.limits()] if wanted else []
    for limit in wanted:
        if limit not in standing:
            await store.messages.set_limit(limit)


async def apply_budgets(settings: Settings, store: Store) -> list[Budget]:
    """Set the budgets that the settings name, and at the first start those they do not name.

    Args:
        settings (Settings): With `[budgets]`.
        store (Store): Open.

    Returns:
        list[Budget]: What is new because nobody had said anything, to be told.
    """
    said = settings.budgets
    each = {"daily_usd": BudgetScope.INSTALLATION, "tenant_daily_usd": BudgetScope.TENANT, "key_daily_usd": BudgetScope.KEY}
    wanted = [(scope, EACH, getattr(said, name), name in said.model_fields_set) for name, scope in each.items()]
    wanted += [(BudgetScope.TENANT, name, usd, True) for name, usd in said.tenant.items()]
    wanted += [(BudgetScope.KEY, name, usd, True) for name, usd in said.key.items()]
    standing = {(one.budget.scope, one.budget.name): one.budget for one in await store.spending.budgets()}
    new = []
    for scope, name, usd, meant in wanted:
        budget = Budget(scope=scope, name=name, daily_usd=None if usd == "none" else usd)
        if standing.get((scope, name)) == budget or (not meant and (scope, name) in standing):
            continue
        await store.spending.set_budget(budget)
        new += [] if meant else [budget]
    return new


def open_upkeep(settings: Settings) -> Upkeep:
    """Make what looks after the store that the settings name: upgrades, copies.

    Args:
        settings (Settings): Its address, or the data folder.

    Returns:
        Upkeep: It opens nothing before it is told to.

    Raises:
        ConfigError: As for `open_store`.
    """
    address = _address(settings)
    if isinstance(address, str):
        with _extra("postgres", "asyncpg", "greenlet"):
            from perdure.stores.postgres.upkeep import PostgresUpkeep  # late: it imports asyncpg
        flags = flags_without(settings.store.without)
        return PostgresUpkeep(address, folder=settings.data, schema=settings.store.schema_name, flags=flags)
    return SqliteUpkeep(address, run_dir=settings.data / "run")


def build_models(settings: Settings) -> Models:
    """Make the providers, and the table that finds one for a model's name.

    The embedded model is always among them, as `local`.

    Args:
        settings (Settings): Its `providers`, `models` and `default_model`.

    Returns:
        Models: Close it at the end.

    Raises:
        ConfigError: A provider lacks its address, or its key cannot be found.
    """
    rows = dict(with_accounts({"local": ProviderSettings(kind="local"), **settings.providers}))
    providers = {name: make_provider(name, row, data=settings.data) for name, row in rows.items()}
    for name, provider in providers.items():
        if isinstance(provider, GenericProvider | OtherProvider):
            provider.judge_by(own_rules(settings.errors.rules, provider=base_of(name), dialect=provider.dialect))
    aliases = {name: arranged(name, alias, providers) for name, alias in settings.models.items()}
    return Models(providers, aliases, settings.default_model)


def build_prices(settings: Settings) -> Prices:
    """Make what knows the prices of the providers' models.

    Args:
        settings (Settings): Its `prices` and `providers`.

    Returns:
        Prices: The settings' own, before those that are published.
    """
    own = {name: OwnPrice(**price.model_dump()) for name, price in settings.prices.items()}
    addresses = {name: address for name, row in settings.providers.items() if (address := address_of(name, row))}
    free = {name for name, row in settings.providers.items() if row.kind == "local"}
    return Prices(own, addresses, free=frozenset(free | {"local"} - set(settings.providers)))


def build_sinks(settings: Settings) -> list[WebhookSink | SentrySink | TelemetrySink]:
    """Make whoever the settings want to be told of errors.

    Args:
        settings (Settings): Its `errors`.

    Returns:
        list[WebhookSink | SentrySink | TelemetrySink]: Each has `take` and `close`.

    Raises:
        ConfigError: A secret cannot be found, or an extra is not installed.
    """
    wanted, sinks = settings.errors, list[WebhookSink | SentrySink | TelemetrySink]()
    if wanted.webhook is not None:
        url = reveal(wanted.webhook.url) or ""
        sinks.append(WebhookSink(url, reveal(wanted.webhook.secret) or "", inside=wanted.webhook.inside))
    if wanted.sentry is not None:
        sinks.append(SentrySink(reveal(wanted.sentry.dsn) or "", environment=wanted.sentry.environment))
    if wanted.otel:
        sinks.append(TelemetrySink())
    return sinks


@asynccontextmanager
async def errors_kept(settings: Settings, store: Store, clock: Clock | None = None) -> AsyncIterator[None]:
    """Have this process's errors and calls counted in the store, and errors told to whom the settings want, for as long as it lives.

    Args:
        settings (Settings): Its `errors`.
        store (Store): Open.
        clock (Clock | None): The store's time; None for the machine's.

    Yields:
        None: While they are.

    Raises:
        ConfigError: As for `build_sinks`.
    """
    sinks = build_sinks(settings)
    stops = [handler().add(sink) for sink in sinks]
    gathering = Gathering(store.errors, clock)
    gathering.begin(handler())
    measuring = Measuring(store.measures)
    measuring.begin()
    writing = {asyncio.create_task(rounds(what, one)) for what, one in (("noting errors", gathering.write), ("measuring", measuring.write))}
    try:
        yield
    finally:
        for task in writing:
            task.cancel()
        await asyncio.wait(writing)
        await gathering.end()
        await measuring.end()
        for stop in stops:
            stop()
        await asyncio.gather(*(asyncio.to_thread(sink.close) for sink in sinks))


def build_circuit(settings: Settings) -> Circuit:
    """Say when a lane counts as down.

    Args:
        settings (Settings): Its `worker`.

    Returns:
        Circuit: The same for workers and for the server's own calls.
    """
    wanted = settings.worker
    return Circuit(failures=wanted.circuit_failures, rest_s=wanted.circuit_rest_s, longest_rest_s=wanted.circuit_longest_rest_s)


def build_lanes(settings: Settings) -> LaneTable:
    """Gather the limits of providers' lanes.

    Args:
        settings (Settings): Its `providers`.

    Returns:
        LaneTable: Who has none is not in it.
    """
    rows = settings.providers
    return LaneTable(
        {name: LaneLimits(**row.limits.model_dump()) for name, row in rows.items() if row.limits is not None},
        {f"{name}/{model}": LaneLimits(**own.model_dump()) for name, row in rows.items() for model, own in row.model_limits.items()},
    )


def load_app(spec: str | None, configured: Mapping[str, AgentSettings] | None = None) -> App:
    """Find the user's agents, and add those that the settings describe and the built-in one, `chat`.

    Args:
        spec (str | None): `my_module:app` or `path/to/agents.py:app`; the name after the colon is that
            of an `App`, or of a single agent, and `app` if there is none. None for no agents of the user's.
        configured (Mapping[str, AgentSettings] | None): Agents without code, by name.

    Returns:
        App: A worker's agents.

    Raises:
        ConfigError: It cannot be imported, or there is no such thing in it.
    """
    users = App(name="perdure") if spec is None else _imported(spec)
    app = App(users.agents.values(), name=users.name)
    for name, wanted in (configured or {}).items():
        if not _AGENT_NAME.fullmatch(name):
            raise ConfigError(
                f"an agent cannot be called {name!r}", hint="Use letters, digits and `_ . : -`; begin with a letter, digit or `_`."
            )
        app.add(ConfiguredAgent(name, wanted, [_tool(name, one) for one in wanted.tools]))
    if chat.name not in app.agents:
        app.add(chat)
    return app


def build_worker(
    settings: Settings,
    store: Store,
    models: Models,
    app: App,
    *,
    quarantine: bool = False,
    isolate: Sequence[str] | None = None,
    prices: Prices | None = None,
    clock: Clock | None = None,
) -> Worker:
    """Make a worker.

    Args:
        settings (Settings): Its `worker` and `queue`.
        store (Store): Open.
        models (Models): Who answers prompts.
        app (App): The agents.
        quarantine (bool): Work quarantined messages only, and end when none is left.
        isolate (Sequence[str] | None): The command that starts a quarantine process.
        prices (Prices | None): What calls cost; None for those of the settings and what is published.
        clock (Clock | None): The store's time; None for the machine's.

    Returns:
        Worker: `run` lets it live.
    """
    wanted = settings.worker
    return Worker(
        store,
        app,
        models,
        slots=wanted.slots,
        threads=wanted.threads,
        grace_s=wanted.grace_s,
        park_after_s=wanted.park_after_s,
        dead_after_s=wanted.dead_after_s,
        queues=wanted.queues,
        quarantine=quarantine,
        isolate=isolate,
        backoff=Backoff(base_s=settings.queue.backoff_base_s, cap_s=settings.queue.backoff_cap_s),
        keep=_keep(settings.retention),
        circuit=build_circuit(settings),
        prices=prices or build_prices(settings),
        lanes=build_lanes(settings),
        watch=_watch(settings, store, models),
        clock=clock,
    )


def _watch(settings: Settings, store: Store, models: Models) -> Watch | None:
    """The embedded model is nobody to watch: it is started by whoever asks it, and is no provider that could be away."""
    wanted = settings.health
    watched = {name: one for name, one in models.providers.items() if not isinstance(one, LocalProvider)}
    if wanted.every_s == "off" or not watched:
        return None
    return Watch(store.health, watched, Looks(every_s=wanted.every_s, timeout_s=wanted.timeout_s, paid=wanted.paid))


def _address(settings: Settings) -> Path | str:
    """A file, or the address of a PostgreSQL database, whatever driver it names."""
    url = reveal(settings.store.url)
    if url is None:
        return settings.data / "perdure.db"
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] in _POSTGRES and rest:
        return f"postgresql://{rest}"
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return Path(url.removeprefix(_SQLITE))
    what = f"`store.url` begins with {scheme[:20]!r}, which is no store"
    raise ConfigError(what, hint="Write `postgresql://…` or `sqlite:///path/to/perdure.db`.")


def _in_postgres(url: str, settings: Settings, clock: Clock | None) -> Store:
    with _extra("postgres", "asyncpg", "greenlet"):
        from perdure.stores.postgres.store import PostgresStore  # late: it imports asyncpg
    _make_folder(settings.data)
    wanted = settings.store
    flags = flags_without(wanted.without)
    return PostgresStore(url, clock=clock, wait_s=wanted.wait_s, pool=wanted.pool, schema=wanted.schema_name, flags=flags)


@contextmanager
def _extra(name: str, *libraries: str) -> Iterator[None]:
    """Say which extra is missing if what it brings is."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in libraries:
            raise
        what = f"a store in PostgreSQL needs {error.name!r}, which is not installed"
        raise ConfigError(what, hint=f'pip install "perdure[{name}]"') from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"there can be no folder {str(folder)!r}: {error.strerror or error}"
        raise ConfigError(what, hint="Name one that you may write to: --data, or PERDURE_DATA.") from error


def _keep(wanted: RetentionSettings) -> Keep:
    kept = {name: None if period == "forever" else period for name, period in wanted.model_dump().items()}
    return Keep(**kept)


def _tool(agent: str, spec: str) -> Tool:
    place, _, attribute = spec.partition(":")
    module = _module(place)
    known = sorted(name for name, value in vars(module).items() if isinstance(value, Tool))
    found = getattr(module, attribute, None)
    if isinstance(found, Tool):
        return found
    near = difflib.get_close_matches(attribute, known, n=1)
    hint = f"Did you mean '{place}:{near[0]}'?" if near else f"Tools there: {', '.join(known) or 'none; put `@tool` above a function'}."
    raise ConfigError(f"`agents.{agent}.tools`: {spec!r} is no tool", hint=hint)


def _imported(spec: str) -> App:
    place, _, attribute = spec.partition(":")
    module = _module(place)
    found = getattr(module, attribute or "app", None)
    if isinstance(found, Agent):
        return App([found], name=module.__name__)
    if isinstance(found, App):
        return found
    raise ConfigError(f"{place!r} has no app called {attribute or 'app'!r}", hint="Write `app = App(agents=[...])` in it.")


def _module(place: str) -> ModuleType:
    module = _module_name(place)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise ConfigError(f"{place!r} imports {error.name!r}, which is not installed") from error
        raise ConfigError(f"there is no module {place!r}", hint=f"Looked in {Path.cwd()} and the installed packages.") from error
    except Exception as error:
        what = f"{place!r} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(what, hint="Import it in Python to see where.") from error


def _module_name(place: str) -> str:
    """A file is imported as a module from its folder, so that it is found by the same name in every process."""
    folder, name = (Path(place).resolve().parent, Path(place).stem) if place.endswith(".py") else (Path.cwd(), place)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return name
