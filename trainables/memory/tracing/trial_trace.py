"""The trace of a trial's step: from the cache, from two other micro-batches, or run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainables.memory.cards import Card
from trainables.memory.tracing.cache import cache_key, load_trace, store_trace
from trainables.memory.tracing.timeline import CHUNKED, MemoryTrace
from trainables.model.models import find_model
from trainables.records.settings import MEMORY_FIELDS, TrialSettings


def trial_trace(settings: TrialSettings, card: Card) -> MemoryTrace:
    """The memory events of one worker's training step on `card`. Torch is imported only where nothing is cached.

    Raises: trainables.model.models.ModelError when the model is not known or its config cannot be had.
    """
    key = cache_key(trial_facts(settings, card))
    trace = load_trace(key)
    if trace is None:
        trace = _run(settings, card)
        store_trace(key, trace)
    return trace if card.workspace_bytes is None else with_workspace(trace, card.workspace_bytes)


def with_workspace(trace: MemoryTrace, workspace_bytes: int) -> MemoryTrace:
    """The same step where the matrix library keeps another amount for a thread: all that differs between cards."""
    allocations = tuple(
        a._replace(size_bytes=workspace_bytes) if a.component == "workspaces" else a for a in trace.allocations
    )
    return dataclasses.replace(trace, allocations=allocations)


def with_micro_batch(settings: TrialSettings, micro_batch_size: int) -> TrialSettings:
    """The same settings at another micro-batch, accumulating as before."""
    batch_size = micro_batch_size * settings.workers * settings.accumulation_steps
    return dataclasses.replace(settings, micro_batch_size=micro_batch_size, batch_size=batch_size)


def interpolate(
    small: MemoryTrace,
    large: MemoryTrace,
    small_size: int,
    large_size: int,
    size: int,
    chunk: Callable[[int], int] = lambda size: size,
) -> MemoryTrace:
    """The trace at micro-batch `size`, from those at two others; `chunk` gives the fused loss's chunk at a size.

    The same operations run at every micro-batch and a tensor's bytes are a constant plus so many a sequence, or so many
    a token of a chunk, so this is exact wherever both traces have the same events. Raises: ValueError where they have
    not.
    """
    if small.events != large.events:
        raise ValueError("the traces differ in their events; the step depends on the micro-batch.")
    span = large_size - small_size

    def size_bytes(at_small: int, at_large: int, operation: str) -> int:
        if operation == CHUNKED:
            return at_small * chunk(size) // chunk(small_size)
        return at_small + (at_large - at_small) * (size - small_size) // span

    allocations = tuple(
        a._replace(size_bytes=size_bytes(a.size_bytes, b.size_bytes, a.operation))
        for a, b in zip(small.allocations, large.allocations, strict=True)
    )
    return dataclasses.replace(small, allocations=allocations)


def _run(settings: TrialSettings, card: Card) -> MemoryTrace:
    from trainables.memory.tracing.own_step import trace_trial
    from trainables.model.models import load_config

    config = load_config(find_model(settings.model), settings.weights)
    return trace_trial(settings, config, device=card.device)


def trial_facts(settings: TrialSettings, card: Card) -> dict[str, Any]:
    """What a trace depends on beside the programs, as plain JSON. Raises: ModelError for an unknown model."""
    source = find_model(settings.model)
    config = Path(source.location) / "config.json"
    return {
        "settings": {name: getattr(settings, name) for name in MEMORY_FIELDS},
        "shards": settings.workers if settings.parallel == "fsdp" else 1,
        "micro_batches": min(settings.accumulation_steps, 2),
        "config": config.read_text(encoding="utf-8") if source.is_local and config.is_file() else source.location,
        "device": card.device,
    }
