"""The sampler: one of Optuna's, on a finite space of which no point is proposed twice and none that will not fit."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import optuna
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from analysis.sweep_table.front import nondominated
from sweeps.planning.finite_space import FiniteSpace, Key, Point, ScoredPoint

Kind = Literal["tpe", "nsga2", "gp", "random"]
REDRAWS = {"tpe": 4, "nsga2": 8, "gp": 0, "random": 8}  # of a point that is taken; a Gaussian process would repeat it
REMEMBERED = {"tpe": 500, "nsga2": 500, "gp": 150, "random": 1}  # trials that the sampler looks at


def anything_fits(point: Point) -> bool:
    """Nothing is known of memory."""
    return True


class DistinctSampler(BaseSampler):
    """Puts one of Optuna's samplers to work on a finite space, where a trial run again would only repeat its figures.

    The sampler inside sees a study of its own, in memory, whose parameters are places in the order of the values: it
    knows that 16 lies between 8 and 32, answers as fast whatever storage the study has, and looks at the best and the
    latest `REMEMBERED` trials only. `earlier` is what other sweeps found; `fits` says whether a point is expected to
    fit the device. A draw that is taken or does not fit is drawn again, then the nearest that is free is taken; what
    does not fit is proposed only when nothing else is left, and any point when all are taken.
    """

    def __init__(
        self,
        space: FiniteSpace,
        *,
        seed: int,
        startup_trials: int,
        kind: Kind = "tpe",
        fits: Callable[[Point], bool] = anything_fits,
        earlier: Sequence[ScoredPoint] = (),
    ) -> None:
        self._space, self._redraws, self._fits, self._earlier = space, REDRAWS[kind], fits, tuple(earlier)
        self._random = random.Random(seed)
        self._places = {
            name: IntDistribution(0, len(v) - 1) if space.is_ordered(name) else CategoricalDistribution(range(len(v)))
            for name, v in space.values.items()
        }
        self._sampler, self._remembered = _inner_sampler(kind, seed, startup_trials), REMEMBERED[kind]
        self._inner: InnerStudy | None = None
        self._taken: set[Key] = set()
        self._running: dict[int, int] = {}  # handles in the study inside, by number

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Where the trial's point was queued, take it; Optuna asks for no other."""
        inner = self._inner or self._begin(study)
        queued = self._space.key(trial.system_attrs.get("fixed_params", {}))
        if queued is not None:
            self._take(trial, inner.place(queued), queued)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters, from the first trial on: they are drawn together."""
        return {name: CategoricalDistribution(values) for name, values in self._space.values.items()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A point that no other trial of the study has."""
        inner = self._inner or self._begin(study)
        drawn = self._draw(inner)
        key = inner.key(drawn)
        self._take(trial, drawn, key)
        return self._space.point(key)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Raises: ValueError, for all parameters of the space are drawn together."""
        raise ValueError(f"{param_name!r} is no parameter of this space; it has {sorted(self._space.values)}.")

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Tell the sampler inside how a trial ended."""
        drawn = self._running.pop(trial.number, None)
        if drawn is not None and self._inner is not None:
            self._inner.tell(drawn, values if state is TrialState.COMPLETE else None, trial.constraints)

    def _take(self, trial: FrozenTrial, drawn: int, key: Key) -> None:
        self._taken.add(key)
        self._running[trial.number] = drawn

    def _begin(self, study: Study) -> InnerStudy:
        """Take over what the study holds when it is first met, and what other sweeps found."""
        inner = self._inner = InnerStudy(self._sampler, self._places, study.directions, self._remembered)
        ended = [(trial.point, trial.values, trial.constraints) for trial in self._earlier]
        for trial in study.get_trials(deepcopy=False):
            is_waiting = trial.state is TrialState.WAITING
            key = self._space.key(trial.system_attrs.get("fixed_params", {}) if is_waiting else trial.params)
            if key is not None and trial.state is not TrialState.RUNNING:
                self._taken.add(key)
            if trial.state is TrialState.COMPLETE:
                ended.append((trial.params, trial.values, trial.constraints))
        keyed = [(self._space.key(point), values, constraints) for point, values, constraints in ended]
        inner.learn([Ended(key, values, constraints) for key, values, constraints in keyed if key is not None])
        return inner

    def _draw(self, inner: InnerStudy) -> int:
        for _ in range(self._redraws):
            drawn = inner.draw()
            if self._is_welcome(inner.key(drawn)):
                return drawn
            inner.tell(drawn, None)
        drawn = inner.draw()
        last, free = inner.key(drawn), None
        if self._is_welcome(last):
            return drawn
        inner.tell(drawn, None)
        for key in self._space.neighbours(last, self._random):
            if self._is_welcome(key):
                return inner.place(key)
            if free is None and self._is_free(key):
                free = key
        return inner.place(free or last)

    def _is_free(self, key: Key) -> bool:
        return key not in self._taken and self._space.is_valid(self._space.point(key))

    def _is_welcome(self, key: Key) -> bool:
        return self._is_free(key) and self._fits(self._space.point(key))


