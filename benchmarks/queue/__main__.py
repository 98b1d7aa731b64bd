"""Perdure, its peers and the raw limit of each database, in turns within each round.

    python -m benchmarks.queue [--short] [--rounds 5] [--seconds 5] [--only perdure_sqlite,huey_sqlite] [--rows noop,io]

Writes build/bench-queue/results.json after every cell (a later run with --go-on adds to it), and the page
docs/benchmarks/queue.md with its chart unless --no-page (a quick look writes them beside the results). What counts are the
ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
from benchmarks.queue.cells import ROWS, Row
from benchmarks.queue.contenders import CONTENDERS, Contender
from benchmarks.queue.environments import ROOT, CannotInstall, python_of, versions
from benchmarks.queue.measuring import Plan
from benchmarks.queue.page import write_page
from benchmarks.queue.peer import NotOffered
from benchmarks.queue.servers import Postgres, Redis
from benchmarks.queue.stage import CellFailed, Ground

RESULTS = ROOT / "build" / "bench-queue" / "results.json"


def main() -> int:
    given = _arguments()
    plan = Plan(
        seconds=given.seconds or (1.0 if given.short else 5.0),
        rounds=given.rounds or (1 if given.short else 5),
        held_s=60.0 if given.short else 300.0,
        patience_s=given.patience or (60.0 if given.short else 330.0),
        short=given.short,
    )
    found = _begin(plan, go_on=given.go_on)
    if not given.page_only:
        contenders = _chosen(CONTENDERS, given.only)
        rows = _chosen(ROWS, given.rows) if given.rows else [row for row in ROWS if row.cheap or not given.short]
        with tempfile.TemporaryDirectory(prefix="perdure-bench-", ignore_cleanup_errors=True) as scratch:
            Path(scratch).chmod(0o755)
            _run(Path(scratch), plan, contenders, rows, found)
    if not given.no_page:
        folder = RESULTS.parent if given.short else ROOT / "docs" / "benchmarks"
        write_page(found, folder)
        print(f"{folder.relative_to(ROOT)}/queue.md")
    return 0


def _run(folder: Path, plan: Plan, contenders: list[Contender], rows: list[Row], found: dict[str, Any]) -> None:
    able = _installed(contenders, found)
    postgres = redis = None
    try:
        if any(one.engine == "postgresql" for one in able):
            postgres = Postgres(folder)
            found["machine"]["PostgreSQL"] = postgres.version
        if any(one.engine == "redis" for one in able):
            try:
                redis = Redis(folder)
                found["machine"]["Redis"] = redis.version
            except CannotInstall as error:
                found["left_out"] |= {one.name: str(error) for one in able if one.engine == "redis"}
                able = [one for one in able if one.engine != "redis"]
        ground = Ground(folder, postgres, redis)
        first = max((cell["round"] for cell in found["cells"]), default=-1) + 1  # a run that goes on makes more rounds
        for n in range(first, first + plan.rounds):
            for row in rows:
                if not row.once or n == first:
                    _row(ground, row, plan, able[n % len(able) :] + able[: n % len(able)], n, found)
    finally:
        for server in (postgres, redis):
            if server is not None:
                server.stop()


def _row(ground: Ground, row: Row, plan: Plan, contenders: list[Contender], n: int, found: dict[str, Any]) -> None:
    taking = [one for one in contenders if (row.limits or not one.yardstick) and (one.rows is None or row.name in one.rows)]
    alone = [one for one in taking if one.ours or not row.together]
    for contender in alone:
        _keep(contender, row, plan, n, found, _cell(ground, row, plan, contender))
    together = [one for one in taking if one not in alone]
    if together:
        with ThreadPoolExecutor(len(together)) as pool:
            for contender, figures in zip(together, pool.map(lambda one: _cell(ground, row, plan, one), together), strict=True):
                _keep(contender, row, plan, n, found, figures)


def _cell(ground: Ground, row: Row, plan: Plan, contender: Contender) -> dict[str, Any] | None:
    try:
        return dict(row.cell(ground, contender, plan))
    except NotOffered:
        return None
    except (CellFailed, OSError) as error:
        return {"failed": str(error)[:400]}


def _keep(contender: Contender, row: Row, plan: Plan, n: int, found: dict[str, Any], figures: dict[str, Any] | None) -> None:
    if figures is None:
        return
    cell = {"row": row.name, "contender": contender.name, "round": n, "seconds": plan.seconds, "short": plan.short, "figures": figures}
    found["cells"].append(cell)
    RESULTS.write_text(json.dumps(found, indent=1))
    shown = ", ".join(
        f"{name} {value:,.2f}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items() if name != "settings"
    )
    print(f"{time.strftime('%H:%M:%S')} {n + 1} {row.name:16} {contender.name:18} {shown}", flush=True)


def _installed(contenders: list[Contender], found: dict[str, Any]) -> list[Contender]:
    able = []
    for one in contenders:
        try:
            if one.environment is not None:
                python_of(one.environment)
                found["versions"] |= versions(one.environment)
        except CannotInstall as error:
            found["left_out"][one.name] = str(error)
            print(f"  {one.name} is left out: {error}", flush=True)
        else:
            found["left_out"].pop(one.name, None)
            able.append(one)
    return able


def _begin(plan: Plan, *, go_on: bool) -> dict[str, Any]:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    if go_on and RESULTS.exists():
        kept: dict[str, Any] = json.loads(RESULTS.read_text())
        return kept
    machine = {"cores": os.cpu_count(), "system": platform.system(), "Python": platform.python_version(), "SQLite": _sqlite()}
    return {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "machine": machine, "versions": {}, "left_out": {}, "cells": []}


def _sqlite() -> str:
    return apsw.sqlite_lib_version()


def _chosen(all_of_them: tuple[Any, ...], names: str | None) -> list[Any]:
    if names is None:
        return list(all_of_them)
    wanted = names.split(",")
    if unknown := set(wanted) - {one.name for one in all_of_them}:
        sys.exit(f"no such name: {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in all_of_them)}")
    return [one for one in all_of_them if one.name in wanted]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a quick look: one round of one second, the cheap rows only")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each timed cell")
    parser.add_argument("--patience", type=float, help="seconds that a crash may take to heal")
    parser.add_argument("--only", help="contenders, with commas")
    parser.add_argument("--rows", help="rows, with commas")
    parser.add_argument("--go-on", action="store_true", help="add to the results that are there")
    parser.add_argument("--no-page", action="store_true")
    parser.add_argument("--page-only", action="store_true", help="write the page from the results that are there (with --go-on)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
