"""The rungs of a size ladder: one size each, with the trials that ran on it."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from data.errors import UserError

LEAST_RATIO = 2.9  # between the parameters of two neighbouring rungs: 3 as sizes are named (nano-0.3m has 0.31M)
MODELS_TOLD = "choose sizes at least 3 times apart, smallest first"


@dataclass(frozen=True, kw_only=True)
class LadderTrial:
    """One trial of a rung: where it stood and what came out.

    All trials of a ladder are read on the same held-out lines, so what those lines add to the loss by chance is the
    same in all and cancels; the standard error that a record holds is of other lines, and no noise of a fit.
    """

    learning_rate: float
    batch_size: float  # sequences per optimizer step
    loss: float  # held out, nats per token; infinite where the trial diverged

    @property
    def finished(self) -> bool:
        """Whether it has a loss that a fit can use."""
        return math.isfinite(self.loss) and self.loss > 0


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One size and its trials, in the order in which they ran."""

    name: str
    parameters: int
    trials: tuple[LadderTrial, ...] = ()

    @property
    def octaves(self) -> float:
        """log₂ of the parameters: rungs are measured in doublings of size."""
        return math.log2(self.parameters)

    @property
    def finished(self) -> tuple[LadderTrial, ...]:
        """The trials that a fit can use."""
        return tuple(trial for trial in self.trials if trial.finished)


def check_sizes(sizes: Sequence[tuple[str, int]]) -> None:
    """Refuse a ladder that cannot be climbed, before anything runs.

    `sizes` are names and parameters, lowest rung first.
    Raises: UserError on fewer than two rungs, rungs out of order, or two that are less than 3 times apart.
    """
    if len(sizes) < 2:
        names = ", ".join(name for name, _ in sizes) or "none"
        raise UserError(f"a ladder of {len(sizes)} rung ({names}) predicts nothing; {MODELS_TOLD}, two rungs or more.")
    for (below, small), (above, large) in itertools.pairwise(sizes):
        if large <= small:
            raise UserError(
                f"the rung {above} ({large:,} parameters) follows {below} ({small:,}): rungs out of order;"
                f" {MODELS_TOLD}."
            )
        if large < LEAST_RATIO * small:
            raise UserError(
                f"the rung {above} has {large / small:.1f} times the parameters of {below}: too close to tell a trend"
                f" from noise; {MODELS_TOLD}."
            )


def check_finished(rungs: Sequence[Rung]) -> None:
    """Refuse to predict from a rung that taught nothing.

    Raises: UserError on a rung without a trial, and on one whose trials all diverged or failed.
    """
    for rung in rungs:
        if not rung.trials:
            raise UserError(f"the rung {rung.name} has no finished trial; run it again: the rungs below it are kept.")
        if not rung.finished:
            rates = [trial.learning_rate for trial in rung.trials]
            raise UserError(
                f"all {len(rates)} trials of the rung {rung.name} diverged or failed, at learning rates"
                f" {min(rates):.1e} to {max(rates):.1e}; lower the range with --learning-rate-range: the rungs below"
                " it are kept."
            )
