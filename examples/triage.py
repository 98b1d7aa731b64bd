"""An agent that reads a support ticket and says whose it is: memory, a tool, structured output.

    perdure up --app examples/triage.py:app
    perdure send triage '{"ticket": "I was charged twice for INV-20391.", "customer": "petra"}' --wait

The prompts are short and the answers constrained, so that even the embedded model of 135 million parameters
gives answers of the right form. Its judgement is a toy's: for real work name a real model in `@agent(model=…)`.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from perdure import App, Run, agent, tool

TEAMS = {
    "billing": "invoices, payments, refunds",
    "technical": "errors, outages, things that do not work",
    "account": "login, passwords, addresses, contracts",
    "safety": "danger to people: smoke, fire, injury",
}
ON_CALL = {"billing": "ines", "technical": "tom", "account": "ada", "safety": "sam"}

VERDICT = {
    "title": "verdict",
    "type": "object",
    "properties": {
        "team": {"type": "string", "enum": list(TEAMS)},
        "urgent": {"type": "boolean"},
    },
    "required": ["team", "urgent"],
    "additionalProperties": False,
}
"""What the model must answer; a JSON Schema, though a dataclass or a pydantic model would do as well."""


class Ticket(TypedDict):
    """What a message to this agent holds."""

    ticket: str
    customer: NotRequired[str]


class Triage(TypedDict):
    """What comes out."""

    team: str
    urgent: bool
    assignee: str
    reply: str
    tickets_before: int


@tool(idempotent=True)
def who_is_on_call(team: str) -> str:
    """Tell who of a team is on call.

    Args:
        team: The team's name.
    """
    return ON_CALL.get(team, "nobody")


@agent(queue="support", attempts=5, timeout_s=300)
async def triage(run: Run, body: Ticket) -> Triage:
    """Choose a team for a ticket, find who is on call there, and write the customer a line."""
    customer = body.get("customer", "unknown")
    before: list[str] = await run.memory.retrieve(customer) or []

    teams = "\n".join(f"- {name}: {what}" for name, what in TEAMS.items())
    asked = f"Teams:\n{teams}\n\nTicket: {body['ticket']}\n\nWhich team owns it, and is it urgent?"
    verdict: dict[str, Any] = await run.ask("choose", asked, output=VERDICT, temperature=0, max_tokens=40)
    team = verdict["team"]

    found = await run.chat(
        "find",
        [{"role": "user", "content": f"Who is on call in the team {team!r}?"}],
        tools=[who_is_on_call],
        tool_choice="auto",
        temperature=0,
        max_tokens=60,
    )
    named = [one.result for one in found.tool_calls if one.result in ON_CALL.values()]
    assignee = (
        named[0] if named else await run.call(who_is_on_call, team)
    )  # a toy may ask for a team that does not exist, or not ask at all

    reply = await run.ask(
        "reply",
        f"A customer wrote: {body['ticket']}\nAnswer in one short, polite sentence.",
        temperature=0.2,
        frequency_penalty=0.5,
        max_tokens=40,
    )
    await run.memory.store(customer, [*before, team][-20:])
    return {"team": team, "urgent": verdict["urgent"], "assignee": assignee, "reply": reply.strip(), "tickets_before": len(before)}


app: App = App(agents=[triage], name="support")
