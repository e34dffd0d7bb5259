"""A trace of few layers, repeated, against the trace of all of them: event by event, on real models."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.memory.tracing.layers import (
    FEW_LAYERS,
    FEW_SHARDED_LAYERS,
    LayeredEvents,
    LayersDifferError,
    repeat_layers,
)
from trainables.memory.tracing.own_step import trace_layers, with_layers
from trainables.memory.tracing.timeline import Allocation
from trainables.records.settings import TrialSettings

DEEP = 7


def settings(**changes: Any) -> TrialSettings:
    given: dict[str, Any] = {
        "model": "made here",
        "batch_size": 4,
        "micro_batch_size": 2,
        "learning_rate": 1e-4,
        "sequence_length": 32,
        "token_budget": 1,
        "weights": "random",
    }
    return TrialSettings(**(given | changes))


def opt_config(layers: int) -> Any:
    from transformers import OPTConfig

    return OPTConfig(
        vocab_size=512,
        hidden_size=64,
        ffn_dim=256,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=64,
        word_embed_proj_dim=64,
    )


def llama_config(layers: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16-amp", "gradient_checkpointing": True, "lora_rank": 4},
        {"precision": "bf16", "loss": "fused", "attention": "eager"},
    ],
    ids=str,
)
def test_few_layers_repeated_are_the_whole_trace(changes: dict[str, Any]) -> None:
    whole = trace_layers(settings(**changes), opt_config(DEEP), device="cuda")
    few = trace_layers(settings(**changes), opt_config(FEW_LAYERS), device="cuda", layers=DEEP)
    assert few.events == whole.events
    assert few.allocations == whole.allocations


@pytest.mark.parametrize("precision", ["fp32", "bf16-amp"])
def test_layers_of_a_sharded_step_repeat(precision: str) -> None:
    sharded = settings(precision=precision, gradient_checkpointing=True, workers=4, batch_size=8, parallel="fsdp")
    whole = trace_layers(sharded, opt_config(FEW_SHARDED_LAYERS + 1), device="cuda")
    few = trace_layers(sharded, opt_config(FEW_SHARDED_LAYERS), device="cuda", layers=FEW_SHARDED_LAYERS + 1)
    assert few == whole


def test_grouped_heads_repeat_on_a_cpu_too() -> None:
    alone = settings(batch_size=2)
    whole = trace_layers(alone, llama_config(DEEP), device="cpu")
    assert trace_layers(alone, with_layers(llama_config(30), FEW_LAYERS), device="cpu", layers=DEEP) == whole


def test_layers_of_two_kinds_are_not_repeated() -> None:
    with pytest.raises(LayersDifferError, match="two middle layers"):
        repeat_layers(layered([(0, 512), (1, 512), (2, 512), (3, 1024), (4, 512), (5, 512)]), FEW_LAYERS, DEEP)


def layered(made: list[tuple[int, int]]) -> LayeredEvents:
    """One block a layer, kept: (layer, bytes)."""
    return LayeredEvents(
        allocations=[Allocation(size, "forward", "mm", "activations") for _, size in made],
        events=list(range(len(made))),
        places=[layer for layer, _ in made],
        owners=[layer for layer, _ in made],
    )


def test_layers_that_free_downwards_are_repeated_downwards() -> None:
    up = layered([(layer, 512) for layer in range(FEW_LAYERS)])
    up.events += [~index for index in reversed(range(FEW_LAYERS))]
    up.places += list(reversed(range(FEW_LAYERS)))
    allocations, events = repeat_layers(up, FEW_LAYERS, 8)
    assert len(allocations) == 8
    assert events == [0, 1, 2, 3, 4, 5, 6, 7, ~7, ~6, ~5, ~4, ~3, ~2, ~1, ~0]
