"""A real HTTP upstream for every test that wants one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from perdure.testing.upstream import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running
