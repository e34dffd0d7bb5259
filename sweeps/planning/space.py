"""The space of a sweep: which values each parameter takes, which trial a proposal means, and where to begin."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sweeps.planning.choices import divides
from sweeps.planning.finite_space import FiniteSpace, Point
from trainables.records.plan import CHOSEN, SweepPlan
from trainables.records.settings import SETTINGS, TrialSettings, good_value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

CANDIDATES = 5_000  # of a larger space, the starting points are chosen among as many

Proposal = Mapping[str, Any]


def space_of(plan: SweepPlan) -> FiniteSpace:
    """The points of a sweep: a batch goes with the micro-batches that divide it among the workers.

    Of a lever that means nothing beside what else the point has, there is one value only.
    """

    def is_valid(point: Point) -> bool:
        whole = plan.has_automatic_micro_batch or divides(point["batch_size"], point["micro_batch_size"], plan.workers)
        return whole and _levers_mean_something(plan, point)

    return FiniteSpace(plan.space, is_valid)


def space_size(plan: SweepPlan) -> int:
    """How many different trials the space holds; a ladder's, whose values are continuous, as many as it has."""
    if plan.rung_trials:
        return plan.trials
    values = {name: tuple(allowed) for name, allowed in plan.space.items() if name not in plan.levers}
    levers = (dict(zip(plan.levers, chosen, strict=True)) for chosen in itertools.product(*plan.levers.values()))
    lever_points = sum(_levers_mean_something(plan, point) for point in levers)
    if plan.has_automatic_micro_batch:
        return FiniteSpace(values).combinations * lever_points
    pairs = list(itertools.product(values["batch_size"], values["micro_batch_size"]))
    valid = sum(divides(batch, micro, plan.workers) for batch, micro in pairs)
    return FiniteSpace(values).combinations // len(pairs) * valid * lever_points


def _levers_mean_something(plan: SweepPlan, point: Point) -> bool:
    """Whether no lever of a point has another value than its first where the setting that it goes with is 0."""
    for name, values in plan.levers.items():
        other = SETTINGS[name].only_with
        if other and point[name] != values[0] and not point.get(other, getattr(plan, other)):
            return False
    return True


def trials_owed(plan: SweepPlan) -> int:
    """How many trials the sweep runs: as many as asked for, or as many as there are."""
    return min(plan.trials, space_size(plan))


def good_levers(plan: SweepPlan) -> dict[str, Any]:
    """Those of the searched levers that are known to be good."""
    good = {name: good_value(name, on_cuda=plan.on_cuda) for name in plan.levers}
    return {name: value for name, value in good.items() if value in plan.levers[name]}


def distributions(plan: SweepPlan) -> dict[str, BaseDistribution]:
    """The space as Optuna writes it."""
    from optuna.distributions import CategoricalDistribution

    return {name: CategoricalDistribution(values) for name, values in plan.space.items()}


def to_settings(plan: SweepPlan, proposal: Proposal) -> TrialSettings:
    """The settings that a proposal means: a point of the space, and the micro-batch where that is automatic.

    Raises: ValueError for a parameter that the space does not have, listing those it has.
    """
    known = {*plan.space, CHOSEN}
    unknown = sorted(set(proposal) - known)
    missing = sorted(known - set(proposal))
    if unknown or missing:
        raise ValueError(f"a proposal has unknown {unknown} and lacks {missing}; the space has {sorted(known)}.")
    return plan.settings(**proposal)


def to_point(plan: SweepPlan, proposal: Proposal) -> dict[str, Any]:
    """The part of a proposal that is searched, whatever was chosen beside it."""
    return {name: proposal[name] for name in plan.space if name in proposal}


def starting_points(
    plan: SweepPlan, fits: Callable[[Point], bool] | None = None, count: int | None = None
) -> list[dict[str, Any]]:
    """The first proposals: all different, every value of every parameter used about equally often, decided by the seed.

    Each next point is the one whose values were used least; so any first few of them are as even as can be. With
    `fits`, those that are predicted to fit, and others only when no more of them are left. Where levers are searched,
    the first point has them as they are known to be good. Of a range, equal stretches count as values.
    """
    space = space_of(plan)
    draw = random.Random(plan.seed)
    if space.combinations <= CANDIDATES:
        combinations = (dict(zip(space.values, c, strict=True)) for c in itertools.product(*space.values.values()))
        candidates = [tuple(point.values()) for point in combinations if space.is_valid(point)]
    else:
        walk = (space.point(key) for key in space.walk(draw))
        candidates = [tuple(p.values()) for p in itertools.islice(filter(space.is_valid, walk), CANDIDATES)]
    draw.shuffle(candidates)
    used: Counter[tuple[int, Any]] = Counter()
    points: list[dict[str, Any]] = []
    unfit: list[dict[str, Any]] = []
    wanted = min(plan.trials, plan.starting_points if count is None else count)
    if plan.levers and candidates:
        good = dict(zip(space.values, candidates[0], strict=True)) | good_levers(plan)
        candidates = [tuple(good.values()), *(c for c in candidates if c != tuple(good.values()))]
    stretch = _stretches(plan, wanted)

    def parts(candidate: tuple[Any, ...]) -> list[tuple[int, Any]]:
        return [(i, stretch.get((i, value), value)) for i, value in enumerate(candidate)]

    while candidates and len(points) < wanted:
        best = min(candidates, key=lambda candidate: sum(used[part] ** 2 for part in parts(candidate)))
        candidates.remove(best)
        point = dict(zip(space.values, best, strict=True))
        if fits is not None and not fits(point):
            unfit.append(point)
            continue
        used.update(parts(best))
        points.append(point)
    return points + unfit[: wanted - len(points)]


def _stretches(plan: SweepPlan, count: int) -> dict[tuple[int, Any], str]:
    """Which of `count` equal stretches each value of a range lies in, by the parameter's place and the value."""
    return {
        (place, value): f"stretch {number * count // len(values)}"
        for place, (name, values) in enumerate(plan.space.items())
        if name in plan.ranges
        for number, value in enumerate(values)
    }
