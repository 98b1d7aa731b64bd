"""The table of moves is complete and says one thing."""

import itertools

import pytest

from perdure.errors.base import Conflict
from perdure.messages.message import BIRTHS, ENDS, MOVES, Move, State, after


def reachable(start: frozenset[State]) -> set[State]:
    seen, fresh = set(start), set(start)
    while fresh:
        fresh = {there for here in fresh for there in MOVES[here].values()} - seen
        seen |= fresh
    return seen


def test_every_state_has_a_row() -> None:
    assert set(MOVES) == set(State)


def test_every_state_can_be_reached() -> None:
    assert reachable(BIRTHS) == set(State)


def test_every_move_is_possible_somewhere() -> None:
    assert {move for row in MOVES.values() for move in row} == set(Move)


def test_from_everywhere_there_is_a_way_to_an_end() -> None:
    for state in State:
        assert reachable(frozenset({state})) & ENDS


def test_ends_have_no_way_out_but_another_life() -> None:
    assert {state: set(MOVES[state]) for state in ENDS} == {
        State.DONE: set(),
        State.DEAD: {Move.REVIVE, Move.RECALL},
        State.CANCELLED: set(),
    }


def test_nothing_is_born_into_an_end_or_a_workers_hands() -> None:
    assert not BIRTHS & (ENDS | {State.LEASED})


def test_no_move_stands_still() -> None:
    assert all(there is not here for here, row in MOVES.items() for there in row.values())


def test_a_move_leads_to_the_same_place_from_everywhere() -> None:
    for move in Move:
        assert len({row[move] for row in MOVES.values() if move in row}) == 1, move


def test_only_what_is_ready_can_be_leased() -> None:
    assert [state for state in State if Move.LEASE in MOVES[state]] == [State.READY]


def test_whatever_has_not_ended_can_be_called_off_and_given_up() -> None:
    for state in set(State) - ENDS:
        assert {Move.CANCEL, Move.BURY} <= set(MOVES[state]), state


def test_nothing_waits_for_ever_without_a_way_back() -> None:
    for state in (State.LATER, State.HELD, State.WAITING):
        assert State.READY in MOVES[state].values()


def test_what_is_not_possible_is_said_in_english() -> None:
    with pytest.raises(Conflict, match="a message that is 'done' cannot be cancelled"):
        after(State.DONE, Move.CANCEL)
    for move in Move:
        with pytest.raises(Conflict, match=r"that is 'cancelled' cannot (be|become|wait) "):
            after(State.CANCELLED, move)


@pytest.mark.parametrize(("state", "move"), list(itertools.product(State, Move)), ids=str)
def test_after_says_what_the_table_says(state: State, move: Move) -> None:
    if move in MOVES[state]:
        assert after(state, move) is MOVES[state][move]
    else:
        with pytest.raises(Conflict, match=state.value) as refused:
            after(state, move)
        assert refused.value.hint
