"""The provider kit: one suite that proves whoever answers prompts.

Subclass it, give the fixture `case`, and your provider is proved. If it can be made to fail - because it speaks
OpenAI's wire and was pointed at `Upstream` - the same case serves for the failures; else give `staged` too:

    class TestMine(ProviderKit):
        @pytest.fixture
        async def case(self) -> AsyncIterator[ProviderCase]:
            with Upstream() as upstream:
                provider = MyProvider("mine", base_url=upstream.base_url)
                yield ProviderCase(provider=provider, script=upstream.script, asked=upstream.bodies, echoes=True)
                await provider.aclose()
"""

from __future__ import annotations

import pytest

from perdure.testing.answering import Answering
from perdure.testing.breaking import Breaking
from perdure.testing.case import ProviderCase
from perdure.testing.kit import Kit

__all__ = ["ProviderKit"]


class ProviderKit(Answering, Breaking, Kit, standard=True):
    """Answers and failures of one provider."""

    @pytest.fixture
    async def staged(self, case: ProviderCase) -> ProviderCase:
        """Give the provider where it can be made to fail.

        Args:
            case (ProviderCase): Where it answers.

        Returns:
            ProviderCase: The same, unless a subclass has another.
        """
        return case
