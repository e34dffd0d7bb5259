"""The gate before a rung: what must hold before anything of it is launched, and what to do where it does not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.ladder.frozen import RungPrediction
from analysis.ladder.landscape import OFF_LINE, Landscape
from analysis.ladder.transfer import Forecast, forecast_rate

WIDEST_OCTAVES = 2.0  # of the learning rate's interval
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition of the gate: whether it holds, and in one line what was found and what helps."""

    name: str
    holds: bool
    says: str


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a rung is expected to cost.

    `tokens_per_second` was measured by one step on the target, and is None where that could not be had. Money is None
    without a price.
    """

    trials: int
    tokens: int  # of one trial
    tokens_per_second: float | None
    gpus: int = 1
    price_per_gpu_hour: float | None = None
    on_gpu: bool = True
    overhead_seconds: float = 0.0  # of one trial: start, evaluation, samples; measured on the rungs below

    @property
    def hours(self) -> float | None:
        """Device-hours of the whole rung."""
        if self.tokens_per_second is None:
            return None
        seconds = self.tokens / self.tokens_per_second + self.overhead_seconds
        return self.trials * seconds * self.gpus / SECONDS_PER_HOUR

    @property
    def text(self) -> str:
        """One phrase for a person."""
        if self.hours is None:
            return f"{self.trials} trials of {self.tokens:,} tokens; no step could be measured here, so no hours"
        unit = "GPU-hours" if self.on_gpu else "hours of this CPU"
        cost = f"{self.trials} trials of {self.tokens:,} tokens, {self.hours:.2f} {unit}"
        if self.price_per_gpu_hour is not None and self.on_gpu:
            cost += f", {self.hours * self.price_per_gpu_hour:.2f} at the price given"
        return cost


def is_narrow(prediction: RungPrediction, landscape: Landscape, octaves: float) -> Condition:
    """The learning rate's interval is at most two octaves wide; from one rung it may be wider, as no slope is known."""
    rate = prediction.learning_rate
    found = f"best learning rate {rate.value:.2e}, {rate.low:.2e} to {rate.high:.2e}: {rate.octaves:.1f} octaves"
    if rate.octaves <= WIDEST_OCTAVES:
        return Condition(name="interval", holds=True, says=found)
    if len(landscape.rungs) < 2:
        return Condition(name="interval", holds=True, says=f"{found}; from one rung, so trials spread over it")
    return Condition(
        name="interval",
        holds=False,
        says=f"{found}, more than {WIDEST_OCTAVES:g}; {_what_narrows(landscape, octaves)}",
    )


def _what_narrows(landscape: Landscape, octaves: float) -> str:
    """Whether more trials on the rungs that ran, or another rung, narrows the interval most."""
    optima = [landscape.optimum(place).rate for place in range(len(landscape.rungs))]
    points = [(rung.octaves, 2**best.value) for rung, best in zip(landscape.rungs, optima, strict=True)]
    if forecast_rate(points, octaves).octaves > WIDEST_OCTAVES:
        between = 2 ** ((landscape.rungs[-1].octaves + octaves) / 2)
        return f"another rung adds the most: about {between:,.0f} parameters, above {landscape.rungs[-1].name}"
    worst = max(range(len(optima)), key=lambda place: optima[place].deviation)
    more = math.ceil(len(landscape.rungs[worst].finished) * (optima[worst].deviation / OFF_LINE) ** 2)
    return f"more trials add the most: {max(more, 4)} more on {landscape.rungs[worst].name} (--rung-trials)"


def held(rung: str, prediction: RungPrediction | None, rate: float, loss: float) -> Condition:
    """The last rung's outcome fell inside its own interval; so it is where nothing was predicted of it."""
    if prediction is None:
        return Condition(name="outcome", holds=True, says=f"{rung} is the lowest rung: nothing was predicted of it")
    outcomes = (("best learning rate", prediction.learning_rate, rate), ("held-out loss", prediction.loss, loss))
    missed = [_missed(name, forecast, value) for name, forecast, value in outcomes if not forecast.holds(value)]
    if missed:
        says = f"{rung} did not come out as predicted: {'; '.join(missed)}"
        return Condition(name="outcome", holds=False, says=f"{says}; a rung between it and the one below adds the most")
    return Condition(
        name="outcome", holds=True, says=f"{rung} came out inside its intervals: rate {rate:.2e}, loss {loss:.3f}"
    )


def _missed(name: str, forecast: Forecast, value: float) -> str:
    digits = ".3f" if forecast.value > 0.1 else ".2e"
    return f"{name} {value:{digits}} where {forecast.low:{digits}} to {forecast.high:{digits}} was predicted"


def fits(size: str, needed: str, card: str, others: Sequence[str], *, holds: bool) -> Condition:
    """Memory fits the card; where it does not, which cards it fits. `needed` is the prediction in words."""
    if holds:
        return Condition(name="memory", holds=True, says=f"{size} needs {needed}, as predicted: fits {card}")
    instead = f"it fits {', '.join(others)}" if others else "it fits no known card alone; see --parallel fsdp"
    return Condition(
        name="memory", holds=False, says=f"{size} needs {needed}, as predicted, more than {card} has; {instead}"
    )


def is_affordable(price: Price, used_hours: float, most_hours: float | None) -> Condition:
    """The rung's cost stays within what may be spent."""
    if most_hours is None or price.hours is None or used_hours + price.hours <= most_hours:
        return Condition(name="cost", holds=True, says=price.text)
    left = max(0.0, most_hours - used_hours)
    says = f"{price.text}, and {left:.2f} are left of --max-gpu-hours {most_hours:g}"
    enough = math.ceil(100 * (used_hours + price.hours)) / 100
    return Condition(name="cost", holds=False, says=f"{says}; give {enough:.2f}, or smaller --rung-trials")


def gains(prediction: RungPrediction, last_loss: float) -> Condition:
    """The expected gain exceeds the half-width of its interval; two rungs at least are needed to expect one."""
    loss = prediction.loss
    gain, half = last_loss - loss.value, (loss.high - loss.low) / 2
    found = f"held-out loss {loss.value:.3f}, {loss.low:.3f} to {loss.high:.3f} ({loss.form})"
    found += f", {abs(gain):.3f} {'better' if gain >= 0 else 'worse'} than {prediction.below[-1]}"
    if len(prediction.below) < 2:
        return Condition(name="gain", holds=True, says=f"{found}: one rung shows no trend yet")
    if gain > half:
        return Condition(name="gain", holds=True, says=found)
    says = f"{found}, no more than half of its interval ({half:.3f}): it is not shown to be better"
    return Condition(name="gain", holds=False, says=f"{says}; another rung below it adds the most")
