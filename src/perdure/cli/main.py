"""The `perdure` command: finds the verb, runs it, and turns every error into one clear line.

Nothing heavy is imported before it is known to be needed: help and version come from plain text, and a
verb's module is loaded when that verb is called.
"""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module

from perdure.cli.verbs import VERBS, help_text

__all__ = ["main", "run"]


def main() -> None:
    """Run the command with the arguments of this process, and end the process."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has left; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command.

    Args:
        arguments (list[str]): Without the program's name.

    Returns:
        int: The exit code (`exits.py`).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # whatever a message holds can be shown
    first = arguments[0] if arguments else "--help"
    if first in ("--help", "-h", "help"):
        sys.stdout.write(help_text())
        return 0
    if first in ("--version", "-V"):
        sys.stdout.write(f"perdure {import_module('importlib.metadata').version('perdure')}\n")
        return 0
    if first not in VERBS:
        return _no_such(first)
    return _call(first, arguments[1:])


def _no_such(verb: str) -> int:
    close = import_module("difflib").get_close_matches(verb, VERBS, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    sys.stderr.write(f"perdure: there is no verb {verb[:60]!r}.{meant}\nhint: `perdure --help` lists them.\n")
    return 2


def _call(verb: str, arguments: list[str]) -> int:
    try:
        import_module(f"perdure.cli.{verb}").app(args=arguments, prog_name=f"perdure {verb}")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        if os.environ.get("PERDURE_DEBUG"):
            raise
        return int(import_module("perdure.cli.words").report(error))
    return 0
