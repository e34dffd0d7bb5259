"""The wheel: every package of ours with its data, no weights but the nano ones, and programs that run anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sweeps.programs import PROGRAMS, usage
from tests.support.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("analysis", "data", "sweeps", "trainables")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    copy.mkdir()
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_SECONDS
    )
    subprocess.run(
        ["tar", "--extract", "--directory", str(copy)], input=archive.stdout, check=True, timeout=PATIENCE_SECONDS
    )
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, str(folder), str(copy)], check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_each_file_of_every_package(wheel: Path) -> None:
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
    assert weights == {
        f"data/nano/nano-{size}/model.safetensors" for size in ("0.1m", "0.3m", "0.6m", "1m", "2m", "4m")
    }


def test_an_installed_wheel_runs_its_programs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(installed), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=PATIENCE_SECONDS)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(installed / "bin" / "galactica-sweeps"), *arguments],
            cwd=elsewhere,
            env=os.environ | {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

    assert run("--version").stdout.startswith("galactica-sweeps 0.")
    step = ["--model-size", "nano-0.3m", "--micro-batch-size", "2", "--sequence-length", "64"]
    explained = run("explain-memory", *step)
    assert "Predicted peak: " in explained.stdout, explained.stderr
    assert run("batch-memory", "--config", "nowhere").stderr.startswith("error: --config nowhere: ")
    wrong = run("explain_memory")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: 'explain_memory' is no program; known: batch-memory, ")


def test_every_program_of_the_one_command_is_a_file() -> None:
    files = [ROOT / folder / f"{name.replace('-', '_')}.py" for name, (folder, _) in PROGRAMS.items()]
    assert [file for file in files if not file.is_file()] == []
    assert all(name in usage() for name in PROGRAMS)
