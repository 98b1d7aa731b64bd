"""Every provider keeps the promises of `ChatProvider`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from perdure.providers.fetch import ensure_model
from perdure.providers.foreign import ForeignProvider
from perdure.providers.generic import GenericProvider
from perdure.providers.local import LocalProvider, stop_model
from perdure.providers.local_state import ModelState, Places, write_state
from perdure.providers.qwen import QwenProvider
from perdure.testing import FakeProvider, ProviderCase, ProviderKit, Upstream

KEY = "sk-never-to-be-seen-anywhere"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(api_key=KEY, models=("fake-1", "qwen-plus")) as running:
        yield running


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose model process is shared by the tests here."""
    ensure_model()
    folder = tmp_path_factory.mktemp("data")
    yield folder
    stop_model(folder)


class TestGeneric(ProviderKit):
    @pytest.fixture
    async def case(self, upstream: Upstream) -> AsyncIterator[ProviderCase]:
        provider = GenericProvider("mine", base_url=upstream.base_url, api_key=KEY, models=["fake-1"], timeout_s=30)
        yield ProviderCase(provider=provider, script=upstream.script, asked=upstream.bodies, secret=KEY, echoes=True)
        await provider.aclose()


class TestQwen(ProviderKit):
    @pytest.fixture
    async def case(self, upstream: Upstream) -> AsyncIterator[ProviderCase]:
        provider = QwenProvider("qwen", base_url=upstream.base_url, api_key=KEY, models=["qwen-plus"], timeout_s=30)
        yield ProviderCase(
            provider=provider,
            model="qwen-plus",
            dialect="dashscope",
            script=upstream.script,
            asked=upstream.bodies,
            secret=KEY,
            echoes=True,
        )
        await provider.aclose()


class TestFake(ProviderKit):
    @pytest.fixture
    async def case(self) -> ProviderCase:
        provider = FakeProvider()
        return ProviderCase(provider=provider, script=provider.script, asked=lambda: provider.calls, echoes=True)


class TestLocal(ProviderKit):
    """Answers of the embedded model itself; failures of its provider, which then finds the fault server in the model's place."""

    @pytest.fixture
    async def case(self, data: Path) -> AsyncIterator[ProviderCase]:
        provider = LocalProvider(data=data, timeout_s=120)
        yield ProviderCase(provider=provider, model="smollm2", more={"temperature": 0, "max_tokens": 48})
        await provider.aclose()

    @pytest.fixture
    async def staged(self, upstream: Upstream, tmp_path: Path) -> AsyncIterator[ProviderCase]:
        places = Places(tmp_path)
        places.run.mkdir(mode=0o700)
        write_state(places.state, ModelState(os.getpid(), upstream.base_url.removesuffix("/v1"), KEY, "smollm2"))
        provider = LocalProvider(data=tmp_path, timeout_s=30)
        yield ProviderCase(
            provider=provider, model="smollm2", dialect="llamacpp", script=upstream.script, asked=upstream.bodies, secret=KEY
        )
        await provider.aclose()


class Parrot:
    """The three methods, and nothing of ours."""

    def generate(self, prompt: str, system_prompt: str) -> str | None:
        if "get_weather" in system_prompt:
            return '{"name": "get_weather", "arguments": {"city": "Paris"}}'
        return '{"city": "Paris"}' if "JSON" in prompt + system_prompt else f"you said: {prompt}"

    def get_metrics(self) -> dict[str, object]:
        return {}

    def validate(self) -> bool:
        return True


class TestForeign(ProviderKit):
    """Any object with the three methods: what it answers; it has no wire that could break."""

    @pytest.fixture
    async def case(self) -> ProviderCase:
        return ProviderCase(
            provider=ForeignProvider("parrot", Parrot(), models=["fake-1"]), skills=frozenset({"tools", "forced-tools", "schema"})
        )

    @pytest.fixture
    async def staged(self) -> ProviderCase:
        pytest.skip("it speaks no wire")
