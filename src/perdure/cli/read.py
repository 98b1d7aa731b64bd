"""JSON from the command line, a file or standard input, refused clearly where it is none."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import typer

from perdure.errors.base import InputTooLarge, InvalidInput

LARGEST_BYTES = 64 * 1024 * 1024

__all__ = ["LARGEST_BYTES", "check_json", "read_bytes", "read_json"]


def read_bytes(source: str, what: str, *, largest_bytes: int = LARGEST_BYTES) -> bytes:
    """Read what an argument stands for.

    Args:
        source (str): `-` for standard input, `@path` for a file, else the text itself.
        what (str): What to call it in an error.
        largest_bytes (int): Refused if there is more.

    Returns:
        bytes: As it stands there.

    Raises:
        typer.BadParameter: The file cannot be read.
        InputTooLarge: There is more than allowed.
    """
    if source == "-":
        content = sys.stdin.buffer.read(largest_bytes + 1)
    elif source.startswith("@"):
        content = _read_file(Path(source[1:]), what, largest_bytes)
    else:
        content = source.encode("utf-8", "surrogateescape")
    if len(content) > largest_bytes:
        raise InputTooLarge(f"{what} has more than {largest_bytes:,} bytes")
    return content


def read_json(source: str, what: str) -> bytes:
    """Read JSON and make sure that it is.

    Args:
        source (str): As for `read_bytes`.
        what (str): What to call it in an error.

    Returns:
        bytes: Unchanged.
    """
    content = read_bytes(source, what)
    check_json(content, what)
    return content


def check_json(content: bytes, what: str) -> object:
    """Decode JSON, and say clearly what is wrong with it.

    Args:
        content (bytes): UTF-8.
        what (str): What to call it in an error.

    Returns:
        object: What it says.

    Raises:
        InvalidInput: It is no JSON, no UTF-8, or too deep.
    """
    hint = "JSON texts need double quotes; `@file` reads a file, `-` standard input."
    try:
        return msgspec.json.decode(content)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{what} is not UTF-8: {error.reason} at byte {error.start}") from error
    except msgspec.DecodeError as error:
        if str(error).startswith("Number out of range"):
            raise InvalidInput(f"a number in {what} is too large: beyond about ±1.8e308", hint="Write it as a text.") from error
        raise InvalidInput(f"{what} is not JSON: {error}", hint=hint) from error
    except RecursionError as error:
        raise InvalidInput(f"{what} is nested too deeply") from error


def _read_file(path: Path, what: str, largest_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(largest_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise typer.BadParameter(f"{what} cannot be read from {str(path)!r}: {reason}") from error
