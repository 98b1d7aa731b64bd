"""The tools of the agent in `perdure.toml` beside this file."""

from __future__ import annotations

from perdure import tool

ORDERS = {"B-7": "a red city bike, shipped on Monday", "B-8": "two inner tubes, waiting for payment"}


@tool(idempotent=True)
def find_order(number: str) -> str:
    """Look an order up.

    Args:
        number (str): Its number, such as B-7.
    """
    if number not in ORDERS:
        raise LookupError(f"there is no order {number!r}; numbers look like B-7")
    return ORDERS[number]


@tool
def open_ticket(summary: str) -> str:
    """Have a person look at what cannot be solved here.

    Args:
        summary (str): What it is about, in one sentence.
    """
    return f"ticket opened: {summary}"
