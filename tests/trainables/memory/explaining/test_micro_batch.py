"""The largest micro-batch: found with few questions, and none larger fits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.memory.cards import Card
from trainables.memory.constants import ASSUMED
from trainables.memory.explaining.micro_batch import MOST_SEQUENCES, largest_micro_batch_size, largest_that_fits
from trainables.memory.predict import predict
from trainables.memory.tracing.trial_trace import trial_trace
from trainables.model.models import ModelShape
from trainables.records.settings import TrialSettings

pytestmark = pytest.mark.slow

MIB = 2**20
# nano-0.3m by its config.json: three layers of 64, feed-forward 256, 2,048 words, 514 rows of positions
NANO = ModelShape(layers=3, width=64, heads=4, ffn_width=256, vocabulary=2048, parameters=311_424, has_dropout=True)


def asked(
    needs: dict[int, int] | list[int], capacity_bytes: int, start: int, sequence_bytes: int
) -> tuple[int, list[int]]:
    sizes: list[int] = []

    def needed(size: int) -> tuple[bool, int]:
        sizes.append(size)
        return needs[size] <= capacity_bytes, needs[size]

    return largest_that_fits(needed, capacity_bytes, start=start, sequence_bytes=sequence_bytes), sizes


EVEN = [10 + 7 * size for size in range(MOST_SEQUENCES + 2)]  # 12 sequences need 94, 13 need 101


def test_needs_that_grow_evenly_take_four_questions_from_a_guess_that_is_half_wrong() -> None:
    # 8 need 66; the rest of 100 is 34, and at 14 a sequence that is 2 more: 10 need 80. By these two 7 a sequence: 12.
    assert asked(EVEN, 100, start=8, sequence_bytes=14) == (12, [8, 10, 12, 13])


def test_nothing_fits_and_everything_fits_are_answers() -> None:
    assert asked(EVEN, 16, start=8, sequence_bytes=7) == (0, [8, 1])
    assert asked(EVEN, 10**9, start=8, sequence_bytes=7) == (MOST_SEQUENCES, [8, MOST_SEQUENCES])


@settings(max_examples=30)
@given(
    steps=st.lists(st.integers(0, 90), min_size=40, max_size=40),
    capacity_bytes=st.integers(0, 2000),
    start=st.integers(1, 30),
    sequence_bytes=st.integers(1, 200),
)
def test_needs_that_grow_unevenly_are_searched_to_the_end(
    steps: list[int], capacity_bytes: int, start: int, sequence_bytes: int
) -> None:
    needs = [0]
    for size in range(1, MOST_SEQUENCES + 1):
        needs.append(needs[-1] + (steps[size] if size < len(steps) else 50))
    expected = sum(need <= capacity_bytes for need in needs) - 1
    found, sizes = asked(needs, capacity_bytes, start, sequence_bytes)
    assert found == expected
    assert len(sizes) <= 8 + 13  # 4,096 sizes are halved 12 times


@pytest.mark.parametrize("loss", ["hf", "fused"])
def test_one_sequence_more_than_the_answer_does_not_fit(
    loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    card = Card(capacity_bytes=ASSUMED.context_bytes + 64 * MIB)

    def at(size: int) -> TrialSettings:
        return TrialSettings(
            model="nano-0.3m",
            batch_size=2 * size,
            micro_batch_size=size,
            learning_rate=1e-3,
            sequence_length=128,
            token_budget=1,
            attention="eager",
            gradient_checkpointing=True,  # then a step of one sequence has other events than one of two
            loss=loss,  # pyright: ignore[reportArgumentType]
        )

    largest = largest_micro_batch_size(at(1), NANO, card, lambda size: trial_trace(at(size), card))
    assert largest is not None
    assert largest > 1
    assert predict(at(largest), card).fits
    assert not predict(at(largest + 1), card).fits
