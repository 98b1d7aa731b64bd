"""What every section of the settings is."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["Part"]


class Part(BaseModel):
    """A section: it cannot be changed, and knows all its names."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")
