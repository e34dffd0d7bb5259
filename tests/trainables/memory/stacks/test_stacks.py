"""What other stacks keep in memory, worked out by hand on small models."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.memory.stacks.description import Adapters, Sharding, StackRun
from trainables.memory.stacks.presets import loss_of, repeats_keys, version_of
from trainables.memory.stacks.step import trace_stack
from trainables.memory.tracing.timeline import MemoryTrace

VOCABULARY, WIDTH, ROWS, TOKENS = 512, 64, 2, 32


def llama_config(layers: int = 2) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=160,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )


def stack_trace(**changes: Any) -> MemoryTrace:
    given: dict[str, Any] = {
        "stack": "hf-trainer",
        "config": llama_config(),
        "micro_batch_size": ROWS,
        "sequence_length": TOKENS,
        "attention": "flash-attn",
    }
    return trace_stack(StackRun(**(given | changes)))


def made(trace: MemoryTrace, phase: str, operation: str) -> list[int]:
    return [a.size_bytes for a in trace.allocations if (a.phase, a.operation) == (phase, operation)]


def parameters() -> int:
    layer = WIDTH * (64 + 32 + 32 + 64) + 3 * WIDTH * 160 + 2 * WIDTH  # query, key, value, output; gated; two norms
    return 2 * layer + 2 * VOCABULARY * WIDTH + WIDTH


def test_foreach_adamw_takes_a_root_of_every_second_moment_at_once() -> None:
    roots = made(stack_trace(), "optimizer", "_foreach_sqrt")
    assert sum(roots) == 2 * 2 * parameters()  # two steps, two bytes a weight


def test_fused_adamw_takes_none() -> None:
    assert made(stack_trace(implementation="fused"), "optimizer", "_foreach_sqrt") == []


@pytest.mark.parametrize(
    ("loss", "bytes_an_entry"),
    [
        ("plain", 2 + 2),  # logits, log-probabilities
        ("hf-4.45", 4 + 4 + 4),  # fp32 logits, shifted, log-probabilities
        ("hf", 2 + 4 + 4 + 4),  # the model's own logits besides
        ("unsloth-4.45", 4 + 4),  # the kernel keeps no log-probabilities
    ],
)
def test_copies_of_the_logits_at_the_loss(loss: Any, bytes_an_entry: int) -> None:
    trace = stack_trace(loss=loss)
    most = live = 0
    for event in trace.events:
        allocation = trace.allocations[event if event >= 0 else ~event]
        if allocation.component != "loss":
            continue
        live += allocation.size_bytes if event >= 0 else -allocation.size_bytes
        if event >= 0 and allocation.phase == "forward":
            most = max(most, live)
    rows = ROWS * (TOKENS - 1)
    assert most == pytest.approx(bytes_an_entry * rows * VOCABULARY, rel=0.05)  # whole rows beside shifted ones


def test_repeated_keys_are_as_wide_as_queries() -> None:
    grouped = stack_trace(repeats_keys=False).peak().allocated_bytes
    repeated = stack_trace(repeats_keys=True).peak().allocated_bytes
    assert repeated > grouped


def test_two_cards_hold_half_the_weights_each() -> None:
    trace = stack_trace(
        config=llama_config(8),
        gradient_checkpointing=True,
        is_reentrant=True,
        adapters=Adapters(rank=4, targets=("q_proj", "v_proj")),
        sharding=Sharding(kind="fsdp1", cards=2, originals=True, wraps_adapters=True, checkpoints_around=True),
    )
    layer = WIDTH * (64 + 32 + 32 + 64) + 3 * WIDTH * 160 + 2 * WIDTH
    gathered = [a.size_bytes for a in trace.allocations if a.component == "gathered"]
    assert max(gathered) == 2 * (2 * VOCABULARY * WIDTH + WIDTH)  # embedding, head and last norm, in two bytes
    assert gathered.count(2 * layer) == 2 * 8 * 3  # two steps; forward, repeated forward and backward for each layer


def test_versions_are_read_as_people_write_them() -> None:
    assert version_of("4.37-4.38") == (4, 37)
    assert version_of("4.4x") == (4, 40)
    assert version_of("2.2+") == (2, 2)
    assert version_of(None) > version_of("5.23.0")


def test_rules_of_a_version() -> None:
    assert repeats_keys("mistral", (4, 45, 2))
    assert not repeats_keys("mistral", (4, 48, 1))
    assert not repeats_keys("llama", (4, 45, 2))
    assert loss_of("llama", (4, 45, 2)) == "hf-4.45"
    assert loss_of("llama", (4, 46)) == "hf"
    assert loss_of("gpt_bigcode", (4, 48, 1), "unsloth") == "unsloth-shifted"
