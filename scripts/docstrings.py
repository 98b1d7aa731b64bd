"""Check the form of docstrings: `name (type): …` for every argument, `type: …` for what is returned.

pydoclint judges. Two kinds of public function may say less than it asks for, as the full text is
elsewhere and a second copy would only drift:

- a method that keeps a promise of one of our contracts (a Protocol has a method of that name) may have
  a one-line docstring;
- a command of the command line documents its parameters in their declarations.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

_VIOLATION = re.compile(r"^\s+(?P<line>\d+): (?P<code>DOC\d+): (?:Function|Method) `(?P<name>[^`]+)`")
Functions = ast.FunctionDef | ast.AsyncFunctionDef


def main(root: Path) -> int:
    files = sorted(root.rglob("*.py"))
    trees = {file: ast.parse(file.read_text("utf-8")) for file in files}
    promised = {name for tree in trees.values() for name in _promises(tree)}
    ran = subprocess.run(["pydoclint", "--config", "pyproject.toml", str(root)], capture_output=True, text=True, check=False)
    report = ran.stdout + ran.stderr
    if ran.returncode not in {0, 1} or "Traceback" in report:
        sys.stderr.write(report)
        return 2
    wrong = 0
    file, excused = root, set[int]()
    for line in report.splitlines():
        if line and not line[0].isspace():
            file = Path(line.strip())
            excused = _excused(trees[file], promised) if file in trees else set()
        elif ((hit := _VIOLATION.match(line)) is None or int(hit["line"]) not in excused) and line.strip():
            print(f"{file}:{line.strip()}")
            wrong += 1
    return 1 if wrong else 0


def _promises(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases):
            found |= {part.name for part in node.body if isinstance(part, Functions)}
    return found


def _excused(tree: ast.Module, promised: set[str]) -> set[int]:
    """Line numbers of functions that may be brief."""
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                brief = isinstance(part, Functions) and len((ast.get_docstring(part) or "").splitlines()) <= 1
                if isinstance(part, Functions) and (node.name.startswith("_") or (brief and part.name in promised)):
                    lines |= _lines(part)
        elif isinstance(node, Functions) and any(_is_command(mark) for mark in node.decorator_list):
            lines |= _lines(node)
    return lines


def _is_command(mark: ast.expr) -> bool:
    return isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr in {"command", "callback"}


def _lines(node: Functions) -> set[int]:
    return {node.lineno, *(mark.lineno for mark in node.decorator_list)}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
