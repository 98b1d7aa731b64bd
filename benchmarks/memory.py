"""What `perdure up` weighs when it has nothing to do: resident memory of each of its processes, the model not loaded.

Shared pages are counted once for each process in RSS, as `ps` shows it and as the aims are meant, and shared out in PSS.

    python -m benchmarks.memory [--workers 1] [--idle 5]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

AIM_SERVER_MB, AIM_ALL_MB = 70, 130
READY_WITHIN_S = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--idle", type=float, default=5.0, help="seconds to settle before it is weighed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
        up = start(Path(folder), options.workers)
        try:
            wait_until_ready(up, Path(folder))
            time.sleep(options.idle)
            return report(up.pid)
        finally:
            up.send_signal(signal.SIGTERM)
            try:
                up.wait(30)
            except subprocess.TimeoutExpired:
                up.kill()


def start(folder: Path, workers: int) -> subprocess.Popen[bytes]:
    perdure = Path(sys.executable).parent / "perdure"
    environment = os.environ | {
        "PERDURE_DATA": str(folder / "data"),
        "PERDURE_WORKER__PROCESSES": str(workers),
        "PERDURE_SERVER__PORT": "0",
    }
    with (folder / "up.log").open("wb") as log:
        return subprocess.Popen([str(perdure), "up"], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def wait_until_ready(up: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until:
        if up.poll() is not None:
            break
        try:
            url = json.loads((folder / "data" / "run" / "server.json").read_text())["url"]
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return
        except (OSError, ValueError, urllib.error.URLError):
            time.sleep(0.1)
    sys.stderr.write((folder / "up.log").read_text())
    raise SystemExit("`perdure up` did not become ready")


def report(pid: int) -> int:
    root = psutil.Process(pid)
    print(f"{'process':40} {'RSS':>9} {'PSS':>9} {'threads':>8}")
    server = everything = 0.0
    for process in [root, *root.children(recursive=True)]:
        memory = process.memory_full_info()
        rss, pss = memory.rss / 1e6, getattr(memory, "pss", 0) / 1e6
        everything += rss
        server = rss if process.pid == pid else server
        print(f"{label(process):40} {rss:6.1f} MB {pss:6.1f} MB {process.num_threads():8}")
    print(f"{'all':40} {everything:6.1f} MB")
    held = [(f"server < {AIM_SERVER_MB} MB", server < AIM_SERVER_MB), (f"all < {AIM_ALL_MB} MB", everything < AIM_ALL_MB)]
    print("aims: " + ", ".join(f"{aim} {'held' if kept else 'MISSED'}" for aim, kept in held))
    return 0 if all(kept for _, kept in held) else 1


def label(process: psutil.Process) -> str:
    words = [word for word in process.cmdline()[1:] if not word.startswith("-")]
    return f"{process.pid} {' '.join(Path(word).name for word in words[:3])}"[:40]


if __name__ == "__main__":
    sys.exit(main())
