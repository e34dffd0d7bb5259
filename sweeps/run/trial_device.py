"""Which device trains a trial, and what is predicted of it there before anything was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from sweeps.planning.node_kinds import NodeKind
from sweeps.planning.plan import SweepPlan
from sweeps.run.placement import Placement, place, predict_on
from sweeps.run.prediction import predict_worker
from trainables.memory.closed_form import ModelShape
from trainables.memory.predict import predict_by_formula
from trainables.records import MemoryPrediction
from trainables.settings import TrialSettings

HOPELESS = 2  # a micro-batch of which the formula needs this many times the card is not traced


def placement_of(
    settings: TrialSettings, plan: SweepPlan, shapes: Mapping[str, ModelShape], kinds: Sequence[NodeKind]
) -> Placement | None:
    """On which kind of a cluster's GPU nodes the trial runs; None where there are none to choose from."""
    return place(settings, shapes[settings.model], kinds) if plan.on_cuda and kinds else None


def predicted(
    settings: TrialSettings, plan: SweepPlan, shapes: Mapping[str, ModelShape], kinds: Sequence[NodeKind]
) -> MemoryPrediction:
    """What a trial is predicted to need of the device that trains it.

    Where micro-batches are automatic they are looked for on the node that a micro-batch of one would get.
    """
    shape, settings = shapes[settings.model], plan.as_laid_out(settings)
    if plan.has_automatic_micro_batch:
        least = dataclasses.replace(settings, micro_batch_size=1)
        placement = placement_of(least, plan, shapes, kinds)
        return predict_on(settings, shape, placement.kind) if placement else _predicted_quickly(settings, plan, shape)
    placement = placement_of(settings, plan, shapes, kinds)
    if placement is not None:
        return placement.prediction
    return predicted_on_card(settings, plan, shape) if plan.on_cuda else predicted_on_cpu(settings, plan, shape)


def predicted_on_card(settings: TrialSettings, plan: SweepPlan, shape: ModelShape) -> MemoryPrediction:
    """What a worker needs of the sweep's card."""
    return predict_worker(settings, shape, gpu=plan.gpu, capacity_bytes=plan.capacity_bytes, on_cuda=True)


def predicted_on_cpu(settings: TrialSettings, plan: SweepPlan, shape: ModelShape) -> MemoryPrediction:
    """What a worker without a GPU needs."""
    return predict_worker(settings, shape, gpu=None, capacity_bytes=plan.memory_cap_bytes, on_cuda=False)


def _predicted_quickly(settings: TrialSettings, plan: SweepPlan, shape: ModelShape) -> MemoryPrediction:
    """As the two above, by the formula alone where that leaves no doubt: few sizes of a large batch need a trace."""
    capacity_bytes = plan.capacity_bytes if plan.on_cuda else plan.memory_cap_bytes
    if settings.parallel == "ddp" and settings.micro_batch_size > 1 and capacity_bytes is not None:
        target = {"gpu": plan.gpu if plan.on_cuda else None, "capacity_bytes": capacity_bytes, "on_cuda": plan.on_cuda}
        coarse = predict_by_formula(settings, shape, **target)
        if coarse.allocated_bytes > HOPELESS * capacity_bytes:
            return coarse
    return predicted_on_card(settings, plan, shape) if plan.on_cuda else predicted_on_cpu(settings, plan, shape)
