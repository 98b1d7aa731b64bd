"""Under which terms a message was put: by which key, and how much it may cost.

They travel with its metadata, under names that nobody else can use: they are written once, kept as long, and known
wherever the message is - to its run, to what the run sends, and to whoever revives it.
"""

from __future__ import annotations

from collections.abc import Mapping

from perdure.errors.base import InvalidInput

__all__ = ["RESERVED", "inherited", "max_cost_of", "own", "put_by", "refuse_reserved", "with_terms"]

RESERVED = "perdure."
_PUT_BY, _MAX_COST = f"{RESERVED}put_by", f"{RESERVED}max_cost_usd"


def with_terms(metadata: Mapping[str, str], *, by: str | None = None, max_cost_usd: float | None = None) -> dict[str, str]:
    """Write the terms into metadata.

    Args:
        metadata (Mapping[str, str]): The sender's own.
        by (str | None): The key's id.
        max_cost_usd (float | None): What its run may cost.

    Returns:
        dict[str, str]: All of it.
    """
    terms = {_PUT_BY: by, _MAX_COST: None if max_cost_usd is None else repr(max_cost_usd)}
    return {**metadata, **{name: said for name, said in terms.items() if said is not None}}


def put_by(metadata: Mapping[str, str]) -> str | None:
    """Tell whose key put a message.

    Args:
        metadata (Mapping[str, str]): The message's.

    Returns:
        str | None: The key's id; None if it came without one, as from a schedule or a transaction of the user's.
    """
    return metadata.get(_PUT_BY)


def max_cost_of(metadata: Mapping[str, str]) -> float | None:
    """Tell what a message's run may cost.

    Args:
        metadata (Mapping[str, str]): The message's.

    Returns:
        float | None: In US dollars; None where its sender set no limit.
    """
    said = metadata.get(_MAX_COST)
    return None if said is None else float(said)


def own(metadata: Mapping[str, str]) -> dict[str, str]:
    """Leave the terms out.

    Args:
        metadata (Mapping[str, str]): The message's.

    Returns:
        dict[str, str]: What its sender wrote.
    """
    return {name: said for name, said in metadata.items() if not name.startswith(RESERVED)}


def inherited(metadata: Mapping[str, str]) -> dict[str, str]:
    """Say what a message that a run sends takes over: on whose account it is, not what the run may cost.

    Args:
        metadata (Mapping[str, str]): Of the run's message.

    Returns:
        dict[str, str]: To be added to the new one's.
    """
    return with_terms({}, by=put_by(metadata))


def refuse_reserved(metadata: Mapping[str, str]) -> None:
    """Refuse a sender's metadata that would be taken for terms.

    Args:
        metadata (Mapping[str, str]): As they wrote it.

    Raises:
        InvalidInput: A name in it is reserved.
    """
    taken = next((name for name in metadata if name.startswith(RESERVED)), None)
    if taken is not None:
        raise InvalidInput(
            f"metadata: names that begin with {RESERVED!r} are reserved, as {taken[:60]!r} does", hint="Choose another name."
        )
