"""Starts small sweeps on machines that are made hard to start on: each ends in a run or in one line, never a traceback.

Question: what does a person see who starts a sweep under load, without room, with ports taken, without rights?
Command: python -m tests.benchmarks.start_stress --rows stress.jsonl [--only "20 MB in /tmp"]
Needs root, as each sweep has mounts of its own (`unshare --mount`); what it changes is gone when it ends.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.storage_spellings import SMALL
from tests.support.told import complaint

ROOT = Path(__file__).resolve().parent.parent.parent
CASE_SECONDS = 1200
ORDINARY = "setpriv --bounding-set -dac_override,-dac_read_search,-fowner"  # root writes what it owns and no more
# By name: what bash does first (in mounts of its own; $here is a fresh folder), and what goes before the command.
CASES = {
    "quiet": ("", ""),
    "four busy processes": ("for n in 1 2 3 4; do timeout 1200 sh -c 'while :; do :; done' >/dev/null 2>&1 & done", ""),
    "20 MB in /tmp": ("mount -t tmpfs -o size=20m none /tmp", ""),
    "TMPDIR of 110 characters": ("export TMPDIR=$here/$(printf 'd%.0s' $(seq 110)); mkdir $TMPDIR", ""),
    "ports 6379 and 8265 taken": (
        "for p in 6379 8265; do timeout 600 python3 -m http.server --bind 127.0.0.1 $p >/dev/null 2>&1 & done; sleep 1",
        "",
    ),
    "dead RAY_ADDRESS": ("export RAY_ADDRESS=127.0.0.1:1", ""),
    "HOME not writable": ("export HOME=$here/home; mkdir -m 555 $HOME; chown 65534 $HOME", ORDINARY),
    "umask 077": ("umask 077", ""),
    "64 KiB of shared memory": ("mount -t tmpfs -o size=64k none /dev/shm", ""),
    "another user's /tmp/ray": (
        "mount -t tmpfs none /tmp; chmod 1777 /tmp; mkdir -m 755 -p /tmp/ray; chown 65534 /tmp/ray",
        ORDINARY,
    ),
}


def start(name: str, here: Path) -> dict[str, object]:
    """Start a sweep in the folder `here` under the case `name`. Returns: how it ended, and the line on stderr."""
    before, prefix = CASES[name]
    program = [sys.executable, str(ROOT / "sweeps" / "batch_memory.py"), "--storage", str(here / "results")]
    command = shlex.join([*program, "--name", "mine", "--trials", "1", "--wandb", "disabled", *SMALL])
    stop = "code=$?; kill $(jobs -p) 2>/dev/null; exit $code"
    unwanted = ("RAY_ADDRESS", "RAY_TMPDIR", "TMPDIR")
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    began = time.monotonic()
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", f"here={here}; {before}\n{prefix} {command}\n{stop}"],
        cwd=here,
        env=environment | {"HF_HUB_OFFLINE": "1", "SWEEPS_RAY_START_SECONDS": "120"},
        capture_output=True,
        text=True,
        timeout=CASE_SECONDS,
    )
    seconds, said = round(time.monotonic() - began), complaint(done.stderr).strip()
    whole = "Traceback" not in done.stdout + said and (done.returncode == 0 or said.count("\n") == 0)
    return {"case": name, "code": done.returncode, "whole": whole, "seconds": seconds, "said": said[-400:]}


def main() -> int:
    """Returns: 1 where a start ended in neither a run nor one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="start-", dir="/var/tmp") as folder:
            rows.append(start(name, Path(folder)))
        print(json.dumps(rows[-1]), flush=True)
        with options.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
    return 0 if all(row["whole"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
