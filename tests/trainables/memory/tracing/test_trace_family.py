"""A few traces give those at every micro-batch and length, to the byte, or say that they cannot."""

from __future__ import annotations

import functools

import pytest

from trainables.memory.formula.sizes import chunk_tokens
from trainables.memory.tracing.own_step import trace_trial
from trainables.memory.tracing.timeline import CHUNKED, Allocation, MemoryTrace
from trainables.memory.tracing.trace_family import Point, StepsDifferError, TraceFamily, nodes
from trainables.model.models import find_model, load_config, model_shape
from trainables.records.settings import TrialSettings

pytestmark = pytest.mark.slow

CONFIG = load_config(find_model("nano-0.3m"), "pretrained")
SHAPE = model_shape(CONFIG)
POSITIONS = 512  # of every nano model, by its config.json


def traced(point: Point, **levers: object) -> MemoryTrace:
    size, length = point
    settings = TrialSettings(
        model="nano-0.3m",
        batch_size=size,
        micro_batch_size=size,
        learning_rate=1e-3,
        sequence_length=length,
        token_budget=1,
        **levers,  # pyright: ignore[reportArgumentType]
    )
    return trace_trial(settings, CONFIG)


@pytest.mark.parametrize(
    "levers",
    [
        {},
        {"attention": "eager", "gradient_checkpointing": True},
        {"loss": "fused", "precision": "bf16-amp", "lora_rank": 4},
    ],
    ids=["plain", "eager-checkpointing", "fused-amp-lora"],
)
def test_a_trace_at_any_size_is_as_its_own(levers: dict[str, object]) -> None:
    trace = functools.partial(traced, **levers)
    attention = str(levers.get("attention", "sdpa"))
    family = TraceFamily(trace, attention, POSITIONS, lambda tokens: chunk_tokens(tokens, SHAPE))
    # No node of the family: a length that no kernel rounds to itself, one shorter and one longer than all of them.
    for size, length in [(1, 333), (7, 333), (4, 100), (1, 128), (9, 512)]:
        assert family.at(size, length) == trace((size, length))


def made(bytes_at: object, events: tuple[int, ...] = (0, 1), operation: str = "mm") -> object:
    """A function that gives traces of a weight of 1,000 bytes and a tensor whose bytes `bytes_at` tells."""

    def trace(point: Point) -> MemoryTrace:
        allocations = (
            Allocation(1000, "load", "to", "weights"),
            Allocation(bytes_at(*point), "forward", operation, "activations"),  # pyright: ignore[reportCallIssue]
        )
        return MemoryTrace(allocations=allocations, events=events, block_bytes=512)

    return trace


def size_at(bytes_at: object, point: Point, attention: str = "sdpa") -> list[int]:
    family = TraceFamily(made(bytes_at), attention, POSITIONS, lambda tokens: 1)  # pyright: ignore[reportArgumentType]
    return [a.size_bytes for a in family.at(*point).allocations]


def test_each_tensor_grows_by_its_own_rounding_of_the_length() -> None:
    # 3 x (48 + 8 x 101) = 2,568; to 32: 3 x 8 x 128 = 3,072; to 128: the same length, 3 x 8 x 128.
    assert size_at(lambda size, length: size * (48 + 8 * length), (3, 101)) == [1000, 2568]
    assert size_at(lambda size, length: size * 8 * (-(-length // 32) * 32), (3, 101)) == [1000, 3072]
    assert size_at(lambda size, length: size * 8 * (-(-length // 128) * 128), (3, 129)) == [1000, 6144]


def test_matrices_of_eager_attention_grow_with_the_square_of_the_length() -> None:
    assert size_at(lambda size, length: 20 + size * 2 * length**2, (4, 10), "eager") == [1000, 820]


@pytest.mark.parametrize(
    "bytes_at",
    [
        lambda size, length: size * length**2,  # with SDPA nothing should
        lambda size, length: size * -(-length // 24) * 24,  # a rounding that no kernel is known to make
        lambda size, length: size**2 * length,
        lambda size, length: 4 * length if size < 4 else 8 * length,
    ],
)
def test_a_tensor_that_grows_otherwise_is_no_familys(bytes_at: object) -> None:
    with pytest.raises(StepsDifferError):
        size_at(bytes_at, (4, 100))


def test_other_events_at_another_size_are_no_familys() -> None:
    def trace(point: Point) -> MemoryTrace:
        events = (0, 1) if point[1] < 500 else (0, 1, ~1)
        return made(lambda size, length: 8, events)(point)  # pyright: ignore[reportCallIssue]

    with pytest.raises(StepsDifferError, match="differ in their events"):
        TraceFamily(trace, "sdpa", POSITIONS, lambda tokens: 1)


def test_tokens_that_the_fused_loss_leaves_whole_are_traced_themselves() -> None:
    asked: list[Point] = []

    def trace(point: Point) -> MemoryTrace:
        asked.append(point)
        return made(lambda size, length: 6 * (size * length // 100), operation=CHUNKED)(point)  # pyright: ignore[reportCallIssue]

    family = TraceFamily(trace, "sdpa", POSITIONS, lambda tokens: tokens // 100)
    before = len(asked)
    assert family.at(3, 101).allocations[1].size_bytes == 18  # 303 tokens: 3 a chunk
    assert len(asked) == before
    family.at(1, 64)
    assert asked[before:] == [(1, 64)]


def test_a_model_of_few_positions_has_no_nodes() -> None:
    with pytest.raises(StepsDifferError, match="256 positions"):
        nodes("sdpa", 256)
    assert len(nodes("sdpa", 512)) == 9
    assert max(length for _, length in nodes("eager", 512)) <= 512
