"""The data folder and what only its owner may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.cli.private_files import data_folder_for
from perdure.errors.base import ConfigError


def test_the_data_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    data = data_folder_for(tmp_path / "new" / "data")
    assert [oct(folder.stat().st_mode & 0o777) for folder in (data, data / "run")] == ["0o700", "0o700"]
    assert not list((data / "run").iterdir())


@pytest.mark.parametrize("place", ["/proc/nothing", "file", "file/in"])
def test_a_place_where_no_folder_can_be_is_told_plainly(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used") as refused:
        data_folder_for(tmp_path / place)
    assert "--data" in (refused.value.hint or "")
