"""Runs real sweeps into storage places of twenty spellings, on a folder and on S3, and moves each and goes on.

Question: do run, resume, report, board, export, a move and all of it again work wherever a person keeps a sweep?
Command: python -m tests.benchmarks.storage_spellings --rows spellings.jsonl [--only 0 19] [--s3 2 19]
Every sweep is a process of its own that joins one Ray on this machine, and trains a nano model for one trial, then by
--resume for a second, after the move for a third. S3 is moto. Each place adds a line to the file of --rows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pyarrow import fs

from tests.support.object_store import ObjectStore
from tests.support.storage_spellings import SMALL, SPELLINGS, Spelling, lay_out, wait_for_board

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM_SECONDS = 1800  # far above what any takes


class Person:
    """Types commands from the folder `here`; the first that fails ends the spelling."""

    def __init__(self, here: Path, environment: dict[str, str]) -> None:
        self.here, self.environment = here, environment

    def types(self, script: str, *arguments: str) -> str:
        """What the program printed. Raises: AssertionError with its last line where it failed or left a traceback."""
        command = [sys.executable, str(ROOT / script), *arguments]
        return self.runs(command)

    def runs(self, command: list[str]) -> str:
        """As `types`, the whole command given."""
        done = subprocess.run(
            command,
            cwd=self.here,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=PROGRAM_SECONDS,
        )
        last = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
        assert done.returncode == 0, f"{Path(command[1]).name} ended with {done.returncode}: {last}"
        assert "Traceback" not in done.stderr, f"{Path(command[1]).name} left a traceback: {last}"
        return done.stdout


def walk(person: Person, storage: str, moved: str, move: object, out: Path) -> list[str]:
    """Run, resume, report, board, export; move; and again. Returns: what worked, up to the first failure, told last."""
    worked: list[str] = []
    flags = ("--name", "mine", "--wandb", "disabled")
    try:
        said = person.types("sweeps/batch_memory.py", *flags, "--storage", storage, "--trials", "1", *SMALL)
        worked.append("run")
        again = next(line for line in said.splitlines() if line.startswith("Again:")).partition(":")[2]
        person.runs([sys.executable, str(ROOT / shlex.split(again)[-2]), shlex.split(again)[-1]])
        worked.append("its own next command")
        for place, trials in ((storage, "2"), (moved, "3")):
            if place is moved:
                assert callable(move)
                move()
                worked.append("moved")
            resumed = person.types("sweeps/batch_memory.py", *flags, "--storage", place, "--resume", "--trials", trials)
            assert resumed.count("outcome finished") == int(trials), "a trial is missing"
            worked.append("resume")
            sweep = f"{place.rstrip('/')}/mine"
            person.types("analysis/report.py", sweep)
            worked.append("report")
            wait_for_board(sweep, int(trials), person.here, person.environment)
            worked.append("board")
            person.types("analysis/export.py", sweep, "--out", str(out / f"model-{trials}"))
            worked.append("export")
    except (AssertionError, subprocess.TimeoutExpired, StopIteration) as error:
        worked.append(f"FAILED: {error}")
    return worked


@contextlib.contextmanager
def own_ray(environment: dict[str, str]) -> Iterator[str]:
    """A Ray of this script's own. Yields: its address."""
    from ray.cluster_utils import Cluster

    os.environ.update(environment)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        yield str(cluster.address)
    finally:
        cluster.shutdown()


def walk_folder(number: int, spelling: Spelling, environment: dict[str, str]) -> list[str]:
    """The whole way on a folder of this machine."""
    with tempfile.TemporaryDirectory(prefix="spelt-") as folder:
        root = Path(folder)
        lay_out(root)
        moved = root / "elsewhere" / f"{number} moved? #2"
        person = Person(root / "here", environment | {"HOME": str(root / "home")})

        def move() -> None:
            moved.parent.mkdir()
            shutil.move(root / spelling.folder, moved)

        return walk(person, spelling.written.replace("{root}", str(root)), str(moved), move, root)


def walk_bucket(number: int, spelling: Spelling, environment: dict[str, str], store: ObjectStore) -> list[str]:
    """The whole way in a bucket."""
    with tempfile.TemporaryDirectory(prefix="spelt-") as folder:
        root = Path(folder)
        lay_out(root)
        person = Person(root / "here", environment | store.environment)
        old, new = f"bucket/{number}/{spelling.key}", f"bucket/{number}/moved? #2"

        def move() -> None:
            found = fs.S3FileSystem(
                endpoint_override=store.address.removeprefix("http://"), scheme="http", region="us-east-1",
                access_key="test", secret_key="test", allow_bucket_deletion=False,
            )  # fmt: skip
            fs.copy_files(old, new, source_filesystem=found, destination_filesystem=found)
            found.delete_dir(old)

        written = f"s3://bucket/{number}/{spelling.in_bucket}"
        return walk(person, written, f"s3://bucket/{number}/moved%3F #2", move, root)


def main() -> int:
    """Returns: 1 where any place failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--only", type=int, nargs="*", default=range(len(SPELLINGS)))
    parser.add_argument("--s3", type=int, nargs="*", default=())
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="ray-") as folder, contextlib.ExitStack() as stack:
        quiet = {"RAY_TMPDIR": folder, "HF_HUB_OFFLINE": "1", "RAY_enable_metrics_collection": "0"}
        home = {"HOME": folder, "RAY_AUTH_MODE": "disabled"}
        store = stack.enter_context(ObjectStore())
        environment = quiet | home | store.environment  # Ray's workers have what its head had
        environment["RAY_ADDRESS"] = stack.enter_context(own_ray(environment))
        jobs = [(number, False) for number in options.only] + [(number, True) for number in options.s3]
        for number, in_bucket in jobs:
            spelling, began = SPELLINGS[number], time.monotonic()
            if in_bucket:
                worked = walk_bucket(number, spelling, environment, store)
            else:
                worked = walk_folder(number, spelling, environment)
            failed += worked[-1].startswith("FAILED")
            written = f"s3://bucket/{spelling.in_bucket}" if in_bucket else spelling.written
            row = {"place": written, "worked": worked, "seconds": round(time.monotonic() - began)}
            print(json.dumps(row, ensure_ascii=False), flush=True)
            with options.rows.open("a", encoding="utf-8") as rows:
                rows.write(json.dumps(row, ensure_ascii=False) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
