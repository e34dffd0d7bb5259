"""The wheel that the image installs: every package of ours with its data, and no weights but the nano ones."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("analysis", "data", "sweeps", "trainables")


def test_the_wheel_holds_each_file_of_every_package(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_SECONDS
    )
    subprocess.run(
        ["tar", "--extract", "--directory", str(copy)], input=archive.stdout, check=True, timeout=PATIENCE_SECONDS
    )
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, str(tmp_path), str(copy)], check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    tracked = subprocess.check_output(["git", "ls-files", *PACKAGES], cwd=ROOT, text=True).splitlines()
    owed = {path for path in tracked if not path.endswith("README.md")}
    assert {
        "data/nano/nano-1m/model.safetensors",
        "data/corpora/quotes.jsonl",
        "analysis/serve/board_page/board.js",
    } <= owed
    assert owed - names == set()
    weights = {name for name in names if name.endswith((".safetensors", ".bin", ".pt"))}
    assert weights == {f"data/nano/nano-{size}/model.safetensors" for size in ("0.1m", "0.3m", "0.6m", "1m", "4m")}
