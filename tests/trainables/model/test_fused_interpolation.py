"""Under the fused loss two traces give all other micro-batches too, whatever chunks it cuts."""

from __future__ import annotations

import pytest

from trainables.memory.formula.sizes import chunk_tokens
from trainables.memory.tracing import cuda_rules
from trainables.memory.tracing.allocator import replay
from trainables.memory.tracing.own_step import trace_trial
from trainables.memory.tracing.timeline import MemoryTrace
from trainables.memory.tracing.trial_trace import interpolate
from trainables.model.models import find_model, load_config, model_shape
from trainables.records.settings import TrialSettings

CONFIG = load_config(find_model("nano-0.3m"), "pretrained")
SHAPE = model_shape(CONFIG)


def traced(size: int, precision: str, lora_rank: int = 0) -> MemoryTrace:
    settings = TrialSettings(
        model="nano-0.3m",
        batch_size=size,
        micro_batch_size=size,
        learning_rate=1e-3,
        sequence_length=128,
        token_budget=1,
        precision=precision,  # pyright: ignore[reportArgumentType]
        loss="fused",
        lora_rank=lora_rank,
    )
    return trace_trial(settings, CONFIG)


def test_a_chunk_is_half_the_power_of_two_above_the_tokens_over_vocabulary_by_width() -> None:
    # 2,048 words by a width of 64 are 32; 3 x 128 tokens by 32 are 12, below 16, of which half is 8.
    assert [chunk_tokens(size * 128, SHAPE) for size in (1, 2, 3, 4, 5, 8)] == [2, 4, 8, 8, 16, 16]


@pytest.mark.parametrize(("precision", "lora_rank"), [("fp32", 0), ("bf16-amp", 0), ("bf16-amp", 4)])
def test_a_size_beyond_is_as_its_own_trace(precision: str, lora_rank: int) -> None:
    small, large = traced(2, precision, lora_rank), traced(4, precision, lora_rank)
    made = interpolate(small, large, 2, 4, 9, lambda size: chunk_tokens(size * 128, SHAPE))
    assert made == traced(9, precision, lora_rank)


def test_two_passes_over_the_chunks_stand_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = traced(4, "bf16-amp")
    monkeypatch.setattr(cuda_rules, "PASSES", 512)
    whole = traced(4, "bf16-amp")
    assert len(whole.events) > len(shown.events) + 100
    assert shown.peak().allocated_bytes == whole.peak().allocated_bytes
    assert replay(shown).reserved_bytes == replay(whole).reserved_bytes
