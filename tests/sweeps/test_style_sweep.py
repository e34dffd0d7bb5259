"""The sweep for style, for real and in small: replay reaches the records, and the report shows what it does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from analysis.sweep_table.load import load_sweep
from tests.conftest import ROOT
from tests.support.owed_fields import missing_fields
from tests.support.waiting import PATIENCE_SECONDS
from trainables.records.record import Outcome


def test_smoke_sweep_for_style_trains_with_and_without_replay(
    sweep_environment: dict[str, str], tmp_path: Path
) -> None:
    script = [sys.executable, str(ROOT / "sweeps" / "sample_quality.py"), "--smoke", "--name", "style"]
    done = subprocess.run(
        [*script, "--storage", str(tmp_path), "--max-concurrent", "1", "--wandb", "disabled"],
        env=sweep_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    sweep = load_sweep(str(tmp_path / "style"))
    assert sweep.facts.aims.names == ("style", "spill_over")
    assert [missing_fields(record) for record in sweep.records] == [[], []]
    assert {record.outcome for record in sweep.records} == {Outcome.FINISHED}
    plain, mixed = sorted(sweep.records, key=lambda record: record.settings.replay_ratio)
    assert (plain.settings.replay_ratio, mixed.settings.replay_ratio) == (0.0, 1.0)
    assert plain.settings.epochs == mixed.settings.epochs == 0.05
    # A twentieth of 104,271 and of 196,713 tokens, as counted from the shipped lines.
    assert (plain.settings.token_budget, mixed.settings.token_budget) == (5_214, 9_836)
    assert "style" in done.stdout
    assert "spill-over" in done.stdout
    page = (tmp_path / "style" / "report.html").read_text()
    assert "The front of style and spill-over" in page
    assert "What replay costs and buys" in page
