"""The page: Perdure beside its peers and the raw limit, as tables and a chart. Every figure comes from the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.queue.cells import ROWS
from benchmarks.queue.chart import Bar, chart
from benchmarks.queue.contenders import CONTENDERS, Contender
from benchmarks.queue.figures import Figures, Spread
from benchmarks.queue.goals import GOALS

__all__ = ["write_page"]
_ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "redis": "Redis"}
_RATES = ("put_single", "put_100_callers", "put_bulk", "noop", "io")
_LEVELS = ("waiting_1k", "waiting_200k", "waiting_1m")
_ALL = {row.name: row.what for row in ROWS}

_HEAD = """# Perdure beside other queues

`make bench-queue` writes this page: Perdure, other durable queues for Python, and the raw limit of each database take turns
within each round, on the same machine, each on a fresh database. Absolute figures are this machine's; what carries over are the
**ratios within a round**.
"""
_HOW = """
## How it is measured

- One producing process, one worker process; bodies of 1 KB, results of 200 bytes. No-op: 20 at once; I/O: 50 ms, 200 at once.
- *End to end* counts what has ended with its result stored, by the contender's own tables, from the first handler's start on;
  imports and start-up are left out. What stores no result is marked.
- *Put* ends when the contender's call has returned. *100 callers* are 100 at once, one message each call.
- *Start latency* is from the beginning of the put to the start of the handler, at an even 50 messages a second.
- *Waiting*: the backlog is kept at its level all the time, by the same bulk puts at every level; the rate is of handlers started.
  The time to the first start begins when a worker that has imported everything is let go: opening the database is in it.
- *SIGKILL*: 50 messages in flight, each having paid once (as a step, where there are steps) and working for two seconds more; a
  second worker starts at once, with the contender's own settings for recovery.
- *Held transaction*: somebody else's transaction with a number and a snapshot stays open while rates are sampled ten times; 1,000
  messages are kept waiting.
- The **limit** writes what a durable queue cannot do without: one row each for the message, its readiness, its lease and its
  outcome, and one for each of its three moves; no secondary index, no checks, no event loop. A single put is one transaction;
  everything else goes in lock step by groups of 100. It is a yardstick, not a ceiling: a queue that overlaps its commits can pass
  it.
