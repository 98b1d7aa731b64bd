"""Proves a provider of the settings with the provider kit, and tells how each test ended.

The first part asks the real endpoint. For the second, a provider of the same kind and dialect is pointed at a
fault server on this machine: what it does with errors can be seen without waiting for the endpoint to have any.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from pydantic import SecretStr

from perdure.cli.words import clean, print_json, say
from perdure.config.settings import ProviderSettings, Settings
from perdure.errors.base import ConfigError
from perdure.providers.kinds import make_provider
from perdure.providers.local_state import ModelState, Places, write_state
from perdure.providers.protocol import ChatProvider
from perdure.providers.row import Row
from perdure.testing.case import ALL_SKILLS, ProviderCase
from perdure.testing.conformance import Outcome, run_conformance
from perdure.testing.upstream import Upstream

__all__ = ["prove"]

_KEY = "not-a-key-but-a-word-that-must-not-be-repeated"


def prove(name: str, row: ProviderSettings, settings: Settings, *, as_json: bool) -> bool:
    """Run the kit and tell.

    Args:
        name (str): Of the provider.
        row (ProviderSettings): What the settings say.
        settings (Settings): For the data folder.
        as_json (bool): Print one JSON object at the end instead of a line for each test.

    Returns:
        bool: True if every test passed.

    Raises:
        ConfigError: No model is named, and the provider lists none.
    """
    outcomes = asyncio.run(_run(name, row, settings, quiet=as_json))
    failed = [one for one in outcomes if not one.passed]
    if as_json:
        counts = {"provider": name, "passed": len(outcomes) - len(failed), "failed": len(failed)}
        print_json({**counts, "tests": msgspec.to_builtins(outcomes)})
    else:
        print(f"{name}: {len(outcomes) - len(failed)} of {len(outcomes)} hold")
    return not failed


async def _run(name: str, row: ProviderSettings, settings: Settings, *, quiet: bool) -> list[Outcome]:
    provider = make_provider(name, row, data=settings.data)
    try:
        model = await _first_model(name, provider)
        told = None if quiet else _tell
        case = ProviderCase(provider=provider, model=model, dialect=_dialect(provider), skills=_skills(provider))
        async with _staged(name, row, model, provider) as staged:
            return await run_conformance(case=case, staged=staged, told=told)
    finally:
        await provider.aclose()


async def _first_model(name: str, provider: ChatProvider) -> str:
    found = list(getattr(provider, "declared", ())) or await provider.models()
    if not found:
        raise ConfigError(f"{name!r} names no model", hint=f"Set `providers.{name}.models`.")
    return str(found[0])


def _skills(provider: ChatProvider) -> frozenset[str]:
    """By its row: what an endpoint does not keep, its provider has to refuse."""
    row: Row | None = getattr(provider, "row", None)
    if row is None or not getattr(provider, "native_tools", True):
        return ALL_SKILLS
    missing = set() if {"function", "required"} & set(row.choices) else {"forced-tools"}
    return ALL_SKILLS - missing - (set() if "json_schema" in row.formats else {"schema"})


def _dialect(provider: ChatProvider) -> str | None:
    dialect: str | None = getattr(provider, "dialect", None)
    return dialect


@asynccontextmanager
async def _staged(name: str, row: ProviderSettings, model: str, provider: ChatProvider) -> AsyncIterator[ProviderCase | None]:
    """The same provider, at a server that fails when told to; None for kinds that we cannot point anywhere."""
    if row.kind not in {"generic", "qwen", "local"}:
        say("its wire is not ours, so nothing here can break it: the failures are left out")
        yield None
        return
    with Upstream(models=(model,), api_key=_KEY) as upstream, tempfile.TemporaryDirectory() as folder:
        other = _elsewhere(name, row, upstream, Path(folder), provider)
        facts: dict[str, Any] = {"model": model, "script": upstream.script, "asked": upstream.bodies, "secret": _KEY}
        dialect = "llamacpp" if row.kind == "local" else _dialect(other)
        yield ProviderCase(provider=other, dialect=dialect, skills=_skills(other), echoes=True, **facts)
        await other.aclose()


def _elsewhere(name: str, row: ProviderSettings, upstream: Upstream, folder: Path, provider: ChatProvider) -> ChatProvider:
    if row.kind == "local":
        places = Places(folder)
        places.run.mkdir(mode=0o700, parents=True)
        model = str(getattr(provider, "declared", ("smollm2",))[0])
        write_state(places.state, ModelState(os.getpid(), upstream.base_url.removesuffix("/v1"), _KEY, model))
        return make_provider(name, row, data=folder)
    dialect = getattr(getattr(provider, "row", None), "name", row.dialect)
    there = {"base_url": upstream.base_url, "dialect": dialect, "api_key": SecretStr(_KEY), "timeout_s": 30.0, "background": False}
    return make_provider(name, row.model_copy(update={**there, "context_tokens": None}), data=folder)


def _tell(outcome: Outcome) -> None:
    sentence = outcome.name.removeprefix("test_").replace("_", " ")
    print(f"{'ok    ' if outcome.passed else 'FAILED'}  {sentence}  ({outcome.seconds:.1f} s)")
    if outcome.why:
        print("        " + clean(outcome.why)[:2000].replace("\n", "\n        "))
