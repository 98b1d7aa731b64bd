"""Options that several verbs share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, exactly as the server told it.")]
Url = Annotated[str | None, typer.Option("--url", envvar="PERDURE_URL", help="Where the server is.", show_default=False)]
Data = Annotated[Path | None, typer.Option("--data", help="The data folder.", show_default=".perdure")]
Env = Annotated[str, typer.Option("--env", envvar="PERDURE_ENV", help="Read perdure.<env>.toml over perdure.toml.")]
AppModule = Annotated[str | None, typer.Option("--app", help="Where your agents are: `my_module:app`.", show_default=False)]
Id = Annotated[str, typer.Argument(metavar="ID", help="`msg_…`.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="`next_cursor` of the page before.", show_default=False)]

__all__ = ["AppModule", "AsJson", "Cursor", "Data", "Env", "Id", "Limit", "Url", "examples", "new_app"]


def new_app(help: str, *, several: bool = False) -> typer.Typer:
    """Begin a verb.

    Args:
        help (str): What `--help` says of the verb.
        several (bool): True if it has verbs of its own.

    Returns:
        typer.Typer: Plain output, no traceback of its own.
    """
    return typer.Typer(help=help, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=several)


def examples(*lines: str) -> str:
    """Write the end of a verb's help: commands that stay whole, however narrow the terminal, so that they can be copied.

    Args:
        *lines (str): One command each.

    Returns:
        str: For `epilog`.
    """
    if len(lines) == 1:
        return f"\b\nExample:  {lines[0]}"
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