- Servers are the harness's own, at the durability of their defaults. Handlers count in shared memory, the same for all.
"""


def write_page(found: dict[str, Any], folder: Path) -> None:
    """Write `queue.md` and `queue.svg`.

    Args:
        found (dict[str, Any]): The results.
        folder (Path): Where to.
    """
    figures = Figures(found)
    there = [one for one in CONTENDERS if any(figures.of(row, one.name, name) for row, name in _figures_of_rows())]
    folder.mkdir(parents=True, exist_ok=True)
    parts = [_HEAD, _conditions(found), _goals(figures), _best(figures, there), f"\n![Messages a second]({'queue.svg'})\n"]
    parts += [_rates(figures, there), _backlogs(figures, there), _held(figures, there), _crashes(figures, there), _others(figures, there)]
    parts += [_HOW, _settings(figures, there), _missing(found, figures)]
    (folder / "queue.md").write_text("\n".join(part for part in parts if part).rstrip() + "\n", encoding="utf-8")
    (folder / "queue.svg").write_text(_drawn(figures, there), encoding="utf-8")


def _figures_of_rows() -> list[tuple[str, str]]:
    named = {"latency": "p50_ms", "crash": "lost", "weight": "rss_mb", "priority": "low_before_high"}
    return [(row.name, named.get(row.name, "rate")) for row in ROWS]


def _conditions(found: dict[str, Any]) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    seconds = sorted({cell["seconds"] for cell in found["cells"] if not cell["short"]})
    taken: dict[tuple[str, str], set[int]] = {}
    for cell in found["cells"]:
        taken.setdefault((cell["row"], cell["contender"]), set()).add(cell["round"])
    rounds = max((len(those) for those in taken.values()), default=0)
    short = any(cell["short"] for cell in found["cells"])
    warning = "\n**A quick look, with cells of a second: not results.**\n" if short else ""
    length = f"cells of {seconds[0]:.0f} s, " if seconds else ""
    return f"{warning}\n{found['at']}; {length}{f'up to {rounds} rounds' if rounds > 1 else '1 round'}; {machine}.\n"


def _goals(figures: Figures) -> str:
    lines = []
    for goal in GOALS:
        spread = goal.found(figures)
        if spread is None:
            lines.append((goal.what, "not measured", "", goal.shown(goal.floor), goal.shown(goal.goal), ""))
            continue
        low, high = goal.shown(spread[1]), goal.shown(spread[2])
        span = f"{low} to {high}" if spread.rounds > 1 else "one round"
        lines.append(
            (goal.what, goal.shown(spread.median), span, goal.shown(goal.floor), goal.shown(goal.goal), goal.verdict(spread.median))
        )
    return "## What Perdure reaches\n\n" + _table(("medians of per-round ratios", "found", "rounds", "floor", "goal", "reached"), lines)


def _best(figures: Figures, there: Sequence[Contender]) -> str:
    lines = []
    for engine in ("sqlite", "postgresql"):
        ours = next((one for one in there if one.ours and one.engine == engine), None)
        peers = [one for one in there if one.engine == engine and not one.ours and not one.yardstick]
        if ours is None:
            continue
        for row, figure, less in [(name, "rate", False) for name in (*_RATES, *_LEVELS)] + [
            ("latency", "p50_ms", True),
            ("weight", "rss_mb", True),
        ]:
            found = [(spread.median, one) for one in peers if (spread := figures.of(row, one.name, figure))]
            mine = figures.of(row, ours.name, figure)
            if not found or mine is None:
                continue
            value, best = (min if less else max)(found, key=lambda pair: pair[0])
            ratio = figures.ratio(row, ours.name, best.name, figure)
            times = "" if ratio is None else f"{1 / ratio.median if less else ratio.median:.1f} ×"
            note = "" if best.result else " (no result stored)"
            lines.append((f"{_ENGINES[engine]}: {_ALL[row]}", f"{best.label}{note}", _number(value), _number(mine.median), times))
    return (
        "## The best peer of each row\n\n" + _table(("row", "best peer", "its figure", "Perdure", "Perdure by it (above 1: better)"), lines)
        if lines
        else ""
    )


def _rates(figures: Figures, there: Sequence[Contender]) -> str:
    head = (
        "contender",
        "database",
        "put, one caller",
        "put, 100 callers",
        "put, 100 a call",
        "no-op",
        "its CPU, ms each",
        "50 ms I/O",
        "p50 / p99 ms",
        "durability",
    )
    lines = []
    for one in there:
        p50, p99 = figures.of("latency", one.name, "p50_ms"), figures.of("latency", one.name, "p99_ms")
        late = f"{p50.median:.1f} / {p99.median:.1f}" if p50 and p99 else "-"
        rates = [_shown(figures.of(row, one.name)) for row in _RATES]
        cpu = figures.of("noop", one.name, "cpu_ms")
        rates.insert(_RATES.index("io"), f"{cpu.median:.3f}" if cpu else "-")
        lines.append((_name(one), _ENGINES[one.engine], *rates, late, one.durability))
    return "## Rates and latency\n\nMessages a second: median (lowest to highest) over rounds.\n\n" + _table(head, lines)


def _backlogs(figures: Figures, there: Sequence[Contender]) -> str:
    lines = []
    for one in there:
        if not any(figures.of(level, one.name) for level in _LEVELS):
            continue
        firsts = [figures.of(level, one.name, "first_s") for level in _LEVELS]
        flat = figures.ratio("waiting_1m", one.name, one.name, to_row="waiting_1k")
        rates = [_shown(figures.of(level, one.name)) for level in _LEVELS]
        lines.append(
            (
                _name(one),
                _ENGINES[one.engine],
                *rates,
                f"{flat.median:.0%}" if flat else "-",
                *(f"{s.median:.2f}" if s else "-" for s in firsts),
            )
        )
    head = ("contender", "database", "1 k waiting", "200 k", "1 M", "1 M of 1 k", "first start, 1 k (s)", "200 k (s)", "1 M (s)")
    return "## With a backlog\n\n" + _table(head, lines) if lines else ""


def _held(figures: Figures, there: Sequence[Contender]) -> str:
    lines = []
    for one in there:
        clean, held = figures.of("held", one.name, "clean"), figures.of("held", one.name, "of_clean")
        if clean and held:
            trend = figures.of("held", one.name, "last_of_first")
            lines.append(
                (
                    _name(one),
                    _shown(clean),
                    f"{held.median:.0%}",
                    f"{trend.median:.0%}" if trend else "-",
                    figures.text("held", one.name, "samples") or "",
                )
            )
    head = ("contender", "clean rate", "held, of clean", "last third of the first", "the ten samples (messages/s)")
    return "## PostgreSQL with a transaction held open\n\n" + _table(head, lines) if lines else ""


def _crashes(figures: Figures, there: Sequence[Contender]) -> str:
    lines = []
    for one in there:
        lost = figures.of("crash", one.name, "lost")
        if lost is None:
            continue
        again, whole = figures.of("crash", one.name, "again_s"), figures.of("crash", one.name, "all_s")
        counts = [figures.of("crash", one.name, name) for name in ("run_twice", "paid_twice", "ended_twice")]
        lines.append(
            (
                _name(one),
                _ENGINES[one.engine],
                f"{lost.median:.0f} of 50",
                _seconds(again),
                _seconds(whole),
                *(f"{n.median:.0f}" if n else "-" for n in counts),
            )
        )
    head = (
        "contender",
        "database",
        "not done at the end",
        "first runs again after (s)",
        "all done after (s)",
        "run twice",
        "paid twice",
        "ended twice",
    )
    note = "\nWhat was not done when patience ended may be lost, or come back later than was waited for.\n"
    return "## SIGKILL with 50 in flight\n\n" + _table(head, lines) + note if lines else ""


def _others(figures: Figures, there: Sequence[Contender]) -> str:
    lines = []
    for one in there:
        order, weight = figures.of("priority", one.name, "low_before_high"), figures.of("weight", one.name, "rss_mb")
        if order or weight:
            runs = figures.of("weight", one.name, "runs")
            shown = f"{weight.median:.0f} ({runs.median:,.0f} runs)" if weight and runs else "-"
            lines.append((_name(one), _ENGINES[one.engine], f"{order.median:.0f} of 100" if order else "has no priorities", shown))
    note = "\n100 of low priority were put, then 20 urgent ones. Perdure serves every sixteenth in the order of putting: nobody starves.\n"
    head = ("contender", "database", "low ones run before the last urgent one", "worker's RSS while runs wait (MB)")
    return "## Order and weight\n\n" + _table(head, lines) + note if lines else ""


def _settings(figures: Figures, there: Sequence[Contender]) -> str:
    lines = [
        (_name(one), one.durability, figures.text("noop", one.name, "settings") or figures.text("put_single", one.name, "settings") or "")
        for one in there
    ]
    return "## Settings\n\n" + _table(("contender", "durability", "chosen for the comparison"), lines)


def _missing(found: dict[str, Any], figures: Figures) -> str:
    said = ["## Left out, and cells that failed\n", "- Absurd: its SQL is in its repository only, not in a package."]
    said += [f"- {name}: {why}" for name, why in found["left_out"].items()]
    said += [f"- {contender}, {row}, round {n}: {why.split(' (see ')[0]}" for row, contender, n, why in figures.failures()]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found["versions"].items()) if name != "python")
    return "\n".join(said) + (f"\n\nVersions: {versions}.\n" if versions else "\n")


def _drawn(figures: Figures, there: Sequence[Contender]) -> str:
    groups = []
    for row, engines in (("noop", ("sqlite",)), ("noop", ("postgresql",)), ("noop", ("redis",)), ("io", tuple(_ENGINES))):
        bars = []
        for one in there:
            spread = figures.of(row, one.name)
            if one.engine in engines and spread:
                where = f", {_ENGINES[one.engine]}" if len(engines) > 1 else ""
                kind = "ours" if one.ours else "limit" if one.yardstick else "peer"
                bars.append(Bar(f"{one.label}{where}{'' if one.result else ' *'}", *spread[:3], kind))
        heading = f"{_ALL[row]}" + (f", {_ENGINES[engines[0]]}" if len(engines) == 1 else "")
        groups.append((heading.replace(", result stored", ", result stored (* none)"), bars))
    return chart("Messages a second, end to end", groups)


def _name(one: Contender) -> str:
    label = f"**{one.label}**" if one.ours else f"*{one.label}*" if one.yardstick else one.label
    return label if one.result else f"{label} (no result)"


def _shown(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return _number(spread.median) + (f" ({_number(spread[1])} to {_number(spread[2])})" if spread.rounds > 1 else "")


def _seconds(spread: Spread | None) -> str:
    return "-" if spread is None or spread.median < 0 else f"{spread.median:.1f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(line)} |" for line in lines)]
    return "\n".join(rows) + "\n"
