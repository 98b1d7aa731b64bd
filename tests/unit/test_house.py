"""The house stands: imports go down its floors, in no circle, and none hides inside a function."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

import perdure

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "perdure"
WIRING = {"perdure.app", "perdure.cli"}


class Import(NamedTuple):
    """One import of an own module, and where it stands."""

    importer: str
    imported: str
    line: int
    late: bool
    only_for_types: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def modules() -> dict[str, Path]:
    found = {}
    for file in SOURCE.rglob("*.py"):
        parts = file.relative_to(SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def imports_of(name: str, text: str) -> Iterator[Import]:
    """Every import of an own module; `from perdure.a import b` is of `perdure.a.b` where that is a module."""

    def visit(node: ast.AST, *, late: bool, typing_only: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            inside = late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typed = typing_only or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
            for target in targets(child):
                yield Import(name, target, getattr(child, "lineno", 0), inside, typed)
            yield from visit(child, late=inside, typing_only=typed)

    def targets(node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names if alias.name.split(".")[0] == "perdure"]
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "perdure":
            module = node.module or ""
            return [f"{module}.{alias.name}" if f"{module}.{alias.name}" in MODULES else module for alias in node.names]
        return []

    yield from visit(ast.parse(text), late=False, typing_only=False)


@cache
def own_imports() -> tuple[Import, ...]:
    return tuple(found for name, file in MODULES.items() for found in imports_of(name, file.read_text("utf-8")))


def floors() -> dict[str, int]:
    """Each part of the house and its floor, 0 at the top, as the contract in pyproject.toml has it."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = next(contract["layers"] for contract in config["tool"]["importlinter"]["contracts"] if contract["type"] == "layers")
    return {room.strip(): floor for floor, rooms in enumerate(layers) for room in rooms.split("|")}


FLOORS = floors()


def part_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_every_part_has_a_floor() -> None:
    assert {part_of(name) for name in MODULES} - {"perdure", "perdure.__main__"} == set(FLOORS)


def test_imports_go_down_and_never_to_a_neighbour() -> None:
    wrong = [
        str(found)
        for found in own_imports()
        if part_of(found.importer) in FLOORS
        and part_of(found.imported) in FLOORS
        and part_of(found.importer) != part_of(found.imported)
        and FLOORS[part_of(found.imported)] <= FLOORS[part_of(found.importer)]
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in MODULES}
    for found in own_imports():
        # A package's own front door names its modules; that they live in it is no circle.
        if not found.late and not found.only_for_types and found.imported in MODULES:
            graph[found.importer].add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" → ".join(circle.args[1]))


def test_no_own_module_is_imported_inside_a_function() -> None:
    late = [found for found in own_imports() if found.late and not found.importer.startswith(tuple(WIRING))]
    assert [str(found) for found in late if not is_a_lazy_door(found) and not is_heavy(found)] == []


def is_heavy(found: Import) -> bool:
    """Said at the import, and true: `# late: it imports aiohttp`."""
    line = MODULES[found.importer].read_text("utf-8").splitlines()[found.line - 1]
    said = re.search(r"# late: it imports (\w+)$", line)
    return said is not None and said[1] in foreign(ast.parse(MODULES[found.imported].read_text("utf-8")))


def test_a_late_import_would_be_seen() -> None:
    text = "from perdure import clock\ndef f():\n    def g():\n        from perdure.errors import base\n"
    early, late = imports_of("perdure.x", text)
    assert (early.imported, early.late) == ("perdure.clock", False)
    assert (late.imported, late.late, late.line) == ("perdure.errors.base", True, 4)


def is_a_lazy_door(found: Import) -> bool:
    """`__init__.py` may bring its public names when they are first asked for (PEP 562)."""
    return MODULES[found.importer].name == "__init__.py"


@pytest.mark.parametrize("word", ["utils", "util", "helpers", "helper", "common", "misc", "info"])
def test_no_module_is_named_after_nothing(word: str) -> None:
    assert [name for name in MODULES if word in name.split(".")] == []


def test_no_new_class_is_a_manager() -> None:
    managers = {
        node.name
        for file in MODULES.values()
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Manager")
    }
    assert managers <= {"MemoryManager", "ConfigManager"}, "only the founding names end so"


@pytest.mark.parametrize("library", ["apsw", "asyncpg"])
def test_databases_are_known_to_the_stores_alone(library: str) -> None:
    outside = [name for name, file in MODULES.items() if not name.startswith("perdure.stores") and imports(file, library)]
    assert outside == []


@pytest.mark.parametrize("part", ["stores", "worker", "agents", "messages", "memory", "security", "errors", "config", "cli"])
def test_only_doors_and_providers_speak_http(part: str) -> None:
    inside = {name for name, file in MODULES.items() if name.startswith(f"perdure.{part}.") and imports(file, "aiohttp", "starlette")}
    assert inside <= {"perdure.worker.answering"}, "the door of a run, for whoever speaks nothing else"


def imports(file: Path, *libraries: str) -> bool:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if any(name.split(".")[0] in libraries for name in names):
            return True
    return False


def test_the_clock_alone_asks_the_machine_for_the_time() -> None:
    asking = {
        name
        for name, file in MODULES.items()
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.time", "datetime.now", "datetime.utcnow", "random.random"}
    }
    assert asking <= {"perdure.clock"}


def test_what_is_imported_is_declared_and_what_is_declared_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    declared = {re.split(r"[<>=;\[ ]", line)[0].lower().replace("_", "-") for line in wanted}
    homes = packages_distributions()
    used = set()
    for name, file in MODULES.items():
        tops = foreign(ast.parse(file.read_text("utf-8")))
        if name.startswith("perdure.testing"):
            tops -= {"pytest", "hypothesis"}  # who tests has them
        for top in tops:
            found = {home.lower().replace("_", "-") for home in homes.get(top, [top])}
            used |= found & declared or found  # several packages may share one name, as OpenTelemetry's do
    assert used - declared == set(), "imported, but not declared"
    taken_otherwise = {"uvloop", "httptools", "xllamacpp"}  # two by uvicorn, one by name in the model's own process
    assert declared - used <= taken_otherwise, "declared, but imported nowhere"


def foreign(tree: ast.Module) -> set[str]:
    """Top-level names of third-party packages that a module imports."""
    tops = set()
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        tops |= {name.split(".")[0] for name in names}
    return tops - sys.stdlib_module_names - {"perdure"}


@pytest.mark.skipif(os.environ.get("SUITE_OF") != "wheel", reason="only `make test` promises to test the wheel")
def test_the_suite_runs_against_the_built_wheel() -> None:
    assert "site-packages" in Path(perdure.__file__).parts


@pytest.mark.parametrize("pattern", ["*.sql", "*.html", "*.css", "*.js", "*.toml", "py.typed"])
def test_what_is_not_python_is_installed_too(pattern: str) -> None:
    in_the_tree = {file.relative_to(SOURCE) for file in SOURCE.rglob(pattern)}
    home = Path(perdure.__file__).parent
    assert in_the_tree == {file.relative_to(home) for file in home.rglob(pattern)}
