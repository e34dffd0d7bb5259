"""The questions that sweeps answer: what each searches over, strives for and explores when a person does not say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.planning.options import CommonOptions, SampleQualityOptions, SweepOptions
from trainables.model.models import NANO_SIZES
from trainables.records.objectives import OBJECTIVES
from trainables.records.plan import AUTO, MicroBatch

# What a proposal may hold, and under which name a plan holds the values of it.
VALUES = {
    "model": "models",
    "batch_size": "batch_sizes",
    "micro_batch_size": "micro_batch_sizes",
    "learning_rate": "learning_rates",
    "epochs": "epochs",
    "replay_ratio": "replay_ratios",
}
FLAGS = {name: values.replace("_", "-") for name, values in VALUES.items()} | {"model": "model-sizes"}


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a sweep explores when the person does not say. A `token_budget` of None is made from `epochs`."""

    trials: int = 12
    models: tuple[str, ...]
    batch_sizes: tuple[int, ...] = (8, 16, 32)
    micro_batch_sizes: tuple[int, ...] = (2, 4, 8)
    learning_rates: tuple[float, ...]
    sequence_length: int
    token_budget: int | None = None
    epochs: tuple[float, ...] = ()
    replay_ratios: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question. `space` names what a proposal holds, `objectives` what it strives for, both in order.

    `columns` heads the table on the terminal.
    """

    name: str
    options: type[CommonOptions]
    space: tuple[str, ...]
    objectives: tuple[str, ...]
    columns: tuple[str, ...]
    on_cpu: Defaults
    on_gpu: Defaults
    smoke: Defaults


# The objectives that it moves.
ASKS_OF_MICRO_BATCH = tuple(name for name, objective in OBJECTIVES.items() if objective.follows_micro_batch)


def usual_micro_batches(
    default: Defaults, batch_sizes: Sequence[int], workers: int, objectives: Sequence[str], *, is_bounded: bool
) -> tuple[MicroBatch, ...]:
    """The micro-batches of a sweep whose person does not say: automatic where a card bounds them and no objective asks.

    Else those of `default` that divide a batch.
    """
    if is_bounded and not set(objectives) & set(ASKS_OF_MICRO_BATCH):
        return (AUTO,)
    sizes = default.micro_batch_sizes
    dividing = tuple(size for size in sizes if any(batch % (size * workers) == 0 for batch in batch_sizes))
    return dividing or sizes


NANO_RATES = (1e-4, 3e-4, 1e-3, 3e-3)
BATCH_SPACE = ("model", "batch_size", "micro_batch_size", "learning_rate")

BATCH_MEMORY = Question(
    name="batch_memory",
    options=SweepOptions,
    space=BATCH_SPACE,
    objectives=("sample_quality", "peak_bytes", "tokens_per_second"),
    columns=("trial", "size", "batch", "micro", "lr", "loss", "quality", "peak", "tokens/s", "outcome"),
    on_cpu=Defaults(models=NANO_SIZES, learning_rates=NANO_RATES, sequence_length=128, token_budget=48_000),
    on_gpu=Defaults(
        models=("125m",), learning_rates=(1e-5, 3e-5, 1e-4, 3e-4), sequence_length=512, token_budget=1_000_000
    ),
    smoke=Defaults(
        trials=2,
        models=NANO_SIZES[:1],
        batch_sizes=(8,),
        micro_batch_sizes=(4,),
        learning_rates=NANO_RATES,
        sequence_length=128,
        token_budget=4_000,
    ),
)

SAMPLE_QUALITY = Question(
    name="sample_quality",
    options=SampleQualityOptions,
    space=(*BATCH_SPACE, "epochs", "replay_ratio"),
    objectives=("style", "spill_over"),
    columns=("trial", "size", "lr", "epochs", "replay", "loss", "style", "spill-over", "quality", "outcome"),
    on_cpu=Defaults(
        models=NANO_SIZES[:2],
        batch_sizes=(16,),
        micro_batch_sizes=(8,),
        learning_rates=NANO_RATES[1:],
        sequence_length=128,
        epochs=(0.5, 1.0, 2.0),
        replay_ratios=(0.0, 0.5, 1.0),
    ),
    on_gpu=Defaults(
        models=("125m",),
        batch_sizes=(16,),
        micro_batch_sizes=(8,),
        learning_rates=(1e-5, 3e-5, 1e-4),
        sequence_length=512,
        epochs=(1.0, 2.0, 4.0),
        replay_ratios=(0.0, 0.5, 1.0, 2.0),
    ),
    smoke=Defaults(
        trials=2,
        models=NANO_SIZES[:1],
        batch_sizes=(8,),
        micro_batch_sizes=(8,),
        learning_rates=(1e-3,),
        sequence_length=128,
        epochs=(0.05,),
        replay_ratios=(0.0, 1.0),
    ),
)

QUESTIONS = {question.name: question for question in (BATCH_MEMORY, SAMPLE_QUALITY)}
