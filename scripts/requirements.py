"""Check that the locked requirement files say what `pyproject.toml` and the `.in` files ask for.

Everything asked for must be locked at a version that fits, every locked version must have hashes, the
files must agree with each other, and none may carry an address. Needs no network.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "requirements"
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")

Locked = dict[str, set[str]]


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = {
        "run": project["dependencies"],
        "full": [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)],
    }
    for source in sorted(FOLDER.glob("*.in")):
        lines = source.read_text("utf-8").splitlines()
        asked[source.stem] = [line for line in lines if line and not line.startswith("#")]
    problems: list[str] = []
    everything: Locked = {}
    for group, wanted in asked.items():
        locked = _read(FOLDER / f"{group}.txt", problems)
        problems += _unmet(group, wanted, locked)
        for name, versions in locked.items():
            everything.setdefault(name, versions)
            if everything[name] != versions:
                problems.append(f"{group}.txt: {name} is {sorted(versions)} here and {sorted(everything[name])} in another file")
    for problem in problems:
        print(problem)
    if problems:
        print("`make lock` writes them anew.")
    return 1 if problems else 0


def _read(file: Path, problems: list[str]) -> Locked:
    if not file.exists():
        problems.append(f"{file.name}: missing")
        return {}
    text = file.read_text("utf-8")
    if "://" in text or "--index" in text or "--find" in text:
        problems.append(f"{file.name}: carries an address")
    locked: Locked = {}
    for entry in re.split(r"\n(?=\S)", text):
        if (pin := _PIN.match(entry)) is None:
            continue
        locked.setdefault(canonicalize_name(pin["name"]), set()).add(pin["version"])
        if "--hash=sha256:" not in entry:
            problems.append(f"{file.name}: {pin['name']} has no hash")
    return locked


def _unmet(group: str, wanted: list[str], locked: Locked) -> list[str]:
    unmet = []
    for line in wanted:
        requirement = Requirement(line)
        versions = locked.get(canonicalize_name(requirement.name), set())
        if not any(requirement.specifier.contains(Version(version), prereleases=True) for version in versions):
            unmet.append(f"{group}.txt: asks for {line!r}, locked is {sorted(versions) or 'nothing'}")
    return unmet


if __name__ == "__main__":
    sys.exit(main())
