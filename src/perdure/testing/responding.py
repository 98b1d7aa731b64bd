"""What a store promises of kept responses: written once, seen by their tenant alone, gone when they are to go."""

from __future__ import annotations

import pytest

from perdure.errors.base import NotFound
from perdure.messages.message import MessageId
from perdure.messages.responses import KeptResponse
from perdure.messages.retention import Keep
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.kit import Kit

__all__ = ["ResponseKit"]


def _kept(id: str = "resp_1", *, tenant: str = "default", message: int | None = None) -> KeptResponse:
    number = None if message is None else MessageId(message)
    return KeptResponse(id=id, tenant=tenant, said=b'{"said":"h\xc3\xb6ren"}', asked=b"[]", message=number)


class ResponseKit(Kit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and your store of responses is proved."""

    async def test_a_response_is_given_as_it_was_kept(self, store: Store) -> None:
        for kept in (_kept("resp_1"), _kept("resp_2", message=2**62)):
            await store.responses.keep(kept)
            assert await store.responses.get(kept.id, tenant="default") == kept
            assert await store.responses.get(kept.id, tenant=None) == kept

    async def test_what_is_kept_never_changes(self, store: Store) -> None:
        await store.responses.keep(_kept())
        await store.responses.keep(_kept(tenant="acme", message=7))
        assert await store.responses.get("resp_1", tenant=None) == _kept()

    async def test_a_response_is_one_tenants(self, store: Store) -> None:
        await store.responses.keep(_kept(tenant="acme"))
        for ask in (store.responses.get, store.responses.drop):
            with pytest.raises(NotFound):
                await ask("resp_1", tenant="default")
        assert (await store.responses.get("resp_1", tenant="acme")).tenant == "acme"

    async def test_a_response_that_is_dropped_is_gone(self, store: Store) -> None:
        await store.responses.keep(_kept("resp_1"))
        await store.responses.keep(_kept("resp_2"))
        await store.responses.drop("resp_1", tenant="default")
        await store.responses.drop("resp_2", tenant=None)
        for ask in (store.responses.get, store.responses.drop):
            with pytest.raises(NotFound):
                await ask("resp_1", tenant=None)

    async def test_responses_are_forgotten_in_time(self, store: Store, clock: FakeClock) -> None:
        for n in range(4):
            await store.responses.keep(_kept(f"resp_{n}"))
        clock.pass_by(seconds=50)
        await store.responses.keep(_kept("resp_young"))
        clock.pass_by(seconds=51)
        assert (await store.retention.tidy(Keep(responses_s=None), limit=3)).responses == 0
        first = await store.retention.tidy(Keep(responses_s=100.0), limit=3)
        assert (first.responses, first.more) == (3, True)
        assert (await store.retention.tidy(Keep(responses_s=100.0), limit=3)).responses == 1
        assert (await store.responses.get("resp_young", tenant=None)).id == "resp_young"
