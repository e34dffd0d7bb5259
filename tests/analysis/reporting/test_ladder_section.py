"""The report shows a ladder's rungs, what was said of each beforehand, and what came out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from analysis.ladder.climb import Climb
from analysis.ladder.frozen import freeze
from analysis.reporting.ladder_section import ladder
from analysis.sweep_table.load import load_sweep
from tests.support.ladders import bowl_loss
from tests.support.record_factory import make_record, write_sweep
from trainables.records.record import Outcome
from trainables.records.storage import open_storage

SIZES = {"nano-0.3m": 311_424, "nano-1m": 1_114_368, "nano-4m": 3_801_600}
PLAN = {
    "models": tuple(SIZES),
    "rung_parameters": tuple(SIZES.values()),
    "rung_trials": (12, 8, 3),
    "learning_rates": (5e-4, 3e-2),
    "batch_sizes": (4, 32),
}


def rung_records(place: int, size: str, shift: float = 0.0):
    """Nine trials of a rung whose best rate is 2**-7, halved from rung to rung, its loss lower by half a nat."""
    for count, (u, v) in enumerate((u, v) for u in (-1.5, 0.25, 1.5) for v in (-1.0, 0.25, 1.0)):
        rate, batch = 2 ** (-7 - place + u), round(12 * 2**v)
        loss = bowl_loss(rate, batch, best_rate=2 ** (-7 - place), best_batch=12, bottom=4 - place / 2 + shift)
        made = make_record(100 * place + count, model=size, rate=rate, batch_size=batch, micro_batch_size=1)
        assert made.report
        assert made.report.evaluation
        evaluation = dataclasses.replace(made.report.evaluation, quote_loss=loss)
        yield dataclasses.replace(made, report=dataclasses.replace(made.report, evaluation=evaluation))


def written_ladder(folder: Path, shift: float = 0.0) -> str:
    """Two rungs that ran, the second as predicted but for `shift` nats, and one above that did not run."""
    lower = list(rung_records(0, "nano-0.3m"))
    uri = write_sweep(folder, lower, question="scale_ladder", **PLAN)
    sweep = load_sweep(uri)
    freeze(open_storage(uri), 1, Climb(plan=sweep.facts.plan, records=sweep.records).predict(1))
    return write_sweep(folder, [*lower, *rung_records(1, "nano-1m", shift)], question="scale_ladder", **PLAN)


def row(page: str, size: str, what: str) -> str:
    """The row of the predictions' table about that size and figure."""
    return next(line for line in page.split("<tr>") if f">{size}<" in line and f">{what}<" in line)


def test_a_prediction_stands_beside_what_came_out(tmp_path):
    page = ladder(load_sweep(written_ladder(tmp_path)))
    assert ">hit<" in row(page, "nano-1m", "best learning rate")


def test_a_miss_is_kept_and_called_one(tmp_path):
    page = ladder(load_sweep(written_ladder(tmp_path, shift=3.0)))
    assert ">miss<" in row(page, "nano-1m", "quote loss")


def test_a_size_that_did_not_run_is_called_extrapolated(tmp_path):
    page = ladder(load_sweep(written_ladder(tmp_path)))
    assert "extrapolated, not run" in row(page, "nano-4m", "quote loss")


def test_a_prediction_that_was_changed_is_told_and_not_shown(tmp_path):
    uri = written_ladder(tmp_path)
    path = tmp_path / "ladder" / "rung-1.json"
    path.write_text(path.read_text().replace('"parameters": 1114368', '"parameters": 1114369'))
    page = ladder(load_sweep(uri))
    assert "is not as it was written before its rung ran" in page


def test_another_question_has_no_such_section(tmp_path):
    assert ladder(load_sweep(write_sweep(tmp_path, [make_record(0)]))) == ""


@pytest.mark.parametrize("made", [[], [make_record(0, model="nano-0.3m", outcome=Outcome.DIVERGED)]])
def test_a_ladder_without_a_finished_trial_says_so(tmp_path, made):
    assert "No rung has a finished trial yet." in ladder(
        load_sweep(write_sweep(tmp_path, made, question="scale_ladder", **PLAN))
    )
