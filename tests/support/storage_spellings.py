"""Twenty ways to write a storage place, as people do; what each must mean is worked out beside it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import NamedTuple

from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


class Spelling(NamedTuple):
    """A place as written, with `{root}` for a folder's absolute path, and the folder below the root that it means.

    The person stands in <root>/here, and has <root>/home for a home. `key` is the prefix that `s3://bucket/<key>`
    means where the same name makes sense in a bucket; `in_bucket` is how it is written there.
    """

    written: str
    folder: str
    in_bucket: str | None = None
    key: str | None = None


SPELLINGS = (
    Spelling("plain", "here/plain"),
    Spelling("two words", "here/two words", "two words", "two words"),
    Spelling("what/p1?now", "here/what/p1?now"),
    Spelling("a#b", "here/a#b", "a#b", "a#b"),
    Spelling("100%", "here/100%", "100%", "100%"),
    Spelling("a%20b", "here/a%20b", "a%2520b", "a%20b"),
    Spelling("größe", "here/größe", "größe", "größe"),
    Spelling("a+b&c=d", "here/a+b&c=d", "a+b&c=d", "a+b&c=d"),
    Spelling("'quoted'", "here/'quoted'"),
    Spelling("./-dash", "here/-dash"),
    Spelling("[0-9]*{a,b}", "here/[0-9]*{a,b}"),
    Spelling("C:\\sweeps", "here/C:\\sweeps"),
    Spelling("plain/trailing/", "here/plain/trailing", "plain/trailing/", "plain/trailing"),
    Spelling("../above", "above"),
    Spelling("{root}//twice///", "twice", "a//twice///", "a/twice"),
    Spelling("~/at home", "home/at home"),
    Spelling("link/in it", "here/real/in it"),
    Spelling("file://{root}/by%20address", "by address"),
    Spelling("FILE://localhost{root}/by host", "by host"),
    Spelling(
        "results/what/p1?now #1 100% ö",
        "here/results/what/p1?now #1 100% ö",
        "results/what/p1%3Fnow #1 100% ö",
        "results/what/p1?now #1 100% ö",
    ),
)
NASTIEST = SPELLINGS[-1]

# The flags of a sweep of trials as small as they come, which still train, sample and leave a model.
SMALL = (
    *("--model-sizes", "nano-0.3m", "--batch-sizes", "8", "--micro-batch-sizes", "4", "--sequence-length", "48"),
    *("--learning-rates", "3e-3", "1e-3", "3e-4", "--token-budget", "1500", "--samples-per-prompt", "2", "--seed", "3"),
    *("--max-concurrent", "1"),
)


def lay_out(root: Path) -> None:
    """Where a person stands, their home, and a link."""
    for name in ("here/real", "home"):
        (root / name).mkdir(parents=True)
    (root / "here" / "link").symlink_to(root / "here" / "real")


def wait_for_board(sweep: str, trials: int, here: Path, environment: dict[str, str]) -> None:
    """Serve the sweep as written, and look as a browser with the token does until the board shows so many trials.

    It reads records a few at a time, so that its first answers may hold fewer. Raises: AssertionError.
    """
    token = "0123456789abcdef0123456789abcdef"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "analysis" / "board.py"), sweep],
        cwd=here,
        env=os.environ | environment | {"RAY_AUTH_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://[0-9.]+:\d+", said)
        assert found, f"the board did not start: {said}{process.communicate()[1]}"
        request = urllib.request.Request(f"{found[0]}/api/rows", headers={"Authorization": f"Bearer {token}"})

        def shows_all() -> bool:
            with urllib.request.urlopen(request, timeout=30) as answer:
                rows = json.loads(answer.read() or '{"rows": []}')["rows"]  # nothing at all before its first look
            assert len(rows) <= trials
            return len(rows) == trials

        wait_until(shows_all, f"{trials} rows on the board", seconds=300, look_seconds=0.5)
    finally:
        process.terminate()
        process.communicate()
