"""What a database cannot do is said, not found out."""

from perdure.stores.postgres.flags import ALL_OFF, Flags


def test_without_sessions_there_is_nothing_that_belongs_to_one() -> None:
    settled = Flags(sessions=False).settled()
    assert (settled.advisory, settled.listen, settled.skip_locked, settled.xids) == (False, False, True, True)


def test_what_is_consistent_stays_as_it_is() -> None:
    assert Flags().settled() == Flags()
    assert ALL_OFF.settled() == ALL_OFF


def test_all_off_leaves_nothing_on() -> None:
    assert not any(getattr(ALL_OFF, name) for name in Flags.__struct_fields__)
