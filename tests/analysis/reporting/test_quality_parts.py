"""The bars of quality's parts run from 1 to the score, the best trial on top."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from analysis.reporting.quality_parts import LEAST, factors, quality_parts
from tests.support.record_factory import make_record
from trainables.records.record import Outcome, TrialRecord


def record(number: int, **parts: float) -> TrialRecord:
    made = make_record(number, quality=0.5)
    assert made.report is not None
    assert made.report.quality is not None
    quality = dataclasses.replace(made.report.quality, **parts)
    return dataclasses.replace(made, report=dataclasses.replace(made.report, quality=quality))


PARTS = {"adherence": 1.0, "fluency": 0.5, "diversity": 1.0, "novelty": 0.8, "spill_over": 0.5, "retention": 0.25}
SCORE = 0.5 * 0.8 * 0.75 * 0.5  # fluency, novelty, half of the spill-over, the root of retention


def test_the_parts_multiply_to_the_score() -> None:
    made = record(0, sample_quality=SCORE, **PARTS)
    assert made.report is not None
    assert made.report.quality is not None
    assert math.prod(factors(made.report.quality).values()) == pytest.approx(SCORE)


def test_what_a_language_model_read_multiplies_too_and_sense_by_half() -> None:
    read = {"likely": 0.5, "one_piece": 0.8, "sense": 0.5}
    made = record(0, sample_quality=SCORE * 0.5 * 0.8 * 0.75, **PARTS, **read)
    assert made.report is not None
    assert made.report.quality is not None
    assert math.prod(factors(made.report.quality).values()) == pytest.approx(SCORE * 0.3)
    figure = quality_parts([made])
    assert figure is not None
    bars: Any = figure.data
    assert 10 ** -sum(bar.x[0] for bar in bars) == pytest.approx(SCORE * 0.3)
    assert len({(bar.marker.color, bar.marker.pattern.shape) for bar in bars}) == len(bars) == 9


def test_bars_end_at_the_score_and_the_best_stands_on_top() -> None:
    figure = quality_parts([record(0, sample_quality=SCORE, **PARTS), record(1, **PARTS | {"sample_quality": 0.9})])
    assert figure is not None
    bars: Any = figure.data
    ends = [sum(bar.x[place] for bar in bars) for place in (0, 1)]
    assert 10 ** -ends[0] == pytest.approx(SCORE)
    assert [name.split(",")[0] for name in bars[0].y] == ["trial 0", "trial 1"]  # upwards


def test_a_part_that_is_zero_is_as_long_as_the_scale_goes() -> None:
    figure = quality_parts([record(0, **PARTS | {"sample_quality": 0.0, "novelty": 0.0})])
    assert figure is not None
    bars: Any = figure.data
    assert next(bar for bar in bars if bar.name == "novelty").x == (-math.log10(LEAST),)


def test_without_a_scored_trial_there_is_no_figure() -> None:
    assert quality_parts([make_record(0, outcome=Outcome.FAILED), make_record(1, quality=None)]) is None
