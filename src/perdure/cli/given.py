"""The settings of this process, with what the command line gave over all else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perdure.config.manager import ConfigManager
from perdure.config.settings import Settings

__all__ = ["load_settings"]


def load_settings(env: str, **given: Any) -> Settings:
    """Load the settings, the command line over all else.

    Args:
        env (str): Which `perdure.<env>.toml`.
        **given (Any): Dotted names with `__` for the dot; None counts as not given.

    Returns:
        Settings: Valid as a whole.
    """
    line = {name.replace("__", "."): str(value) if isinstance(value, Path) else value for name, value in given.items() if value is not None}
    manager = ConfigManager(overrides=line)
    manager.load(env)
    return manager.settings
