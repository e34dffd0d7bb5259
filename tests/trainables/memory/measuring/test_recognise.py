"""What a block of a real step is told to be, where sizes are alike: by shapes on a CPU, by who asked on CUDA.

No GPU was there: blocks stand as CUDA's history would tell of them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from trainables.memory.measuring.probe import Block
from trainables.memory.measuring.recognise import Recogniser

# 2 sequences of 64 tokens, width 64, 4 heads, vocabulary 256: logits, attention matrices and an activation of four
# widths are 32,768 elements each.
ELEMENTS = 2 * 64 * 256
BYTES = 4 * ELEMENTS


def recogniser(**fields: Any) -> Recogniser:
    defaults: dict[str, Any] = {
        "live": {"weights": [torch.zeros(4)]},
        "logits": ELEMENTS,
        "vocabulary": 256,
        "scores": ELEMENTS,
        "rows": 2 * 4 * 64,
        "length": 64,
        "width": 64,
        "is_eager": True,
        "element_sizes": (4,),
        "cast_weights": Counter(),
    }
    return Recogniser(**(defaults | fields))


def named(seen: Recogniser, *blocks: Block) -> list[str]:
    name_of = seen.naming()
    return [name_of(place, block, False) for place, block in enumerate(blocks, start=1)]


@pytest.mark.parametrize(
    ("operation", "shapes", "component"),
    [
        ("mm", ((128, 64), (64, 256)), "loss"),
        ("_log_softmax", ((128, 256),), "loss"),
        ("bmm", ((8, 64, 16), (8, 16, 64)), "attention_matrices"),
        ("_softmax", ((2, 4, 64, 64),), "attention_matrices"),
        ("gelu", ((2, 64, 64),), "activations"),  # as long as it is wide, and no attention
        ("zeros", (), "activations"),
    ],
)
def test_on_a_cpu_blocks_of_one_size_are_told_by_what_was_read(
    operation: str, shapes: tuple[tuple[int, ...], ...], component: str
) -> None:
    assert named(recogniser(), Block(BYTES, "forward", operation, True, None, shapes)) == [component]


@pytest.mark.parametrize(
    ("operation", "is_eager", "component"),
    [
        ("eager_attention_forward", True, "attention_matrices"),
        ("eager_attention_forward", False, "activations"),
        ("forward", True, "activations"),
        (None, True, "attention_matrices"),  # a backward pass, of which nothing is told
        (None, False, "activations"),
    ],
)
def test_on_cuda_attention_is_told_by_the_function_that_asked(
    operation: str | None, is_eager: bool, component: str
) -> None:
    seen = recogniser(is_eager=is_eager, block_bytes=512, logits=1)
    assert named(seen, Block(BYTES, "forward", operation, True)) == [component]


def test_on_cuda_sizes_are_those_of_whole_blocks() -> None:
    seen = recogniser(block_bytes=512, rows=100)  # 400 bytes
    assert named(seen, Block(512, "forward", "sdpa_attention_forward", True)) == ["attention_matrices"]


def test_on_cuda_as_many_blocks_are_autocast_copies_as_there_are_weights_of_that_size() -> None:
    seen = recogniser(block_bytes=512, cast_weights=Counter({1000: 2}))
    block = Block(2048, "forward", "forward", True)
    assert named(seen, block, block, block) == ["autocast_copies", "autocast_copies", "activations"]
