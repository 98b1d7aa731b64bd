"""`perdure limits`: how many of a queue, an agent, a tenant or a key may run at once."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.options import AsJson, Url, examples, new_app
from perdure.cli.talk import talk
from perdure.cli.words import clean, print_json, say, table
from perdure.messages.limits import Scope

app: typer.Typer = new_app("How many may run at once: list, set, drop.")

Of = Annotated[Scope, typer.Argument(metavar="queue|agent|tenant|key", help="Of what kind.")]
Whose = Annotated[str, typer.Argument(metavar="NAME", help="Of whom; for `key` the queue whose keys it is of.")]


@app.command("list", epilog=examples("perdure limits list --json"))
def list_limits(*, url: Url = None, as_json: AsJson = False) -> None:
    """List limits, how many run under them, and how many they hold."""
    limits = talk(lambda client: client.limits(), url=url)
    if as_json:
        print_json(limits)
        return
    rows = ((one["scope"], one["name"], str(one["at_once"]), str(one["used"]), str(one["held"])) for one in limits)
    table(("OF", "NAME", "AT ONCE", "USED", "HELD"), rows)


@app.command("set", epilog=examples("perdure limits set tenant acme 10", "perdure limits set key mail 1"))
def set_limit(
    scope: Of,
    name: Whose,
    at_once: Annotated[int, typer.Argument(min=1, metavar="N", help="So many.")],
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let only so many be ready or running at once."""
    limit = talk(lambda client: client.set_limit(scope.value, name, at_once), url=url)
    if as_json:
        print_json(limit)
    else:
        say(f"{scope.value} {clean(name)}: {at_once} at once; {limit['used']} now, {limit['held']} held")


@app.command("drop", epilog=examples("perdure limits drop tenant acme"))
def drop_limit(scope: Of, name: Whose, *, url: Url = None) -> None:
    """Lift a limit; what it held may run."""
    talk(lambda client: client.drop_limit(scope.value, name), url=url)
    say(f"{scope.value} {clean(name)} has no limit any more")
