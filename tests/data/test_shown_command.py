"""What is printed for a person to type runs where it was printed."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from data.shown_command import argument_of, shown_command

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("folder", ["checkout", "elsewhere"])
def test_a_printed_command_runs_as_it_is(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT if folder == "checkout" else tmp_path)
    command = shown_command("analysis/report.py", str(tmp_path / "no sweep"))
    ran = subprocess.run(command, shell=True, capture_output=True, text=True)  # noqa: S602 - as a person's shell does
    assert ran.returncode == 2
    assert "no sweep" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_interpreter_that_the_shell_finds_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.chdir(ROOT)
    assert shown_command("analysis/report.py", "two words") == "python analysis/report.py 'two words'"


def test_another_interpreter_is_named_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert shlex.split(shown_command("analysis/report.py")) == [sys.executable, str(ROOT / "analysis" / "report.py")]


@pytest.mark.parametrize("name", ["-dash", "--storage", "~", "~root", "s3:", "two words"])
def test_a_folder_of_any_name_is_found_by_what_is_printed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    command = shown_command("analysis/report.py", argument_of(str(tmp_path / name / "no sweep")))
    ran = subprocess.run(command, shell=True, capture_output=True, text=True)  # noqa: S602 - as a person's shell does
    assert ran.returncode == 2
    assert f"{name}/no sweep" in ran.stderr
