"""What a person can get wrong about a ladder before any of its sizes is looked at."""

from __future__ import annotations

import dataclasses

from analysis.ladder.climb import trials_of
from analysis.ladder.placement import AROUND, SPREAD_FIRST
from sweeps.planning.options import NOT_FOR_LADDERS, LadderOptions, OptionsError
from trainables.records.plan import RUNG_NUMBERS, SweepPlan


def check_ladder_options(options: LadderOptions) -> None:
    """See that nothing was asked that a ladder chooses itself. Raises: OptionsError."""
    defaults = LadderOptions()
    for name in NOT_FOR_LADDERS:
        if getattr(options, name) != getattr(defaults, name):
            raise OptionsError(f"--{name.replace('_', '-')} cannot be set for a ladder; see --help for what can.")
    counts = options.rung_trials
    if counts is not None and not all(1 <= count < RUNG_NUMBERS for count in counts):
        given = " ".join(map(str, counts))
        raise OptionsError(f"--rung-trials {given}; each must be from 1 to {RUNG_NUMBERS - 1}.")
    if counts is not None and (counts[0] < SPREAD_FIRST or counts[1] <= AROUND):
        raise OptionsError(
            f"--rung-trials {' '.join(map(str, counts))} cannot locate a best point: the lowest rung needs at least"
            f" {SPREAD_FIRST}, each further one {AROUND + 1}."
        )


def checked_ladder(plan: SweepPlan) -> SweepPlan:
    """The plan with as many trials as its rungs up to the top have. Raises: OptionsError."""
    if plan.until is not None and plan.until not in plan.models:
        raise OptionsError(f"--until {plan.until} is not one of the rungs {', '.join(plan.models)}.")
    top = plan.models.index(plan.until or plan.models[-1])
    return dataclasses.replace(plan, trials=sum(trials_of(plan, place) for place in range(top + 1)))
