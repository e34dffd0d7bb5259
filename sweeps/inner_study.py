"""The study that a sampler looks at: in memory, of bounded size, with places in the order of values for parameters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from analysis.front import nondominated
from sweeps.finite_space import Key

Places = Mapping[str, IntDistribution | CategoricalDistribution]


class InnerStudy:
    """A study of `sampler` over keys, whose trials go by handles: whole numbers that are never used again.

    Of more than twice `remembered` trials it keeps half: those that run, the best, and the latest.
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
            self._forget()
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

    def _begin(self) -> None:
        self._study = optuna.create_study(sampler=self._sampler, directions=self._directions)

    def _forget(self) -> None:
        ended = [t for t in self._study.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE]
        running = {handle: self._key(trial) for handle, trial in self._running.items()}
        kept = {trial.number for trial in self._best(ended)[-self._remembered // 2 :]}
        latest = [trial.number for trial in ended if trial.number not in kept]
        kept |= set(latest[len(kept) - self._remembered :])
        self._begin()
        for trial in ended:
            if trial.number in kept:
                placed = self._placed(tuple(trial.params[name] for name in self._places))
                self.tell(self._keep(placed), trial.values, trial.constraints)
        self._running = {handle: self._placed(key) for handle, key in running.items()}

    def _best(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        feasible = [trial for trial in trials if all(value <= 0 for value in trial.constraints.values())]
        signs = [1 if direction is StudyDirection.MAXIMIZE else -1 for direction in self._directions]
        gains = np.array([trial.values for trial in feasible]).reshape(-1, len(signs)) * signs
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

    def _key(self, trial: optuna.Trial) -> Key:
        return tuple(trial.params[name] for name in self._places)
