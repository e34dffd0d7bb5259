"""The sampler: Optuna's TPE over the whole space at once, never proposing a point twice."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial

REDRAWS = 20


class DistinctSampler(TPESampler):
    """TPE for a space of categories in which a trial run again would only give the same figures again.

    A proposal that the study already holds is drawn again; after `REDRAWS` vain draws a point that is still free is
    taken at random, so a space of n points gives n different trials.
    """

    def __init__(self, values: Mapping[str, Sequence[Any]], *, seed: int, startup_trials: int) -> None:
        super().__init__(seed=seed, n_startup_trials=startup_trials, multivariate=True)
        self._values = dict(values)
        self._random = random.Random(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters, from the first trial on: they are drawn together."""
        return {name: CategoricalDistribution(values) for name, values in self._values.items()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A point that no other trial of the study has; any point when all are taken."""
        taken = {_key(other.params) for other in study.get_trials(deepcopy=False) if other.number != trial.number}
        for _ in range(REDRAWS):
            point = super().sample_relative(study, trial, search_space)
            if point and _key(point) not in taken:
                return point
        choices = itertools.product(*self._values.values())
        points = [dict(zip(self._values, choice, strict=True)) for choice in choices]
        free = [point for point in points if _key(point) not in taken]
        return self._random.choice(free or points)


def _key(point: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(point.items()))
