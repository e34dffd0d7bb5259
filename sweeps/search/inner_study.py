"""The study that a sampler looks at: in memory, of bounded size, with places in the order of values for parameters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from analysis.sweep_table.front import nondominated
from sweeps.planning.finite_space import Key

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
