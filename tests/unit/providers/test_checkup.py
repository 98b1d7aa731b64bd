"""Whether a provider can be used is said as data: reachable, key good, models there, how fast."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.errors.base import Category
from perdure.providers.checkup import checkup_of
from perdure.providers.foreign import ForeignProvider
from perdure.providers.generic import GenericProvider
from perdure.testing.upstream import Fault, Upstream


def facts(found: Any) -> tuple[Any, ...]:
    return (found.ok, found.reachable, found.key_good, found.models_there)


async def checked(upstream: Upstream, **more: Any) -> Any:
    provider = GenericProvider("mine", **{"base_url": upstream.base_url, "models": ["fake-1"], **more})
    try:
        return await checkup_of(provider)
    finally:
        await provider.aclose()


async def test_one_that_can_be_used(upstream: Upstream) -> None:
    found = await checked(upstream)
    assert facts(found) == (True, True, True, True)
    assert (found.provider, found.error) == ("mine", None)
    assert 0 < found.latency_s < 20
    assert facts(await checked(upstream, models=[])) == (True, True, True, None)


async def test_each_thing_that_is_wrong_is_told_apart(upstream: Upstream) -> None:
    assert facts(await checked(upstream, models=["fake-9"])) == (False, True, True, False)
    assert facts(await checked(upstream, base_url="http://127.0.0.1:9/v1")) == (False, False, None, None)
    upstream.models_status = 503
    assert facts(await checked(upstream)) == (False, True, None, None)
    upstream.api_key = "right"
    found = await checked(upstream, api_key="wrong")
    assert facts(found) == (False, True, False, None)
    assert found.error.category is Category.AUTH
    assert found.error.hint


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_where_no_models_are_listed_one_token_is_asked_for(upstream: Upstream, status: int) -> None:
    upstream.models_status = status
    assert facts(await checked(upstream)) == (True, True, True, True)
    assert upstream.requests[0].body["max_tokens"] == 1
    assert not (await checked(upstream, models=[])).ok, "and if none is declared, nothing can be found out"


async def test_a_list_that_anybody_gets_proves_no_key(upstream: Upstream) -> None:
    upstream.script(Fault("status", 401, body={"error": {"message": "no", "code": 401}}))
    found = await checked(upstream, dialect="openrouter")
    assert facts(found) == (False, True, False, None)
    assert upstream.count() == 1


async def test_validate_is_the_same_in_one_word(upstream: Upstream) -> None:
    provider = GenericProvider("mine", base_url=upstream.base_url, models=["fake-9"])
    assert await provider._validate() is False
    assert "fake-9" in str(provider.problem)
    await provider.aclose()


async def test_a_stranger_is_asked_in_its_own_way() -> None:
    class No:
        def generate(self, prompt: str, system_prompt: str) -> str | None:
            return None

        def get_metrics(self) -> dict[str, Any]:
            return {}

        def validate(self) -> bool:
            return False

    found = await checkup_of(ForeignProvider("no", No()))
    assert (found.ok, found.reachable) == (False, None)

    class Bare:
        name = "bare"

        async def models(self) -> list[str]:
            return ["m"]

        async def check(self) -> None:
            raise ZeroDivisionError("in a stranger's code")

    found = await checkup_of(Bare())  # type: ignore[arg-type]
    assert (found.ok, found.reachable) == (False, None)
    assert found.error is not None
    assert "in a stranger's code" in found.error.message
    del Bare.check
    assert (await checkup_of(Bare())).ok  # type: ignore[arg-type]
