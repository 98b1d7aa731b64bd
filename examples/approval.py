"""A refund that several agents look into and a person approves: fan-out, join, and a wait for a signal.

    perdure up --app examples/approval.py:app
    perdure send refund '{"order": "INV-20391", "amount": 120}' --wait --timeout 1   # it waits for a person
    perdure signal msg_… approval --data '{"by": "ada", "ok": true}'

While it waits, for minutes or weeks, it holds no worker and no connection; after a restart it waits where it waited.
"""

from __future__ import annotations

from typing import TypedDict

from perdure import App, Run, WaitTimedOut, agent

APPROVE_FROM = 100
"""Smaller refunds need nobody."""


class Refund(TypedDict):
    """What a customer asks for."""

    order: str
    amount: int


class Finding(TypedDict):
    """What one look into an order came to."""

    source: str
    concerns: list[str]


class Approval(TypedDict):
    """What a person says."""

    by: str
    ok: bool


@agent(queue="refunds")
async def look_into(run: Run, body: dict[str, str]) -> Finding:
    """Look into an order in one place; each of these is a message of its own, with its own tries."""
    said = await run.ask("look", f"Is anything wrong with order {body['order']} in {body['source']}? One word: fine, or what is wrong.")
    return {"source": body["source"], "concerns": [] if "fine" in said.lower() else [said.strip()]}


@agent(queue="refunds")
async def refund(run: Run, body: Refund) -> dict[str, object]:
    """Have an order looked into from three sides at once, and pay back what a person approves."""
    sent = await run.send_many(look_into, [{"order": body["order"], "source": one} for one in ("payments", "shipping", "complaints")])
    findings: list[Finding] = await run.results_of(sent, output=Finding)  # one wake, when the last of them has ended
    concerns = [concern for finding in findings for concern in finding["concerns"]]

    if body["amount"] >= APPROVE_FROM or concerns:
        try:
            approval: Approval = await run.wait_for("approval", timeout_s=7 * 24 * 3600, output=Approval)
        except WaitTimedOut:
            return {"order": body["order"], "refunded": False, "because": "nobody approved it within a week"}
        if not approval["ok"]:
            return {"order": body["order"], "refunded": False, "because": f"{approval['by']} declined"}

    paid = await run.step("pay", pay_back, body["order"], body["amount"])
    return {"order": body["order"], "refunded": True, "receipt": paid, "concerns": concerns}


async def pay_back(order: str, amount: int) -> str:
    """Pay the money back; your payment service goes here. Not idempotent, so never run twice without your word."""
    return f"{amount} for {order}"


app: App = App(agents=[refund, look_into], name="refunds")
