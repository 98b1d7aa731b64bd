"""Files as OpenAI writes them, and the form in which they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from perdure.errors.base import InvalidInput
from perdure.wire.requests import read_request

T = TypeVar("T")
MONTH_S = 30 * 24 * 3600

__all__ = ["MONTH_S", "FileDeleted", "FileForm", "FileJson", "PageJson", "read_file_form"]


class FileForm(msgspec.Struct, kw_only=True):
    """A file, and what it is for; without `expires_after` one for batches is kept for 30 days, others until they are deleted."""

    file: Annotated[str, Meta(extra_json_schema={"format": "binary"})]
    purpose: Literal["batch", "assistants", "fine-tune", "vision", "user_data", "evals"]
    anchor: Literal["created_at"] | UnsetType = msgspec.field(default=UNSET, name="expires_after[anchor]")
    seconds: Annotated[int, Meta(ge=3600, le=MONTH_S)] | UnsetType = msgspec.field(default=UNSET, name="expires_after[seconds]")

    @property
    def expires_s(self) -> float | None:
        """How long it is kept; None until somebody deletes it."""
        if self.seconds is not UNSET:
            return float(self.seconds)
        return float(MONTH_S) if self.purpose == "batch" else None


class FileJson(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A file."""

    id: str
    object: Annotated[str, Meta(pattern="^file$")]
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: str


class FileDeleted(msgspec.Struct, kw_only=True):
    """A file that is gone."""

    id: str
    object: str = "file"
    deleted: bool = True


class PageJson(msgspec.Struct, Generic[T], kw_only=True):
    """Some of what there is; `after` the last id brings more."""

    object: str = "list"
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


def read_file_form(fields: Mapping[str, str]) -> FileForm:
    """Check what is said beside a file.

    Args:
        fields (Mapping[str, str]): Of the form.

    Returns:
        FileForm: What it is for, and how long it is kept.

    Raises:
        InvalidInput: Its `problems` name the field that is wrong.
    """
    said: dict[str, object] = {**fields, "file": ""}
    seconds = fields.get("expires_after[seconds]", "")
    if seconds.isascii() and seconds.isdecimal() and len(seconds) < 10:
        said["expires_after[seconds]"] = int(seconds)
    form = read_request(said, FileForm)
    if (form.anchor is UNSET) != (form.seconds is UNSET):
        missing = "expires_after[anchor]" if form.anchor is UNSET else "expires_after[seconds]"
        raise InvalidInput(f"{missing} is missing", problems=[f"{missing}: missing"])
    return form