def _inner_sampler(kind: Kind, seed: int, startup_trials: int) -> BaseSampler:
    if kind == "nsga2":
        return NSGAIISampler(seed=seed, population_size=startup_trials)
    if kind == "gp":
        return GPSampler(seed=seed, n_startup_trials=startup_trials)
    if kind == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=startup_trials, multivariate=True)


Places = Mapping[str, BaseDistribution]


class Ended(NamedTuple):
    """A point and how it did: a value for each objective, constraints by name (above 0: violated)."""

    key: Key
    values: Sequence[float]
    constraints: Mapping[str, float]


class InnerStudy:
    """A study of `sampler` over keys, whose trials go by handles: whole numbers that are never used again.

    Of more than twice `remembered` ended trials it keeps half: the best and the latest.
    """

    def __init__(
        self, sampler: BaseSampler, places: Places, directions: Sequence[StudyDirection], remembered: int
    ) -> None:
        self._sampler, self._places, self._directions = sampler, dict(places), list(directions)
        self._remembered = remembered
        self._handles = itertools.count()
        self._running: dict[int, optuna.Trial] = {}
        self._begin()

    def draw(self) -> int:
        """A trial at a point of the sampler's choice."""
        if len(self._study.get_trials(deepcopy=False)) > 2 * self._remembered:
            ended = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            running = {handle: self._key(trial) for handle, trial in self._running.items()}
            self._begin()
            self.learn([Ended(self._key(t), t.values, t.constraints) for t in ended])
            self._running = {handle: self._placed(key) for handle, key in running.items()}
        return self._keep(self._study.ask(dict(self._places)))

    def place(self, key: Key) -> int:
        """A trial at this point."""
        return self._keep(self._placed(key))

    def key(self, handle: int) -> Key:
        """The point of a running trial."""
        return self._key(self._running[handle])

    def tell(self, handle: int, values: Sequence[float] | None, constraints: Mapping[str, float] | None = None) -> None:
        """Tell the sampler how a trial ended; without values it is as if it had never been."""
        trial = self._running.pop(handle)
        if values is None:
            self._study.tell(trial, state=TrialState.FAIL)
            return
        for name, value in (constraints or {}).items():
            trial.set_constraint(name, value)
        self._study.tell(trial, list(values))

    def learn(self, ended: Sequence[Ended]) -> None:
        """Take over trials that have ended, oldest first: all of them where there is room, else the best and latest."""
        if len(ended) > self._remembered:
            kept = set(self._best(ended)[-self._remembered // 2 :])
            latest = [index for index in range(len(ended)) if index not in kept]
            kept |= set(latest[len(kept) - self._remembered :])
            ended = [one for index, one in enumerate(ended) if index in kept]
        for one in ended:
            if isinstance(self._sampler, NSGAIISampler):
                self.tell(self.place(one.key), one.values, one.constraints)
                continue
            self._study.add_trial(
                create_trial(
                    params=dict(zip(self._places, one.key, strict=True)),
                    distributions=dict(self._places),
                    values=one.values,
                    constraints=dict(one.constraints),
                )
            )

    def _begin(self) -> None:
        self._study = optuna.create_study(sampler=self._sampler, directions=self._directions)

    def _best(self, ended: Sequence[Ended]) -> list[int]:
        """Places in `ended` of what is feasible and not dominated."""
        feasible = [i for i, one in enumerate(ended) if all(value <= 0 for value in one.constraints.values())]
        signs = [1 if direction is StudyDirection.MAXIMIZE else -1 for direction in self._directions]
        gains = np.array([ended[i].values for i in feasible]).reshape(-1, len(signs)) * signs
        return [feasible[index] for index in nondominated(gains)]

    def _placed(self, key: Key) -> optuna.Trial:
        self._study.enqueue_trial(dict(zip(self._places, key, strict=True)))
        trial = self._study.ask(dict(self._places))
        if isinstance(self._sampler, NSGAIISampler):  # it sees only trials that are of a generation
            self._sampler.get_trial_generation(self._study, self._study.get_trials(deepcopy=False)[trial.number])
        return trial

    def _keep(self, trial: optuna.Trial) -> int:
        handle = next(self._handles)
        self._running[handle] = trial
        return handle

    def _key(self, trial: optuna.Trial | FrozenTrial) -> Key:
        return tuple(trial.params[name] for name in self._places)
