"""The space of a sweep: which values each parameter takes, which trial a proposal means, and where to begin."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sweeps.plan import SweepPlan
from sweeps.questions import QUESTIONS, VALUES
from trainables.settings import TrialSettings

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

STARTING_POINTS = 12  # trials that are laid out evenly before the sampler takes over

Proposal = Mapping[str, Any]


def space_values(plan: SweepPlan) -> dict[str, tuple[Any, ...]]:
    """The parameters of a sweep and the values that each may take."""
    return {name: getattr(plan, VALUES[name]) for name in QUESTIONS[plan.question].space}


def space_size(plan: SweepPlan) -> int:
    """How many different trials the space holds."""
    size = 1
    for values in space_values(plan).values():
        size *= len(values)
    return size


def distributions(plan: SweepPlan) -> dict[str, BaseDistribution]:
    """The space as Optuna writes it."""
    from optuna.distributions import CategoricalDistribution

    return {name: CategoricalDistribution(values) for name, values in space_values(plan).items()}


def to_settings(plan: SweepPlan, proposal: Proposal) -> TrialSettings:
    """The settings that a proposal means.

    Raises: ValueError for a parameter that the space does not have, listing those it has.
    """
    known = space_values(plan)
    unknown = sorted(set(proposal) - set(known))
    missing = sorted(set(known) - set(proposal))
    if unknown or missing:
        raise ValueError(f"a proposal has unknown {unknown} and lacks {missing}; the space has {sorted(known)}.")
    return plan.settings(**proposal)


def starting_points(plan: SweepPlan) -> list[dict[str, Any]]:
    """The first proposals: all different, every value of every parameter used about equally often, decided by the seed.

    Each next point is the one whose values were used least; so any first few of them are as even as can be.
    """
    space = space_values(plan)
    candidates = list(itertools.product(*space.values()))
    random.Random(plan.seed).shuffle(candidates)
    used: Counter[tuple[int, Any]] = Counter()
    points: list[dict[str, Any]] = []
    while candidates and len(points) < min(plan.trials, STARTING_POINTS):
        best = min(candidates, key=lambda candidate: sum(used[key] ** 2 for key in enumerate(candidate)))
        candidates.remove(best)
        used.update(enumerate(best))
        points.append(dict(zip(space, best, strict=True)))
    return points
