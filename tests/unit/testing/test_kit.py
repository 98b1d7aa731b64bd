"""Nobody bends a kit quietly."""

import pytest

from perdure.testing import JournalKit, KeyStoreKit, MemoryKit, MessageStoreKit, WorkerRegistryKit
from perdure.testing.kit import Kit, bent_tests


class Promise(Kit, standard=True):
    async def test_it_keeps_what_it_was_given(self) -> None: ...

    async def test_it_forgets_what_it_is_told_to(self) -> None: ...


def test_a_kit_may_be_subclassed_with_more_tests() -> None:
    class Store(Promise):
        async def test_something_of_its_own(self) -> None: ...

    assert bent_tests(Store) == []


def test_overriding_a_standard_test_without_a_reason_fails() -> None:
    with pytest.raises(TypeError, match="test_it_forgets_what_it_is_told_to"):

        class Store(Promise):
            async def test_it_forgets_what_it_is_told_to(self) -> None: ...


def test_an_xfail_needs_words() -> None:
    with pytest.raises(TypeError):

        class Store(Promise):
            @pytest.mark.xfail
            async def test_it_forgets_what_it_is_told_to(self) -> None: ...


def test_a_skip_is_no_excuse() -> None:
    with pytest.raises(TypeError):

        class Store(Promise):
            @pytest.mark.skip(reason="not today")
            async def test_it_forgets_what_it_is_told_to(self) -> None: ...


def test_a_test_cannot_be_taken_away() -> None:
    with pytest.raises(TypeError):

        class Store(Promise):
            test_it_keeps_what_it_was_given = None


def test_a_test_cannot_be_shadowed_from_beside() -> None:
    class Beside:
        async def test_it_keeps_what_it_was_given(self) -> None: ...

    with pytest.raises(TypeError):

        class Store(Beside, Promise):
            pass


def test_a_grandchild_cannot_bend_it_either() -> None:
    class Store(Promise):
        pass

    with pytest.raises(TypeError):

        class Faster(Store):
            async def test_it_keeps_what_it_was_given(self) -> None: ...


def test_a_reason_in_the_open_is_accepted() -> None:
    class Store(Promise):
        @pytest.mark.xfail(reason="our disk forgets nothing: issue 7")
        async def test_it_forgets_what_it_is_told_to(self) -> None: ...

    assert bent_tests(Store) == []


@pytest.mark.parametrize("kit", [MessageStoreKit, WorkerRegistryKit, JournalKit, MemoryKit, KeyStoreKit])
def test_our_own_kits_stand_under_the_rule(kit: type[Kit]) -> None:
    name = next(name for name in dir(kit) if name.startswith("test"))
    with pytest.raises(TypeError, match=name):
        type("Bent", (kit,), {name: lambda self: None})
