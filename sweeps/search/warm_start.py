"""What earlier sweeps found, for a sampler that is to begin from it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from analysis.ladder.climb import ladder_trial
from analysis.ladder.rungs import LadderTrial, Rung
from analysis.sweep_table.load import RecordsError, load_sweep
from sweeps.planning.finite_space import ScoredPoint
from sweeps.planning.options import OptionsError
from sweeps.planning.questions import ASKS_OF_MICRO_BATCH
from sweeps.planning.ranges import nearest
from sweeps.planning.space import space_of
from sweeps.search.objectives import verdict
from trainables.records.layout import LAYOUT
from trainables.records.plan import CHOSEN, SweepPlan
from trainables.records.record import Outcome, TrialRecord
from trainables.records.storage import Storage

MAY_DIFFER = {"seed", "memory_cap_bytes"}  # what moves figures by chance, or only says what fits


def earlier_trials(uris: Sequence[str], plan: SweepPlan, data_fingerprint: str) -> list[ScoredPoint]:
    """The trials of other sweeps that are points of this one's space, with everything that is not searched the same.

    Raises: OptionsError where a place holds no sweep, or none of its trials is of use.
    """
    trials: list[ScoredPoint] = []
    for uri in uris:
        try:
            records = load_sweep(uri).records
        except RecordsError as error:
            raise OptionsError(f"--warm-start: {error}") from None
        obstacles = [_obstacle(record, plan, data_fingerprint) for record in records]
        found = [record for record, obstacle in zip(records, obstacles, strict=True) if obstacle is None]
        if not found:
            reason, count = Counter(filter(None, obstacles)).most_common(1)[0] if records else ("there are none", 0)
            raise OptionsError(
                f"--warm-start {uri}: of its {len(records)} trials none can be used: {reason} ({count})."
            )
        trials += [_scored(record, plan) for record in found]
    return trials


def store_earlier(storage: Storage, trials: Sequence[ScoredPoint]) -> None:
    """Keep what was found with the sweep: a resumed one begins from the same."""
    storage.write_text(LAYOUT.warm_start, json.dumps([dataclasses.asdict(one) for one in trials]))


def load_earlier(storage: Storage) -> list[ScoredPoint]:
    """What `store_earlier` kept; nothing where it kept nothing."""
    try:
        found = json.loads(storage.read_text(LAYOUT.warm_start))
    except FileNotFoundError:
        return []
    return [
        ScoredPoint(point=one["point"], values=tuple(one["values"]), constraints=one["constraints"]) for one in found
    ]


def earlier_rungs(uris: Sequence[str], plan: SweepPlan, data_fingerprint: str) -> list[Rung]:
    """The trials of other sweeps, of whatever sizes, as rungs that a ladder's fits begin from, smallest first.

    Its line between sizes is what translates them. Raises: OptionsError as `earlier_trials`.
    """
    found: dict[str, tuple[int, list[LadderTrial]]] = {}
    for uri in uris:
        try:
            records = load_sweep(uri).records
        except RecordsError as error:
            raise OptionsError(f"--warm-start: {error}") from None
        obstacles = [_obstacle_to_ladder(record, plan, data_fingerprint) for record in records]
        if not records or all(obstacles):
            reason, count = Counter(filter(None, obstacles)).most_common(1)[0] if records else ("there are none", 0)
            raise OptionsError(
                f"--warm-start {uri}: of its {len(records)} trials none can be used: {reason} ({count})."
            )
        for record, obstacle in zip(records, obstacles, strict=True):
            if obstacle is None and record.report and record.report.parameters:
                _, trials = found.setdefault(record.settings.model, (record.report.parameters, []))
                trials.append(ladder_trial(record))
    rungs = [Rung(name=name, parameters=count, trials=tuple(trials)) for name, (count, trials) in found.items()]
    return sorted(rungs, key=lambda rung: rung.parameters)


def store_rungs(storage: Storage, rungs: Sequence[Rung]) -> None:
    """Keep what was found with the ladder: a resumed one begins from the same."""
    storage.write_text(LAYOUT.warm_start, json.dumps([dataclasses.asdict(rung) for rung in rungs]))


def _obstacle_to_ladder(record: TrialRecord, plan: SweepPlan, data_fingerprint: str) -> str | None:
    """Why a record is of no use to a ladder; None where it is. Size, rate and batch are what it is of use for."""
    if not ladder_trial(record).finished:
        return "it ended without a held-out loss"
    if record.provenance.data_fingerprint != data_fingerprint:
        return "it was trained on other data"
    earlier = dataclasses.asdict(record.settings)
    planned = dataclasses.asdict(
        plan.settings(model=plan.models[0], batch_size=plan.workers, micro_batch_size=1, learning_rate=1.0)
    )
    free = MAY_DIFFER | {"model", "batch_size", "micro_batch_size", "learning_rate", "workers", "epochs"}
    other = [name for name in planned if name not in free and planned[name] != earlier[name]]
    return f"its {other[0]} is {earlier[other[0]]!r}, this ladder's {planned[other[0]]!r}" if other else None


def _point(record: TrialRecord, plan: SweepPlan) -> dict[str, Any]:
    """Where a record lies in the space: in a range at the value next to its own."""
    point = {name: getattr(record.settings, name) for name in plan.space}
    beside = {name: nearest(point[name], plan.space[name]) for name in plan.ranges}
    return point | {name: value for name, value in beside.items() if value is not None}


def _obstacle(record: TrialRecord, plan: SweepPlan, data_fingerprint: str) -> str | None:
    """Why a record is of no use, in a few words; None where it is."""
    if record.outcome is Outcome.FAILED:
        return "it failed"
    point = _point(record, plan)
    outside = [name for name, values in plan.space.items() if point[name] not in values]
    if outside:
        return f"its {outside[0]} is not among this sweep's"
    if space_of(plan).key(point) is None:
        return "its micro-batch does not divide its batch among this sweep's workers"
    whole, may_differ = dict(point), MAY_DIFFER
    if plan.has_automatic_micro_batch:
        whole[CHOSEN], may_differ = 1, MAY_DIFFER | {CHOSEN}
        if set(plan.objectives) & set(ASKS_OF_MICRO_BATCH):  # then a figure is of use where the choice was the same
            may_differ = may_differ - {"memory_cap_bytes"}
            if not record.automatic_micro_batch:
                return "its micro-batch was given, this sweep's is automatic"
    planned = dataclasses.asdict(plan.settings(**whole))
    earlier = dataclasses.asdict(record.settings) | {name: whole[name] for name in plan.ranges}
    other = [name for name in planned if name not in may_differ and planned[name] != earlier[name]]
    if other:
        return f"its {other[0]} is {earlier[other[0]]!r}, this sweep's {planned[other[0]]!r}"
    if record.provenance.data_fingerprint != data_fingerprint:
        return "it was trained on other data"
    memory = record.report.memory if record.report else None
    if memory is not None and (memory.counter == "cuda_reserved") is not plan.on_cuda:
        return "its memory was counted on another kind of device"
    return None


def _scored(record: TrialRecord, plan: SweepPlan) -> ScoredPoint:
    found = verdict(record, plan)
    return ScoredPoint(point=_point(record, plan), values=found.values, constraints=found.constraints)
