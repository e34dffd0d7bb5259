"""A question of a person's own, written in a folder of their own as docs/architecture.md says, runs end to end.

It asks for style with a space of its own: replay reaches the records, and the report shows what it does.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from analysis.reporting.quality_parts import factors
from analysis.sweep_table.load import load_sweep
from tests.conftest import ROOT
from tests.support.owed_fields import missing_fields
from tests.support.waiting import PATIENCE_SECONDS
from trainables.records.record import Outcome
from trainables.records.trial_data import prepare_quotes, trial_data


def test_a_copied_question_with_its_own_space_trains_with_and_without_replay_and_reports(
    sweep_environment: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "my_question.py"
    text = (ROOT / "sweeps" / "sample_quality.py").read_text()
    for old, new in (
        ('name="sample_quality"', 'name="my_question"'),
        ("learning_rates=(1e-3,)", "learning_rates=(2e-3,)"),
        ("epochs=(0.05,)", "epochs=(0.04,)"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    script.write_text(text)
    done = subprocess.run(
        [
            *(sys.executable, str(script), "--smoke", "--name", "style", "--storage", str(tmp_path)),
            *("--max-concurrent", "1", "--wandb", "disabled", "--language-model", "nano-0.1m"),
        ],
        env=sweep_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    sweep = load_sweep(str(tmp_path / "style"))
    assert (sweep.facts.question, sweep.facts.aims.names) == ("my_question", ("style", "spill_over"))
    assert [missing_fields(record) for record in sweep.records] == [[], []]
    assert {record.outcome for record in sweep.records} == {Outcome.FINISHED}
    assert {record.settings.learning_rate for record in sweep.records} == {2e-3}
    plain, mixed = sorted(sweep.records, key=lambda record: record.settings.replay_ratio)
    assert (plain.settings.replay_ratio, mixed.settings.replay_ratio) == (0.0, 1.0)
    assert plain.settings.epochs == mixed.settings.epochs == 0.04
    for settings in (plain.settings, mixed.settings):
        tokens = shipped_tokens(settings.replay_ratio)  # and a separator more opens each row of 128, most nearly full
        assert 0.04 * (tokens + tokens / 128) <= settings.token_budget <= 0.04 * (tokens + tokens / 110) + 1
    for record in sweep.records:  # a language model read the samples too
        assert record.report is not None
        assert record.report.quality is not None
        quality = record.report.quality
        assert quality.language_model == "nano-0.1m"
        assert re.fullmatch("quality-4-[0-9a-f]+-nano-0.1m", quality.version)
        assert math.prod(factors(quality).values()) == pytest.approx(quality.sample_quality)
        assert {"likely", "of one piece", "sense"} <= factors(quality).keys()
    assert "style" in done.stdout
    assert "spill-over" in done.stdout
    page = (tmp_path / "style" / "report.html").read_text()
    assert "The front of style and spill-over" in page
    assert "What replay costs and buys" in page


def shipped_tokens(replay_ratio: float) -> int:
    """Tokens of the shipped training lines, a separator after each, as transformers itself counts them."""
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "data" / "nano" / "nano-0.3m")
    lines = trial_data(prepare_quotes("shipped").split).training_lines(replay_ratio, 0)
    return sum(len(tokenizer(line, add_special_tokens=False)["input_ids"]) + 1 for line in lines)
