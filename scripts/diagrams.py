"""Draw the diagrams that come from code, between their markers in the docs.

The life of a message comes from `MOVES`, the house from the layers contract in `pyproject.toml`.
`--check` writes nothing and fails when a page is behind the code.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from perdure.messages.message import BIRTHS, ENDS, HELD_INSTEAD, MOVES, State

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"


def life_of_a_message() -> str:
    """The states and moves of a message as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state.value}: put" for state in sorted(BIRTHS)]
    for state, moves in MOVES.items():
        ways: dict[str, list[str]] = {}
        for move, target in moves.items():
            ways.setdefault(target.value, []).append(move.value)
            if move in HELD_INSTEAD:
                ways.setdefault(State.HELD.value, []).append(f"{move.value} without room")
        lines += [f"    {state.value} --> {target}: {', '.join(names)}" for target, names in ways.items()]
    lines += [f"    {state.value} --> [*]" for state in sorted(ENDS)]
    return "\n".join(lines)


def the_house() -> str:
    """The floors of the layers contract as a Mermaid flowchart, top floor first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    floors = next(contract["layers"] for contract in config["tool"]["importlinter"]["contracts"] if contract["type"] == "layers")
    rooms = [[room.strip().removeprefix("perdure.") for room in floor.split("|")] for floor in floors]
    lines = ["flowchart TB"]
    lines += [f'    f{number}["{"  ·  ".join(names)}"]' for number, names in enumerate(rooms)]
    lines += ["    " + " --> ".join(f"f{number}" for number in range(len(floors)))]
    return "\n".join(lines)


DRAWN = {"life-of-a-message": life_of_a_message, "house": the_house}


def redrawn(text: str) -> str:
    """A page with every marked diagram drawn anew."""
    for name, draw in DRAWN.items():
        marked = re.compile(rf"(<!-- drawn: {name} -->\n).*?(<!-- /drawn -->)", re.DOTALL)
        text, found = marked.subn(lambda hit, draw=draw: f"{hit[1]}```mermaid\n{draw()}\n```\n{hit[2]}", text)  # type: ignore[misc]
        if found != 1:
            raise SystemExit(f"{PAGE.name}: the marker `<!-- drawn: {name} -->` is there {found} times, not once")
    return text


def main(arguments: list[str]) -> int:
    before = PAGE.read_text("utf-8")
    after = redrawn(before)
    if after == before:
        return 0
    if "--check" in arguments:
        print(f"{PAGE.relative_to(ROOT)} is behind the code; `python scripts/diagrams.py` draws it anew")
        return 1
    PAGE.write_text(after, "utf-8")
    print(f"drawn: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
