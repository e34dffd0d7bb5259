"""The loss curve that a trial keeps and tells of does not grow with its steps."""

from __future__ import annotations

import pytest
import torch

from data.batches import make_rows
from trainables.memory.measuring.meter import MemoryMeter
from trainables.model.models import find_model, load_model
from trainables.records.settings import TrialSettings
from trainables.training.loop import CURVE_POINTS, TrainingLoop


@pytest.mark.parametrize(("steps", "points"), [(90, 90), (199, 199), (200, 100), (299, 150)])
def test_a_curve_has_fewer_than_200_points_and_ends_with_the_last_step(steps: int, points: int) -> None:
    # 299 steps: every second one is kept, 149 of them, and the last.
    settings = TrialSettings(
        model="nano-0.3m",
        batch_size=1,
        micro_batch_size=1,
        learning_rate=1e-4,
        sequence_length=8,
        token_budget=8 * steps,
        weights="random",
    )
    model = load_model(find_model("nano-0.3m"), weights="random", dtype=torch.float32, attention="sdpa", seed=0)
    ids = torch.randint(5, 60, (4, 8), generator=torch.Generator().manual_seed(0))
    rows = make_rows(ids.tolist(), layout="padded", sequence_length=8, pad_id=1, seed=0)
    loop = TrainingLoop(model, rows, settings, MemoryMeter(torch.device("cpu")))
    while not loop.is_done:
        loop.step()
    curve = loop.progress.curve
    assert (loop.progress.step, len(curve), curve[-1].step) == (steps, points, steps)
    assert len(curve) < 2 * CURVE_POINTS
