"""Copies of a store in PostgreSQL: made by pg_dump, put back by pg_restore.

Nobody but the two knows all that belongs to a schema. The password goes to them by the environment, since
every process of the machine can read another's command line.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from perdure.errors.base import ConfigError, StoreError, StoreUnsuitable
from perdure.security.secrets import redact

__all__ = ["dump", "put_back", "schema_in"]

_SCHEMA = re.compile(r"^\d+; \d+ \d+ SCHEMA - (\S+) ", re.MULTILINE)


async def dump(url: str, schema: str, to: Path) -> None:
    """Write a schema down, as of one moment.

    Args:
        url (str): Of the database.
        schema (str): Which.
        to (Path): An empty file of the right mode.

    Raises:
        ConfigError: There is no pg_dump here.
        StoreError: It failed.
    """
    place, password = _without_password(url)
    how = ["--format=custom", "--no-owner", "--no-privileges", f"--schema={schema}"]
    await _run("pg_dump", [*how, f"--file={to}", f"--dbname={place}"], password)


async def put_back(url: str, source: Path) -> None:
    """Make a schema anew as it was written down: whole, or not at all.

    Args:
        url (str): Of the database, which has no schema of that name.
        source (Path): From `dump`.

    Raises:
        ConfigError: There is no pg_restore here.
        StoreError: It failed; nothing was made.
    """
    place, password = _without_password(url)
    how = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    await _run("pg_restore", [*how, f"--dbname={place}", str(source)], password)


async def schema_in(source: Path) -> str:
    """Tell which schema was written down.

    Args:
        source (Path): From `dump`.

    Returns:
        str: Its name.

    Raises:
        StoreUnsuitable: It is no such file.
    """
    try:
        found = _SCHEMA.findall(await _run("pg_restore", ["--list", str(source)], None))
    except StoreError as error:
        raise StoreUnsuitable(f"{str(source)!r} is no copy of a store", hint="`perdure db backup FILE` makes one.") from error
    if len(found) != 1:
        raise StoreUnsuitable(f"{str(source)!r} is no copy of one store", hint="`perdure db backup FILE` makes one.")
    return str(found[0])


async def _run(program: str, arguments: Sequence[str], password: str | None) -> str:
    if shutil.which(program) is None:
        raise ConfigError(f"{program!r} is not installed here", hint="It is in PostgreSQL's client package, `postgresql-client` on Debian.")
    environ = {**os.environ, "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C", **({} if password is None else {"PGPASSWORD": password})}
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        program, *arguments, env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    try:
        said, complained = await child.communicate()
    except BaseException:
        child.kill()
        await child.wait()
        raise
    if child.returncode:
        raise StoreError(f"{program} failed: {redact(_last_words(complained.decode(errors='replace')))}", hint=_hint(complained, program))
    return said.decode(errors="replace")


def _last_words(complained: str) -> str:
    lines = [line for line in complained.splitlines() if line.strip()]
    return " ".join(lines[-3:])[:500]


def _hint(complained: bytes, program: str) -> str | None:
    if b"server version mismatch" in complained or b"unsupported version" in complained:
        return f"Use a {program} of the server's version or newer."
    return None


def _without_password(url: str) -> tuple[str, str | None]:
    parts = urlsplit(url)
    login, at, place = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    said = parse_qsl(parts.query, keep_blank_values=True)
    password = unquote(password) or dict(said).get("password", "")
    query = urlencode([(name, value) for name, value in said if name != "password"])
    return urlunsplit(parts._replace(netloc=f"{user}{at}{place}", query=query)), password or None
