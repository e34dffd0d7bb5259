"""Components sum to what is allocated, to the byte, however a prediction was come by."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainables.memory.cards import Card
from trainables.memory.formula.sharding import ShardedStep
from trainables.memory.predict import predict, predict_by_formula, predict_shard
from trainables.model.models import ModelShape
from trainables.records.settings import TrialSettings

# nano-0.3m by its config.json: three layers of 64, feed-forward 256, 2,048 words, 514 rows of positions
SHAPE = ModelShape(layers=3, width=64, heads=4, ffn_width=256, vocabulary=2048, parameters=311_424, has_dropout=True)
CARD = Card(name="a10", capacity_bytes=2**30)
CPU = Card(capacity_bytes=2**30, on_cuda=False)


@st.composite
def steps(draw: st.DrawFn) -> TrialSettings:
    size = draw(st.integers(1, 9))
    return TrialSettings(
        model="nano-0.3m",
        batch_size=size * draw(st.integers(1, 3)),
        micro_batch_size=size,
        learning_rate=1e-3,
        sequence_length=draw(st.integers(8, 130)),
        token_budget=1,
        precision=draw(st.sampled_from(["fp32", "bf16-amp", "fp16-amp", "bf16"])),
        attention=draw(st.sampled_from(["sdpa", "eager"])),
        loss=draw(st.sampled_from(["hf", "fused"])),
        gradient_checkpointing=draw(st.booleans()),
        optimizer=draw(st.sampled_from(["adamw", "adamw-8bit", "sgd"])),
        lora_rank=draw(st.sampled_from([0, 3])),
    )


@given(steps(), st.integers(2, 9), st.sampled_from([CARD, CPU]))
def test_those_of_the_formulas_do(step: TrialSettings, gpus: int, card: Card) -> None:
    for made in (
        predict_by_formula(step, SHAPE, card),
        predict_shard(ShardedStep(step, SHAPE), card, gpus),
    ):
        assert sum(made.components.values()) == made.allocated_bytes
        assert made.peak_phase in ("forward", "backward", "optimizer")
        assert made.reserved_bytes >= made.allocated_bytes


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps(), st.sampled_from([CARD, CPU]))
def test_those_of_a_trace_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: TrialSettings, card: Card) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = predict(step, card)
    assert made.method.startswith("trace")
    assert sum(made.components.values()) == made.allocated_bytes


def test_eight_bit_states_are_kept_in_fp16_as_in_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def states(precision: str) -> int:
        step = TrialSettings(
            model="nano-0.3m",
            batch_size=2,
            micro_batch_size=2,
            learning_rate=1e-3,
            sequence_length=32,
            token_budget=1,
            precision=precision,  # pyright: ignore[reportArgumentType]
            optimizer="adamw-8bit",
        )
        return predict(step, CARD).components["optimizer_states"]

    assert states("fp16-amp") == states("bf16-amp") > 2 * 311_424  # two states of a byte, and their scales
