"""A ladder as its records show it: rungs, outcomes, and what is predicted for a size above them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from analysis.ladder.frozen import RungPrediction
from analysis.ladder.landscape import Estimate, Landscape, Optimum
from analysis.ladder.placement import LogRange, Point, fit, next_stage, stages
from analysis.ladder.rungs import LadderTrial, Rung
from analysis.ladder.transfer import Points, forecast_loss, forecast_optimum, forecast_share
from trainables.records.plan import RUNG_NUMBERS, SweepPlan
from trainables.records.record import Outcome, QualityReport, TrialRecord, style

# Shares of a trial's quality that a ladder predicts: name and where it is read.
SHARES = ("sample_quality", "adherence", "style", "fluency", "diversity", "novelty", "spill_over", "retention")


@dataclass(frozen=True, kw_only=True)
class RungOutcome:
    """What came out of a rung by the fit, never by its best trial: rate, batch and loss at the best point.

    `shares` are means of the trials, the nearer to the best point the weightier.
    """

    size: str
    parameters: int
    learning_rate: float
    batch_size: float
    loss: float
    loss_deviation: float  # of the log loss
    shares: dict[str, Estimate]
    best_trial: int  # number of the trial with the lowest loss, to compare


@dataclass(frozen=True, kw_only=True)
class Climb:
    """The rungs of a ladder with their records. `earlier` are rungs of other sweeps that count in the fits."""

    plan: SweepPlan
    records: tuple[TrialRecord, ...]
    earlier: tuple[Rung, ...] = ()

    @property
    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Names and parameters, lowest first, those beyond the top too."""
        return tuple(zip(self.plan.models, self.plan.rung_parameters, strict=True))

    @property
    def top(self) -> int:
        """The place of the highest rung that is to run."""
        return self.plan.models.index(self.plan.until or self.plan.models[-1])

    @property
    def ranges(self) -> tuple[LogRange, LogRange]:
        """Where trials may stand: learning rates and batches."""
        rates, batches = self.plan.learning_rates, self.plan.batch_sizes
        return LogRange(low=rates[0], high=rates[-1]), LogRange(low=batches[0], high=batches[-1])

    def trials_of(self, place: int) -> int:
        """How many trials that rung is to have."""
        return trials_of(self.plan, place)

    def is_whole(self, place: int) -> bool:
        """Whether all trials of that rung have a record."""
        return len(self._records_of(place)) >= self.trials_of(place)

    @cached_property
    def _by_number(self) -> dict[int, TrialRecord]:
        return {record.number: record for record in self.records}

    def _records_of(self, place: int) -> list[TrialRecord]:
        numbers = range(place * RUNG_NUMBERS, (place + 1) * RUNG_NUMBERS)
        return [self._by_number[number] for number in numbers if number in self._by_number]

    def rung(self, place: int, first: int | None = None) -> Rung:
        """That rung with the trials that have a record, or the first so many of them."""
        name, parameters = self.sizes[place]
        trials = tuple(ladder_trial(record) for record in self._records_of(place)[:first])
        return Rung(name=name, parameters=parameters, trials=trials)

    def below(self, place: int) -> tuple[Rung, ...]:
        """The rungs under that one with a trial that a fit can use, those of other sweeps first."""
        own = (self.rung(under) for under in range(place))
        return (*self.earlier, *(rung for rung in own if rung.finished))

    def stage(self, place: int) -> dict[int, Point]:
        """The trials of the rung's present stage by number, those that have run too; none when the rung is whole."""
        start, trials, is_top = 0, self.trials_of(place), place == self.top and place > 0
        first = place * RUNG_NUMBERS
        for end in stages(trials, lowest=not self.below(place), top=is_top):
            if any(first + count not in self._by_number for count in range(start, end)):
                points = next_stage(self.below(place), self.rung(place, start), self.ranges, trials, top=is_top)
                return {first + start + count: point for count, point in enumerate(points)}
            start = end
        return {}

    def landscape(self, place: int) -> Landscape:
        """The fit of everything under that place."""
        return fit(self.below(place), self.ranges)

    def outcome(self, place: int) -> RungOutcome | None:
        """What came out of a rung; None where no trial of it finished."""
        rung = self.rung(place)
        if not rung.finished:
            return None
        rungs = (*self.below(place), rung)
        best = fit(rungs, self.ranges).optimum(len(rungs) - 1)
        finished = [record for record in self._records_of(place) if ladder_trial(record).finished]
        return RungOutcome(
            size=rung.name,
            parameters=rung.parameters,
            learning_rate=2**best.rate.value,
            batch_size=2**best.batch.value,
            loss=math.exp(best.log_loss.value),
            loss_deviation=best.log_loss.deviation,
            shares=_shares(finished, best),
            best_trial=min(finished, key=lambda record: ladder_trial(record).loss).number,
        )

    def predict(self, place: int) -> RungPrediction:
        """What is predicted of that size from those under it that ran."""
        name, parameters = self.sizes[place]
        octaves = math.log2(parameters)
        rate, batch = forecast_optimum(self.landscape(place), octaves)
        outcomes = [outcome for under in range(place) if (outcome := self.outcome(under))]
        numbers = [record.number for under in range(place) for record in self._records_of(under)]
        losses = [(math.log2(outcome.parameters), outcome.loss) for outcome in outcomes]
        return RungPrediction(
            size=name,
            parameters=parameters,
            learning_rate=rate,
            batch_size=batch,
            loss=forecast_loss(
                losses or self._earlier_losses(), octaves, outcomes[-1].loss_deviation if outcomes else 0
            ),
            shares=_forecast_shares(outcomes, octaves),
            below=tuple(rung.name for rung in self.below(place)),
            trials=tuple(sorted(numbers)),
        )

    def _earlier_losses(self) -> Points:
        best = fit(self.earlier, self.ranges)
        bottoms = [math.exp(best.optimum(place).log_loss.value) for place in range(len(self.earlier))]
        return sorted((rung.octaves, bottom) for rung, bottom in zip(self.earlier, bottoms, strict=True))


