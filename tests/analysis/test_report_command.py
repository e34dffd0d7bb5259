"""`analysis/report.py` as a command: where the report lies, and a person's mistakes in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from analysis.report import main
from analysis.sweep_table.load import load_sweep
from tests.analysis.reporting.test_report import some_records
from tests.support.record_factory import write_sweep


def test_the_report_lies_in_the_sweep_or_where_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = write_sweep(tmp_path / "one", some_records())
    assert main([uri]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "one" / "report.html")
    monkeypatch.chdir(tmp_path)
    assert main([uri, "--out", "other.html"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "other.html")
    assert (tmp_path / "other.html").read_text() == (tmp_path / "one" / "report.html").read_text()
    assert load_sweep(uri).unreadable == ()


@pytest.mark.parametrize("place", ["missing", ".", "", "s3:/b/one", "file.txt", "carrier-pigeon://coop/one", "broken"])
def test_a_place_without_sweep_is_one_line_and_exit_code_two(
    tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sweep.json").write_text("{")
    assert main([place]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize("out", ["folder", "file.txt/report.html"])
def test_a_report_that_cannot_be_written_is_one_line_and_exit_code_two(
    tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = write_sweep(tmp_path / "one", [])
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("kept")
    before = sorted(tmp_path.iterdir())
    assert main([uri, "--out", str(tmp_path / out)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_the_script_runs_as_the_readme_says(tmp_path: Path) -> None:
    script = Path(str(files("analysis").joinpath("report.py")))
    environment = os.environ | {"PYTHONPATH": str(script.parent.parent)}
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "missing")], capture_output=True, text=True, env=environment
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1
