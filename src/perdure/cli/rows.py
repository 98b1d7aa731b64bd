"""How messages and steps look as rows of a table."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.cli.words import ago, short
from perdure.client.answers import ErrorJson, MessageJson, StepJson, UsageJson

MESSAGE_COLUMNS = ("ID", "STATE", "AGENT", "QUEUE", "PRI", "ATTEMPT", "AGE", "WHY")
STEP_COLUMNS = ("STEP", "KIND", "NAME", "STATE", "TRIES", "TOKENS", "RESULT, OR WHAT IT WAS ASKED")

__all__ = ["MESSAGE_COLUMNS", "STEP_COLUMNS", "error_line", "in_json", "message_row", "money", "step_row", "tokens", "why"]


def message_row(message: MessageJson) -> tuple[object, ...]:
    """Show a message in one row.

    Args:
        message (MessageJson): As the server told it.

    Returns:
        tuple[object, ...]: For `MESSAGE_COLUMNS`.
    """
    attempt = f"{message['attempt']}/{message['attempts']}"
    age = ago(message["created_at"])
    return (message["id"], message["state"], message["agent"], message["queue"], message["priority"], attempt, age, short(why(message)))


def why(message: MessageJson) -> str:
    """Say what a message waits for, what stands against it, or what it died of.

    Args:
        message (MessageJson): As the server told it.

    Returns:
        str: Empty if there is nothing to say.
    """
    if message["error"]:
        return error_line(message["error"])
    if message["held_by"]:
        return message["held_by"]
    if message["blocked_by"]:
        return message["blocked_by"]
    wait = message["wait"]
    if not wait:
        return ""
    until = f" until {wait['until']}" if wait["until"] else ""
    step = f" (step {wait['step']})" if wait["step"] is not None else ""
    cause = f": {wait['error']['message']}" if wait["error"] else ""
    events = f" {', '.join(event.removeprefix('signal:') for event in wait['events'])}" if wait["events"] else ""
    return f"{wait['why']}{events}{step}{until}{cause}"


def error_line(error: ErrorJson) -> str:
    """Show an error in one line.

    Args:
        error (ErrorJson): As the server told it.

    Returns:
        str: Its code and message.
    """
    return f"{error['code']}: {error['message']}"


def tokens(usage: UsageJson | None) -> str:
    """Show what was used.

    Args:
        usage (UsageJson | None): As the server told it.

    Returns:
        str: Tokens in and out, `?` where the provider did not count; empty if nothing was called.
    """
    if not usage or not usage["calls"]:
        return ""
    numbers = (usage["input_tokens"], usage["output_tokens"])
    into, out = ("?" if number is None else str(number) for number in numbers)
    return f"{into} in, {out} out"


def money(usage: UsageJson | None) -> str:
    """Show what it cost.

    Args:
        usage (UsageJson | None): As the server told it.

    Returns:
        str: In US dollars, with how many calls of unknown cost are beside it; empty if nothing was called.
    """
    if not usage or not usage["calls"]:
        return ""
    known, unpriced = usage["cost_usd"], usage["unpriced"]
    unknown = f"unknown for {unpriced} call{'s' if unpriced != 1 else ''}" if unpriced else ""
    return ", ".join(said for said in ("" if known is None else f"${known:.6f}".rstrip("0").rstrip("."), unknown) if said)


def step_row(step: StepJson) -> tuple[object, ...]:
    """Show a step in one row.

    Args:
        step (StepJson): As the server told it.

    Returns:
        tuple[object, ...]: For `STEP_COLUMNS`.
    """
    name = f"{step['scope']}/{step['name']}" if step["scope"] else step["name"]
    state = step["state"] + (" diverged" if step["diverged"] else "") + (f" ambiguous×{step['ambiguous']}" if step["ambiguous"] else "")
    return (step["number"], step["kind"], name, state, step["tries"], tokens(step["usage"]), short(_told(step)))


def in_json(value: Any) -> str:
    """Show data in a cell, as whoever reads it would type it.

    Args:
        value (Any): Anything that JSON can say.

    Returns:
        str: On one line.
    """
    return msgspec.json.encode(value).decode()


def _told(step: StepJson) -> str:
    """What came of a step; of one whose outcome is not recorded, what it was asked: that is what a person decides by."""
    if step["error"]:
        return error_line(step["error"])
    if step["state"] == "intent" and step["request"] is not None:
        return f"asked: {in_json(step['request'])}"
    result = step["result"]
    if step["kind"] == "llm" and isinstance(result, dict) and result.get("choices"):
        said = result["choices"][0].get("message", {})
        return said.get("content") or in_json(said)
    return "" if result is None else in_json(result)
