"""Which settings exist, and what somebody meant who spelled one wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from perdure.config.database import DatabaseUrl

Where: TypeAlias = tuple[str, ...]
"""Where a setting is in the tree: `("server", "port")`."""

__all__ = ["Where", "dotted", "is_list", "is_secret", "known", "suggestion", "type_at"]


def dotted(path: Sequence[str]) -> str:
    """Write a path as people do.

    Args:
        path (Sequence[str]): `("server", "port")`.

    Returns:
        str: `server.port`.
    """
    return ".".join(path)


def type_at(tree: type[BaseModel], path: Sequence[str]) -> Any:
    """Find the type of a setting.

    Args:
        tree (type[BaseModel]): The whole tree's type.
        path (Sequence[str]): Where.

    Returns:
        Any: Its type without `None`; None if there is no such setting.
    """
    here: Any = tree
    for part in path:
        here = _child(here, part)
        if here is None:
            return None
    return here


def is_list(kind: Any) -> bool:
    """Tell whether a setting is a list.

    Args:
        kind (Any): From `type_at`.

    Returns:
        bool: True for `list[…]`.
    """
    return get_origin(kind) is list


def is_secret(kind: Any) -> bool:
    """Tell whether a setting must not be shown.

    Args:
        kind (Any): From `type_at`.

    Returns:
        bool: True for `SecretStr` and an address that may hold a password.
    """
    return kind in (SecretStr, DatabaseUrl)


def known(tree: type[BaseModel], base: Where = ()) -> Iterator[Where]:
    """Walk over every setting with a fixed name.

    Args:
        tree (type[BaseModel]): The whole tree's type, or a part of it.
        base (Where): Where that part is.

    Yields:
        Where: Sections and settings.
    """
    for name, field in tree.model_fields.items():
        yield (*base, name)
        kind = _without_none(field.annotation)
        if _is_model(kind):
            yield from known(kind, (*base, name))


def suggestion(tree: type[BaseModel], path: Sequence[str]) -> str | None:
    """Guess which setting was meant.

    A neighbour with a similar name comes first, then a setting elsewhere whose whole name is similar
    when dots and underscores are taken for the same.

    Args:
        tree (type[BaseModel]): The whole tree's type.
        path (Sequence[str]): What was written.

    Returns:
        str | None: Dotted; None if nothing is like it.
    """
    for depth in range(len(path)):
        above = type_at(tree, path[:depth])
        if _is_model(above) and path[depth] not in above.model_fields:
            close = get_close_matches(path[depth], list(above.model_fields), n=1, cutoff=0.6)
            if close and type_at(tree, (*path[:depth], close[0], *path[depth + 1 :])) is not None:
                return dotted((*path[:depth], close[0], *path[depth + 1 :]))
            break
    flat = {"_".join(name): dotted(name) for name in known(tree)}
    close = get_close_matches("_".join(path), list(flat), n=1, cutoff=0.75)
    if close:
        return flat[close[0]]
    last = [name for name in known(tree) if len(name) > 1 and name[-1] == path[-1]]
    return dotted(last[0]) if last else None


def _child(kind: Any, part: str) -> Any:
    if kind is Any:  # whatever it holds is the business of who reads it, as a JSON Schema
        return Any
    if _is_model(kind):
        field = kind.model_fields.get(part)
        return None if field is None else _without_none(field.annotation)
    if get_origin(kind) is dict:
        return _without_none(get_args(kind)[1])
    return None


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        rest = [one for one in get_args(kind) if one is not type(None)]
        return rest[0] if len(rest) == 1 else kind
    return kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
