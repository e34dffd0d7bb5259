"""The runs of memory_accuracy.py, in an order in which every slice is met early."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from trainables.memory.cards import find_card
from trainables.records.settings import TrialSettings

VARIED = (
    "model",
    "micro_batch_size",
    "sequence_length",
    "precision",
    "attention",
    "loss",
    "gradient_checkpointing",
    "lora_rank",
    "memory_cap_bytes",
)
CPU_RUNS = [
    *(
        (model, batch, length)
        for model in ("nano-0.3m", "nano-1m", "nano-4m")
        for batch, length in ((1, 512), (8, 128))
    ),
    *(("125m", batch, length) for batch, length in ((1, 64), (2, 128), (1, 256), (1, 512))),
]
CPU_LEVERS: list[dict[str, Any]] = [
    {"lora_rank": 8},
    {"gradient_checkpointing": True},
    {"loss": "fused"},
    {"precision": "bf16"},
    {"precision": "bf16-amp"},
    {"batch_size": 8},  # accumulating twice
    {"precision": "bf16-amp", "loss": "fused", "gradient_checkpointing": True, "lora_rank": 8, "batch_size": 8},
]


# fp32, near a cap on both sides, run under it: who fits is not plain there. The first two are the story of a 24 GB A10.
GB = 10**9
CAPPED = (
    *((find_card("a10").capacity_bytes, "125m", batch, 2048) for batch in (8, 7)),
    *((24 * GB, *run) for run in (("125m", 32, 512), ("125m", 30, 512), ("1.3b", 4, 512))),
    *((40 * GB, *run) for run in (("125m", 13, 2048), ("125m", 14, 2048), ("1.3b", 4, 1024), ("1.3b", 8, 1024))),
    *((80 * GB, *run) for run in (("125m", 26, 2048), ("125m", 28, 2048), ("1.3b", 16, 1024))),
)


def grid(on_cuda: bool) -> Iterator[TrialSettings]:
    """On a GPU about 250 runs, on a CPU 50."""
    if not on_cuda:
        for (model, batch, length), attention in itertools.product(CPU_RUNS, ("sdpa", "eager")):
            yield _settings(model, batch, length, attention=attention)
        for model, fields in itertools.product(("nano-0.3m", "nano-1m", "nano-4m", "125m"), CPU_LEVERS):
            yield _settings(model, 4, 64 if model == "125m" else 128, **fields)
        for batch, length in ((1, 33), (3, 100)):
            yield _settings("125m", batch, length)
        return
    for model, batch, length, precision in itertools.product(
        ("125m", "1.3b"), (1, 4, 8, 32), (512, 2048), ("fp32", "bf16-amp", "bf16")
    ):
        for fields in (
            {},
            {"loss": "fused"},
            {"gradient_checkpointing": True, "loss": "fused"},
            {"attention": "eager"},
            {"lora_rank": 8},
        ):
            yield _settings(model, batch, length, precision=precision, **fields)
    for cap_bytes, model, batch, length in CAPPED:
        yield _settings(model, batch, length, memory_cap_bytes=cap_bytes)
    for batch in (1, 4):
        yield _settings("6.7b", batch, 2048, precision="bf16", gradient_checkpointing=True, loss="fused", lora_rank=8)


def every_slice_early(runs: Sequence[TrialSettings], done: Sequence[TrialSettings] = ()) -> list[TrialSettings]:
    """The runs that are not `done`, each next the one whose values were met least so far: a cut-short list is even."""
    met = Counter(value for run in done for value in _values(run))
    left = [run for run in runs if run not in set(done)]
    ordered = []
    while left:
        best = min(left, key=lambda run: sum(met[value] for value in _values(run)))
        left.remove(best)
        ordered.append(best)
        met.update(_values(best))
    return ordered


def _values(run: TrialSettings) -> list[tuple[str, Any]]:
    fields = dataclasses.asdict(run)
    return [(name, fields[name]) for name in VARIED]


def _settings(model: str, batch: int, length: int, **fields: Any) -> TrialSettings:
    sizes = {"batch_size": batch} | fields  # more where it accumulates
    return TrialSettings(
        model=model,
        micro_batch_size=batch,
        sequence_length=length,
        learning_rate=1e-4,
        token_budget=1,
        weights="pretrained" if model.startswith("nano") else "random",
        **sizes,  # pyright: ignore[reportArgumentType]
    )
