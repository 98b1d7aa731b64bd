"""The page: what became of 2,000 messages. Every figure comes from the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.queue.chart import Bar, chart
from benchmarks.resilience.script import SHARES

__all__ = ["write_page"]

_HEAD = """# Beside other clients, on a bad day

`make bench-resilience` writes this page: a day of real trouble, played back in minutes over real HTTP. The openai client, LiteLLM's Router
and Perdure are given the same messages at the same moments; each has an upstream of its own that deals trouble by the same script.
"""
_HOW = """
## How it is measured

- The n-th request for a message meets what a hash of the seed, the message and n deals to it, at whichever deployment it arrives:
  {shares}; the rest is answered after 0.1 s. `Retry-After` says 2 s. Whoever asks more often meets more.
- Beside that: deployment `a` is down for the middle third (half of the connections are closed, half get 503); a tenth of all messages
  arrives at once, and then, for a twentieth of the time, both deployments answer 60 % of the requests with 429, as if somebody else
  had used the limit up.
- A message is *done* if whoever sent it has its text in the end. An empty answer that is taken for one is not.
- *Paid* is what the upstream computed, whether it arrived or not: answers, empty answers, cut ones, and those it was given up on.
  Refusals (429, 5xx) are not.
- Requests are not streamed, so that the openai client may retry a cut answer too; every contender gives up on an answer after
  {timeout_s:g} s.
- Nobody is told of the script. The openai client has one address, as it does; so it is measured at either deployment.
- {turns}. What counts are failures and paid calls, not speed. The day begins when a contender has started; *all ended after* is from then.
- Perdure runs with its store on disk and its journal on; the others keep nothing: a restart would lose what is under way. A message that
  was refused by both deployments waits for the moment that the 429 names, or for twenty seconds where it names none; so the slowest
  are slow. Its times are counted in quarters of a second, as often as the contender looks.
"""

_IN_TURN = "One after the other on the same machine"
_TOGETHER = (
    "All at the same time on two cores that others used as well. That starved the Router most: nearly half of its failures there are\n"
    "  time-outs for want of processor time, and the openai client's time-outs may be in part. The Router was measured again by itself;\n"
    "  that row is the one to compare with"
)


def write_page(found: dict[str, Any], folder: Path) -> None:
    """Write `resilience.md` and `resilience.svg`.

    Args:
        found (dict[str, Any]): The results.
        folder (Path): Where to.
    """
    script, rows = found["script"], found["contenders"]
    folder.mkdir(parents=True, exist_ok=True)
    machine = ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found["versions"].items()) if name != "python")
    day = f"{script['messages']:,} messages in {script['seconds']:g} s, seed {script['seed']}"
    said = f"{found['at']}; {day}; {machine}. Versions: {versions}.\n"
    shares = ", ".join(f"{share:.0%} {kind}" for kind, share in SHARES.items())
    parts = [
        _HEAD,
        said,
        _table(rows),
        _compared(rows),
        "![Messages that did not end well](resilience.svg)\n",
        _why(rows),
    ]
    parts += [
        _HOW.format(shares=shares, timeout_s=script["timeout_s"], turns=_TOGETHER if found["together"] else _IN_TURN),
        _settings(rows),
    ]
    parts += [f"- {name} is left out: {why}" for name, why in found["left_out"].items()]
    (folder / "resilience.md").write_text("\n".join(part for part in parts if part).rstrip() + "\n", encoding="utf-8")
    (folder / "resilience.svg").write_text(_drawn(rows), encoding="utf-8")


def _table(rows: list[dict[str, Any]]) -> str:
    head = (
        "| | not done | of all | lost | requests | paid calls | beyond one each | paid for each done | p50 / p99 | all ended after |\n|"
        + "---|" * 10
    )
    lines = [
        f"| {_name(one)} | {one['failed']:,} | {one['failed'] / one['messages']:.2%} | {one['lost']} | {one['asked']:,} | {one['paid']:,} |"
        f" {one['beyond']:+,} | {one['paid_per_done']:.3f} | {one['p50_s']:.1f} / {one['p99_s']:.1f} s | {one['seconds']:.0f} s |"
        for one in rows
    ]
    return "\n".join([head, *lines]) + "\n"


def _compared(rows: list[dict[str, Any]]) -> str:
    ours = next((one for one in rows if one["name"] == "perdure"), None)
    if ours is None:
        return ""
    said = []
    for other in rows:
        if other is not ours and other["failed"] and not other.get("starved"):
            fewer = 1 - (ours["failed"] / ours["messages"]) / (other["failed"] / other["messages"])
            paid = ours["paid_per_done"] - other["paid_per_done"]
            said.append(f"- {fewer:.1%} fewer failures than: {other['label']}; paid calls for each message done {paid:+.3f}")
    return "Perdure has\n\n" + "\n".join(said) + "\n" if said else ""


def _why(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"- {one['label']}: " + ", ".join(f"{n:,} × {what}" for what, n in sorted(one["why"].items(), key=lambda pair: -pair[1]))
        for one in rows
        if one["why"]
    ]
    return "## Why messages were not done\n\n" + "\n".join(lines) + "\n" if lines else ""


def _settings(rows: list[dict[str, Any]]) -> str:
    return "## Settings\n\n| | |\n|---|---|\n" + "\n".join(f"| {_name(one)} | {one['settings']} |" for one in rows) + "\n"


def _name(one: dict[str, Any]) -> str:
    return f"**{one['label']}**" if one["name"] == "perdure" else str(one["label"])


def _drawn(rows: list[dict[str, Any]]) -> str:
    def bars(figure: str) -> list[Bar]:
        return [Bar(one["name"], one[figure], one[figure], one[figure], "ours" if one["name"] == "perdure" else "peer") for one in rows]

    return chart(
        "Messages that did not end well",
        [("Messages not done", bars("failed")), ("Paid calls beyond one for each message", bars("beyond"))],
    )