def trials_of(plan: SweepPlan, place: int) -> int:
    """How many trials the rung at that place is to have: the lowest, one between, or the top."""
    lowest, between, top = plan.rung_trials
    if place == 0:
        return lowest
    return top if plan.models[place] == (plan.until or plan.models[-1]) else between


def ladder_trial(record: TrialRecord) -> LadderTrial:
    """A record as the fits read it; whatever did not end with a loss is infinitely bad."""
    evaluation = record.report.evaluation if record.report else None
    is_told = record.outcome is Outcome.FINISHED and evaluation is not None
    return LadderTrial(
        learning_rate=record.settings.learning_rate,
        batch_size=record.settings.batch_size,
        loss=evaluation.quote_loss if is_told and evaluation else math.inf,
    )


def _shares(records: Sequence[TrialRecord], best: Optimum) -> dict[str, Estimate]:
    weighed = [
        (math.exp(-(_octaves_away(record, best) ** 2) / 2), record.report.quality)
        for record in records
        if record.report and record.report.quality
    ]
    if not weighed:
        return {}
    return {name: _mean([(weight, _share(quality, name)) for weight, quality in weighed]) for name in SHARES}


def _octaves_away(record: TrialRecord, best: Optimum) -> float:
    across = math.log2(record.settings.learning_rate) - best.rate.value
    return math.hypot(across, math.log2(record.settings.batch_size) - best.batch.value)


def _share(quality: QualityReport, name: str) -> float:
    return style(quality) if name == "style" else float(getattr(quality, name))


def _mean(weighed: Sequence[tuple[float, float]]) -> Estimate:
    whole = sum(weight for weight, _ in weighed)
    mean = sum(weight * value for weight, value in weighed) / whole
    spread = sum((weight * (value - mean)) ** 2 for weight, value in weighed)
    return Estimate(value=mean, deviation=math.sqrt(spread) / whole)


def _forecast_shares(outcomes: Sequence[RungOutcome], octaves: float) -> dict:
    forecasts = {}
    for name in SHARES:
        points = [(math.log2(out.parameters), out.shares[name].value) for out in outcomes if name in out.shares]
        if points and outcomes[-1].shares:
            forecasts[name] = forecast_share(points, octaves, outcomes[-1].shares[name].deviation)
    return forecasts
