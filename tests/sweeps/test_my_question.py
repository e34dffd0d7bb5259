"""A question of a person's own, written in a folder of their own as docs/architecture.md says, runs end to end."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from analysis.sweep_table.load import load_sweep
from tests.conftest import PATIENCE_SECONDS, ROOT
from trainables.records.record import Outcome


def test_a_copied_question_with_its_own_space_runs_records_and_reports(
    sweep_environment: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "my_question.py"
    shutil.copyfile(ROOT / "sweeps" / "batch_memory.py", script)
    text = script.read_text()
    for old, new in (
        ('name="batch_memory"', 'name="my_question"'),
        ("learning_rates=(1e-4, 3e-4, 1e-3, 3e-3)", "learning_rates=(2e-3, 4e-3)"),
        ('objectives=("sample_quality", "peak_bytes", "tokens_per_second")', 'objectives=("style", "peak_bytes")'),
    ):
        assert old in text
        text = text.replace(old, new)
    script.write_text(text)
    done = subprocess.run(
        [sys.executable, str(script), "--storage", str(tmp_path), "--smoke", "--name", "mine"],
        env=sweep_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    sweep = load_sweep(str(tmp_path / "mine"))
    assert [record.outcome for record in sweep.records] == [Outcome.FINISHED] * 2
    assert {record.settings.learning_rate for record in sweep.records} == {2e-3, 4e-3}
    report = (tmp_path / "mine" / "report.html").read_text()
    assert all(record.trial_id in report for record in sweep.records)
