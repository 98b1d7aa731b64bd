"""Check that no tracked file knows one particular machine: home folders, scratch paths, package registries.

Which registries there are is asked of the tools that use them, so that their names need not stand here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parent.parent
FORBIDDEN_FILES = {"uv.lock", "package-lock.json", "yarn.lock", "poetry.lock", "Pipfile.lock"}
_PATHS = re.compile(r"(?<![\w./~-])/(?:root|work|home/[a-z]\w*|Users/[A-Za-z]\w*)/\w")
_OWN = re.compile(r"^(?:127\.|localhost|\[?::1)")


def main() -> int:
    hosts = sorted(_hosts())
    found = re.compile("|".join(re.escape(host) for host in hosts)) if hosts else None
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wrong = []
    for name in filter(None, tracked.split("\0")):
        if Path(name).name in FORBIDDEN_FILES:
            wrong.append(f"{name}: lock files of this kind carry registry addresses; commit requirements/*.txt")
        try:
            text = (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if hit := _PATHS.search(line):
                wrong.append(f"{name}:{number}: a path of one machine: {hit[0]!r}")
            if found and (hit := found.search(line)):
                wrong.append(f"{name}:{number}: a package registry: {hit[0]!r}")
    print("\n".join(wrong))
    return 1 if wrong else 0


def _hosts() -> set[str]:
    addresses = [value for name, value in os.environ.items() if re.search(r"INDEX|REGISTRY|FIND_LINKS", name)]
    addresses += _say([sys.executable, "-m", "pip", "config", "list"])
    addresses += _say(["npm", "config", "get", "registry"])
    hosts = {urlsplit(address).hostname for text in addresses for address in re.findall(r"https?://[^\s'\"]+", text)}
    try:
        from pip._internal.models.index import PyPI  # the default, when nothing is configured
    except ImportError:
        pass
    else:
        hosts |= {PyPI.netloc, PyPI.file_storage_domain}
    return {host for host in hosts if host and not _OWN.match(host)}


def _say(command: list[str]) -> list[str]:
    if shutil.which(command[0]) is None:
        return []
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return ran.stdout.splitlines()


if __name__ == "__main__":
    sys.exit(main())
