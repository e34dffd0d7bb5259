"""Where a trial runs, and what it is predicted to need there: of a cluster's nodes, the cheapest kind that holds it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweeps.planning.choices import divides
from sweeps.planning.node_kinds import NodeKind
from trainables.memory.cards import Card
from trainables.memory.formula.sharding import ShardedStep
from trainables.memory.predict import evaluation_bytes, predict_worker
from trainables.model.models import ModelShape
from trainables.records.byte_sizes import memory_text
from trainables.records.plan import SweepPlan
from trainables.records.record import MemoryPrediction
from trainables.records.settings import TrialSettings

SURE = 1.05  # where the formula, within 1% of the trace, needs this many times the card, no trace is made


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What is predicted of each of a trial's devices; their kind of node, None where there are none to choose from."""

    prediction: MemoryPrediction
    kind: NodeKind | None = None


def place(settings: TrialSettings, shape: ModelShape, kinds: Sequence[NodeKind]) -> Placement:
    """The kind for a trial of `settings.workers` GPUs: of those that hold it the cheapest, where none does the largest.

    One node is preferred to several; where no prices are known, small cards are.
    """
    able = [kind for kind in kinds if kind.gpus * kind.most_nodes >= settings.workers] or list(kinds)
    for kind in sorted(able, key=lambda kind: _cost(kind, settings.workers)):
        prediction = predict_on(settings, shape, kind)
        if prediction.fits:
            return Placement(prediction=prediction, kind=kind)
    largest = max(able, key=lambda kind: kind.card.capacity_bytes or math.inf)
    return Placement(prediction=predict_on(settings, shape, largest), kind=largest)


def describe_placements(plan: SweepPlan, shapes: Mapping[str, ModelShape], kinds: Sequence[NodeKind]) -> list[str]:
    """For each size, in one line: its kind of node, how many GPUs, what each is predicted to hold, the hourly price.

    A last line says where the prices are from.

    At the sweep's smallest micro-batch. For a size that one GPU does not hold, how many would, sharded.
    """
    lines = []
    for model in plan.models:
        settings = plan.as_laid_out(
            plan.settings(
                model=model,
                batch_size=max(plan.batch_sizes),
                micro_batch_size=plan.least_micro_batch_size,
                learning_rate=plan.learning_rates[0],
                epochs=min(plan.epochs, default=None),
                replay_ratio=min(plan.replay_ratios, default=0.0),
            )
        )
        head = f"  {model:>10s}  micro-batch {settings.micro_batch_size}  "
        placed = place(settings, shapes[model], kinds)
        if placed.kind is not None and placed.prediction.fits:
            each = placed.prediction.device_bytes
            shards = ", sharded" if settings.parallel == "fsdp" else ""
            lines.append(head + _line(placed.kind, settings.workers, each) + shards)
            continue
        found = fewest_sharded(settings, shapes[model], kinds)
        if found is None:
            lines.append(head + "no kind of node holds it, even sharded")
        else:
            kind, gpus, each = found
            lines.append(head + _line(kind, gpus, each) + f", sharded: --parallel fsdp --gpus-per-trial {gpus}")
    sources = dict.fromkeys(kind.price_source or "not stated" for kind in kinds if kind.price_per_hour is not None)
    return lines + [f"Source of the prices: {'; '.join(sources)}"] * bool(sources)


def fewest_sharded(
    settings: TrialSettings, shape: ModelShape, kinds: Sequence[NodeKind]
) -> tuple[NodeKind, int, int] | None:
    """The cheapest kind over whose GPUs the trial fits when sharded: the kind, GPUs and bytes on each; None without."""
    found, step = [], ShardedStep(settings, shape)
    for kind in kinds:
        gpus = _gpus_needed(step, kind)
        if gpus is not None:
            found.append((kind.price_of(gpus) or math.inf, gpus, kind.name, kind))
    if not found:
        return None
    _, gpus, _, kind = min(found, key=lambda entry: entry[:3])
    return kind, gpus, step.on(kind.card, gpus).device_bytes


def _gpus_needed(step: ShardedStep, kind: NodeKind) -> int | None:
    """As many as hold the shards and divide the batch; None where the kind has not as many, or none is known to do."""
    if kind.card.capacity_bytes is None or not kind.card.holds(evaluation_bytes(step.settings, step.shape)):
        return None
    fewest = step.fewest(kind.card)
    counts = range(fewest or 1, kind.gpus * kind.most_nodes + 1) if fewest else ()
    return next((n for n in counts if divides(step.settings.batch_size, step.settings.micro_batch_size, n)), None)


def _line(kind: NodeKind, gpus: int, each_bytes: int) -> str:
    price = kind.price_of(gpus)
    cost = "price unknown" if price is None else f"{price:.2f} an hour"
    nodes = math.ceil(gpus / kind.gpus)
    place_text = f"{kind.name} ({kind.instance or kind.card.name})" + (f" x {nodes}" if nodes > 1 else "")
    return f"{place_text}  {gpus} GPU  predicted {memory_text(each_bytes)} on each  {cost}"


def predict_on(settings: TrialSettings, shape: ModelShape, kind: NodeKind) -> MemoryPrediction:
    """Peak memory of one of the trial's workers on a card of this kind; by the formula alone where that is clear."""
    return predict_worker(settings, shape, kind.card.capped(settings.memory_cap_bytes), sure=SURE)


def _cost(kind: NodeKind, gpus: int) -> tuple[bool, float, float, int]:
    """What orders kinds: one node before several, then the price of the GPUs, then the size of the card."""
    price = math.inf if kind.price_per_hour is None else kind.price_per_hour / max(1, kind.gpus)
    return gpus > kind.gpus, price, kind.card.capacity_bytes or math.inf, kind.gpus


HOPELESS = 2  # a micro-batch of which the formula needs this many times the card is not traced


def place_trial(
    settings: TrialSettings, plan: SweepPlan, shapes: Mapping[str, ModelShape], kinds: Sequence[NodeKind]
) -> Placement:
    """Where a trial of the sweep runs, and what it is predicted to need of what trains it.

    Where micro-batches are automatic they are looked for on the node that a micro-batch of one would get.
    """
    shape, settings = shapes[settings.model], plan.as_laid_out(settings)
    if not (plan.on_cuda and kinds):
        is_one_of_many = plan.has_automatic_micro_batch and settings.micro_batch_size > 1
        sure = HOPELESS if is_one_of_many else None
        return Placement(prediction=predict_worker(settings, shape, training_card(plan), sure=sure))
    if not plan.has_automatic_micro_batch:
        return place(settings, shape, kinds)
    kind = place(dataclasses.replace(settings, micro_batch_size=1), shape, kinds).kind
    assert kind is not None, "one of the kinds"
    return Placement(prediction=predict_on(settings, shape, kind), kind=kind)


def named_card(plan: SweepPlan) -> Card:
    """The GPU that the sweep predicts for, whether it trains on one or not."""
    return Card(name=plan.gpu, capacity_bytes=plan.capacity_bytes)


def cpu_of(plan: SweepPlan) -> Card:
    """The CPU that a worker without a GPU trains on: bounded by the memory cap alone."""
    return Card(capacity_bytes=plan.memory_cap_bytes, on_cuda=False)


def training_card(plan: SweepPlan) -> Card:
    """What the sweep trains on where no kind of node is chosen."""
    return named_card(plan) if plan.on_cuda else cpu_of(plan)
