"""Every lever that is predicted can be run: real steps of a nano model on this CPU, measured beside the prediction."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch

from data.batches import make_rows
from trainables.memory.cards import Card
from trainables.memory.measuring.meter import MemoryMeter
from trainables.memory.predict import predict
from trainables.model.models import apply_levers, find_model, load_model
from trainables.records.settings import TrialSettings
from trainables.training.loop import TrainingLoop

pytestmark = pytest.mark.slow

LEVERS: list[Any] = [
    {"optimizer": "sgd"},
    {"lora_rank": 8},
    {"lora_rank": 8, "lora_targets": "attention"},
    {"lora_rank": 8, "lora_targets": "all-linear"},
    {"lora_rank": 8, "lora_targets": "all-linear", "precision": "bf16"},
    {"precision": "bf16-amp"},
    {"precision": "fp16-amp"},
    {"precision": "bf16"},
    {"precision": "fp16-amp", "loss": "fused", "lora_rank": 4},
    {"precision": "bf16-amp", "attention": "eager", "gradient_checkpointing": True},
    pytest.param(
        {"optimizer": "adamw-8bit"},
        marks=pytest.mark.skipif(
            importlib.util.find_spec("bitsandbytes") is None,
            reason="no bitsandbytes; .ci/run tries it last",
        ),
    ),
]


@pytest.fixture(autouse=True)
def cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("levers", LEVERS, ids=str)
def test_a_lever_trains_and_takes_what_was_predicted(levers: dict[str, Any]) -> None:
    settings = TrialSettings(
        model="nano-0.3m",
        batch_size=8,
        micro_batch_size=4,
        learning_rate=3e-3,
        sequence_length=128,
        token_budget=8 * 128 * 6,
        **levers,
    )
    source = find_model(settings.model)
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    model = load_model(source, weights="pretrained", dtype=dtype, attention=settings.attention, seed=0)
    apply_levers(model, settings)
    ids = torch.randint(5, 60, (8, 128), generator=torch.Generator().manual_seed(0))  # the same rows in every step
    rows = make_rows(ids.tolist(), layout="padded", sequence_length=128, pad_id=1, seed=0)
    loop = TrainingLoop(model, rows, settings, MemoryMeter(torch.device("cpu")))

    while not loop.is_done:
        loop.step()

    assert loop.progress.curve[-1].loss < loop.progress.curve[0].loss
    predicted = predict(settings, Card(on_cuda=False))
    measured = loop.meter.report()
    assert predicted.allocated_bytes == pytest.approx(measured.peak_bytes, rel=0.005)
    assert measured.components is not None
    assert sum(measured.components.values()) == measured.peak_bytes
    for name in set(predicted.components) | set(measured.components):  # each within 1% of the peak
        found = measured.components.get(name, 0)
        assert predicted.components.get(name, 0) == pytest.approx(found, abs=0.01 * measured.peak_bytes), name
