"""Write the reference pages that come from code: HTTP doors, error codes and settings, below docs/reference/.

`--check` writes nothing and fails when a page is behind the code.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from perdure.config.settings import Settings
from perdure.errors.base import PerdureError
from perdure.server.api.doors import DOORS as API_DOORS
from perdure.server.door import Door
from perdure.server.openai.doors import DOORS as OPENAI_DOORS

_PLAIN = {"SecretStr": "str", "Path": "str", "DatabaseUrl": "str"}
"""What these are in a file."""
FOLDER = Path(__file__).parent.parent / "docs" / "reference"

ERRORS = """# Error codes

Written from the code by `scripts/reference.py`. Every error that Perdure shows has one of these stable codes, a message that
names the value, and a hint. *Again?* says whether the same request may succeed later (an error can override it, and can say when);
*paid?* whether the provider has charged for it.

| code | class | what happened | category | again? | pauses | paid? |
|---|---|---|---|---|---|---|
"""

SETTINGS = """# Settings

Written from the code by `scripts/reference.py`. Weakest first: these defaults, `perdure.toml`, `perdure.<env>.toml`, environment variables,
the command line. A name here is a key of the file (`[worker]` then `slots = 40`) and, in upper case with two underscores for each dot, an
environment variable (`PERDURE_WORKER__SLOTS=40`). Unknown names are errors.

| name | type | default | what it does |
|---|---|---|---|
"""


HTTP = """# HTTP

Written from the code by `scripts/reference.py`. The server describes requests and answers itself, at
`/api/v1/openapi.json`. A key goes into `Authorization: Bearer …`; *operator* means one of tenant `*`. Errors of
`/api/v1` are problem details (RFC 9457) with a `code` from [the list](errors.md), those of `/v1` have OpenAI's shape;
every answer has an `x-request-id`. Open to all are `/healthz` and `/readyz`.

| | path | what it does | needs |
|---|---|---|---|
"""


def errors() -> str:
    rows = [_error_row(kind) for kind in _tree(PerdureError)]
    return ERRORS + "\n".join(rows) + "\n"


def _tree(kind: type[PerdureError]) -> Iterator[type[PerdureError]]:
    if kind.__module__.startswith("perdure."):
        yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def _error_row(kind: type[PerdureError]) -> str:
    cells = [
        f"`{kind.code}`",
        f"`{kind.__name__}`",
        (inspect.getdoc(kind) or "").splitlines()[0],
        kind.category.value,
        "yes" if kind.default_retryable else "no",
        kind.default_scope.value,
        kind.default_billed.value,
    ]
    return f"| {' | '.join(cells)} |"


def settings() -> str:
    return SETTINGS + "\n".join(_setting_rows(Settings, "")) + "\n"


def _setting_rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            yield from _setting_rows(kind, f"{prefix}{name}.")
            continue
        inner = _model_of_mapping(kind)
        if inner is not None:
            each = "[]" if get_origin(kind) is list else ".<name>"
            yield f"| `{prefix}{name}{each}` | table | none | {inspect.getdoc(inner)} |"
            yield from _setting_rows(inner, f"{prefix}{name}{each}.")
            continue
        default = "" if field.default is PydanticUndefined else _shown(field.default)
        limits = ", ".join(_limit(limit) for limit in field.metadata)
        said = " ".join(part for part in (field.description or "", f"({limits})" if limits else "") if part)
        yield f"| `{prefix}{name}` | {_type(kind)} | {default} | {said} |"


def _type(kind: object) -> str:
    return f"`{_named(kind)}`".replace("|", "\\|")


def _named(kind: object) -> str:
    """A type as somebody would write it who fills in the file: without the limits that stand beside it."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _named(inner[0])
    if origin is Literal:
        return " | ".join(map(repr, inner))
    if origin in (Union, UnionType):
        return " | ".join(map(_named, inner))
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(_named, inner))}]"
    return "None" if kind is NoneType else _PLAIN.get(getattr(kind, "__name__", ""), getattr(kind, "__name__", str(kind)))


def _limit(limit: object) -> str:
    if pattern := getattr(limit, "pattern", None):
        return f"matches `{pattern}`"
    signs = {"Ge": "≥", "Gt": ">", "Le": "≤", "Lt": "<"}
    name = type(limit).__name__
    return f"{signs[name]} {getattr(limit, name.lower())}" if name in signs else repr(limit)


def _model_of_mapping(kind: object) -> type[BaseModel] | None:
    arguments = getattr(kind, "__args__", ())
    found = arguments[-1] if arguments else None
    return found if inspect.isclass(found) and issubclass(found, BaseModel) else None


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return f"`{value}`" if isinstance(value, str | Path) else f"`{value!r}`"


def doors() -> str:
    return HTTP + "\n".join(_door_row(door) for door in (*API_DOORS, *OPENAI_DOORS)) + "\n"


def _door_row(door: Door) -> str:
    scope = f"`{door.scope}`" if door.scope else "any key"
    path = re.sub(r"{(\w+):\w+}", r"{\1}", door.path)
    return f"| `{door.method}` | `{path}` | {door.says} | {scope}{', operator' if door.operator else ''} |"


PAGES = {"http.md": doors, "errors.md": errors, "settings.md": settings}


def main(arguments: list[str]) -> int:
    behind = []
    for name, write in PAGES.items():
        page = FOLDER / name
        text = write()
        if page.exists() and page.read_text("utf-8") == text:
            continue
        behind.append(name)
        if "--check" not in arguments:
            page.write_text(text, "utf-8")
    if behind:
        print(
            f"docs/reference: {', '.join(behind)} "
            + ("is behind the code; `make format` writes it anew" if "--check" in arguments else "written")
        )
    return 1 if behind and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
