"""Constants of a card: fitted on measurements made by hand, kept, found again, and added to a prediction."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.waiting import PATIENCE_SECONDS
from trainables.memory.cards import Card
from trainables.memory.constants import (
    ASSUMED,
    FILE,
    Constants,
    ConstantsRun,
    constants_for,
    fit_constants,
    load_constants,
    store_constants,
)
from trainables.memory.predict import TracedStep
from trainables.memory.tracing.timeline import Allocation, MemoryTrace

MIB = 2**20
BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "memory_constants.py"
PLACE = {"card": "a10", "gpu": "NVIDIA A10", "torch": "2.13.0+cu130", "driver": "580.65", "date": "2026-12-01"}


def run(context: int, beyond: int, workspace: int = 8) -> ConstantsRun:
    """A run whose allocator reserved `beyond` MiB more than the replay; all in MiB."""
    return ConstantsRun(
        context_bytes=context * MIB,
        reserved_bytes=(200 + beyond) * MIB,
        replayed_bytes=200 * MIB,
        workspace_bytes=workspace * MIB,
    )


def fitted(**changed: str) -> Constants:
    return fit_constants([run(400, 2), run(410, 2), run(404, 90)], **(PLACE | changed))


def test_a_fit_is_the_median_and_one_odd_run_does_not_rule() -> None:
    found = fitted()
    assert (found.context_low_bytes, found.context_bytes, found.context_high_bytes) == (400 * MIB, 404 * MIB, 410 * MIB)
    assert (found.temporaries_bytes, found.workspace_bytes, found.runs) == (2 * MIB, 8 * MIB, 3)


def test_a_replay_above_the_allocator_takes_nothing_off() -> None:
    assert fit_constants([run(400, -2)] * 3, **PLACE).temporaries_bytes == 0


@pytest.mark.parametrize(("runs", "said"), [([run(400, 0)] * 2, "2 runs are too few"), ([run(-1, 0)] * 3, "below")])
def test_what_cannot_be_fitted_is_refused(runs: list[ConstantsRun], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit_constants(runs, **PLACE)


def test_a_fit_is_found_by_card_and_torch_and_the_latest_counts(tmp_path: Path) -> None:
    file = tmp_path / "constants.json"
    later = fitted(driver="590.10", date="2027-01-05")
    for fit in (fitted(), later, fitted(date="2026-12-02")):
        store_constants(fit, file)
    assert [(fit.driver, fit.date) for fit in load_constants(file)] == [
        ("590.10", "2027-01-05"),
        ("580.65", "2026-12-02"),
    ]
    assert constants_for("a10", file, "2.13.0") == constants_for("NVIDIA A10", file, "2.13.0+cpu") == later
    for gpu, version in (("h100", "2.13.0"), ("a10", "2.14.0"), (None, "2.13.0")):
        assert constants_for(gpu, file, version) == ASSUMED
    assert list(tmp_path.iterdir()) == [file]


def test_a_prediction_adds_what_was_fitted_and_says_which() -> None:
    # 40 MiB and a workspace each take a segment of their own; the traced workspace of 20 MiB becomes the card's 12.
    trace = MemoryTrace(
        allocations=(
            Allocation(40 * MIB, "load", "to", "weights"),
            Allocation(20 * MIB, "forward", "mm", "workspaces"),
        ),
        events=(0, 1),
        block_bytes=512,
    )
    assumed = TracedStep(trace).on(Card(name="a10"))
    assert assumed.device_bytes == (40 + 20 + 450) * MIB
    assert str(assumed.version).endswith("assumed constants")
    known = dataclasses.replace(fitted(), workspace_bytes=12 * MIB)
    card = Card(name="a10", capacity_bytes=458 * MIB, fit=known)
    made = TracedStep(trace).on(card)
    assert (made.reserved_bytes, made.device_bytes, made.fits) == ((40 + 12 + 2) * MIB, (54 + 404) * MIB, True)
    assert not TracedStep(trace).on(card.capped(457 * MIB)).fits
    assert str(made.version).endswith("constants fitted 2026-12-01, driver 580.65")


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU, on which the command would run for minutes")
def test_without_a_gpu_the_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "constants.json"
    command = [sys.executable, str(BENCHMARK), "--card", "a10", "--out", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (ran.returncode, ran.stdout, out.exists()) == (2, "", False)
    assert ran.stderr == "no CUDA GPU here; constants are fitted on the card that they describe. Run this there.\n"


def test_the_file_that_ships_is_readable() -> None:
    shipped = FILE
    assert set(json.loads(shipped.read_text())) == {"fits"}
    assert all(fit.date and fit.runs for fit in load_constants(shipped))
