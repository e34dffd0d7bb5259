"""From rungs that ran to a size that has not: best rate and batch, losses, and shares, each with its interval.

Three forms compete for what a rung reaches: `last` (the last rung's value: a larger model can end worse when it is
fine-tuned), `line` (log loss straight in log parameters) and `floor` (E + A n^-a). Each predicts the last rung from
those below; `floor` is kept unless another missed by less than half as much, and with two rungs, where nothing can be
checked. An interval is Student's t about the prediction, its spread an octave of size pooled from published ladders and
from this ladder's own misses. A bootstrap over trials is not offered: on every published table it covers too seldom
(0.12 to 0.67 of what it claims), since it knows nothing of the law's own error.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from analysis.ladder.landscape import OFF_LINE, OFF_LINE_FREEDOM, RATE_SLOPE, Estimate, Landscape

CONFIDENCE = 0.90
# Log loss by which a prediction misses, an octave of size beyond the last rung: 2.7% held 89% of published ladders.
LOSS_SPREAD = 0.027 / 1.645
SHARE_SPREAD = 0.03  # the same for quality and its parts, which lie between 0 and 1; assumed
SPREAD_FREEDOM = 2.0  # what that is worth beside own misses: ladders differ much from each other
# With one rung there is no trend: published ladders gain 2 to 8% of log loss an octave.
TRENDLESS_SPREAD = 0.05
EXPONENT, EXPONENT_SPREAD = (
    0.3,
    0.5,
)  # of n in E + A n^-a: Chinchilla 0.34, Step Law and Farseer alike; a factor of e^0.5
LOSS_NOISE = 0.005  # of a rung's log loss about the law, in its fit
CLEARLY = 0.5  # of the floor's miss: a form that misses by less than this takes its place

Points = Sequence[tuple[float, float]]  # log2 of parameters and a value, lowest rung first


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a size is predicted to show: value and 90% interval in natural units, and the form behind them."""

    value: float
    low: float
    high: float
    form: str

    def holds(self, outcome: float) -> bool:
        """Whether an outcome lies inside the interval."""
        return self.low <= outcome <= self.high

    @property
    def octaves(self) -> float:
        """The interval's width in doublings."""
        return math.log2(self.high / self.low)


@cache
def t_quantile(freedom: float) -> float:
    """How many standard deviations half of a 90% interval is with so many degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, freedom))


def forecast_optimum(landscape: Landscape, octaves: float) -> tuple[Forecast, Forecast]:
    """Best learning rate and batch of a size of 2**octaves parameters."""
    rate, batch = landscape.ahead(octaves)
    return _doubled(rate, landscape.freedom), _doubled(batch, landscape.freedom)


def _doubled(log2: Estimate, freedom: float) -> Forecast:
    half = t_quantile(freedom) * log2.deviation
    low, value, high = (2.0 ** (log2.value + side * half) for side in (-1, 0, 1))
    return Forecast(value=value, low=low, high=high, form="line")


def forecast_rate(points: Points, octaves: float) -> Forecast:
    """Best learning rate of a size, from the best rates of others that are known without their trials.

    The same line and beliefs as in a `Landscape`, in closed form: a Gaussian line with a believed slope.
    """
    places = np.array([place for place, _ in points]) - points[-1][0]
    rates = np.log2([rate for _, rate in points])
    design = np.c_[np.ones_like(places), places] / OFF_LINE
    precision = design.T @ design + np.diag([0.0, 1 / RATE_SLOPE[1] ** 2])
    line = np.linalg.solve(
        precision, design.T @ (rates / OFF_LINE) + np.array([0.0, RATE_SLOPE[0] / RATE_SLOPE[1] ** 2])
    )
    off = (rates - np.c_[np.ones_like(places), places] @ line) / OFF_LINE
    freedom = OFF_LINE_FREEDOM + max(0, len(points) - 2)
    scale = math.sqrt((OFF_LINE_FREEDOM + float(off @ off)) / freedom)
    ahead = np.array([1.0, octaves - points[-1][0]])
    deviation = scale * math.sqrt(float(ahead @ np.linalg.solve(precision, ahead)) + OFF_LINE**2)
    return _doubled(Estimate(value=float(ahead @ line), deviation=deviation), freedom)


def forecast_loss(points: Points, octaves: float, deviation: float = 0.0) -> Forecast:
    """The loss of a size at its best point, from the fitted best losses of the rungs below.

    `deviation` is the log loss by which the last of them may be off. Returns: losses in nats per token.
    """
    logs = [(place, math.log(value)) for place, value in points]
    spread = TRENDLESS_SPREAD if len(points) == 1 else LOSS_SPREAD
    form, value, half = _forecast(logs, octaves, _LOSS_FORMS, "floor", spread)
    half = math.hypot(half, t_quantile(SPREAD_FREEDOM) * deviation)
    return Forecast(value=math.exp(value), low=math.exp(value - half), high=math.exp(value + half), form=form)


def forecast_share(points: Points, octaves: float, deviation: float = 0.0) -> Forecast:
    """Quality, one of its parts, spill-over or retention of a size: a value between 0 and 1."""
    form, value, half = _forecast(points, octaves, _SHARE_FORMS, "last", SHARE_SPREAD)
    half = math.hypot(half, t_quantile(SPREAD_FREEDOM) * deviation)
    value = min(1.0, max(0.0, value))
    return Forecast(value=value, low=max(0.0, value - half), high=min(1.0, value + half), form=form)


def _forecast(
    points: Points, octaves: float, forms: dict[str, "Form"], usual: str, spread: float
) -> tuple[str, float, float]:
    """Form, prediction and half of its interval, in the scale of the points."""
    chosen, squares, misses = usual, 0.0, max(0, len(points) - 2)
    for count in range(2, len(points)):
        place, value = points[count]
        chosen = _chosen(points[:count], forms, usual)
        miss = forms[chosen](points[:count], place) - value
        squares += (miss / (place - points[count - 1][0])) ** 2
    chosen = _chosen(points, forms, usual)
    freedom = SPREAD_FREEDOM + misses
    an_octave = math.sqrt((SPREAD_FREEDOM * spread**2 + squares) / freedom)
    beyond = max(octaves - points[-1][0], 0.5)
    return chosen, forms[chosen](points, octaves), t_quantile(freedom) * an_octave * beyond


Form = Callable[[Points, float], float]


def _chosen(points: Points, forms: dict[str, Form], usual: str) -> str:
    if len(points) == 1:
        return "last"
    if len(points) < 3:
        return usual
    *below, (place, value) = points
    misses = {name: abs(form(below, place) - value) for name, form in forms.items()}
    best = min(misses, key=lambda name: misses[name])
    return best if misses[best] < CLEARLY * misses[usual] else usual


def _last(points: Points, octaves: float) -> float:
    return points[-1][1]


def _line(points: Points, octaves: float) -> float:
    if len(points) < 2:
        return points[-1][1]
    _, value = np.polyfit([place - octaves for place, _ in points], [value for _, value in points], 1)
    return float(value)


def _floor(points: Points, octaves: float) -> float:
    """log(E + A n^-a), fitted with a belief about a; with two rungs that belief alone sets it."""
    from scipy.optimize import least_squares

    if len(points) < 2:
        return points[-1][1]
    places = np.array([place for place, _ in points]) - points[-1][0]
    logs = np.array([value for _, value in points])
    last = math.exp(logs[-1])

    def law(parameters: np.ndarray, place: np.ndarray | float) -> np.ndarray:
        floor, log_gain, log_exponent = parameters
        return np.log(floor + np.exp(log_gain - math.exp(log_exponent) * math.log(2) * place))

    def residuals(parameters: np.ndarray) -> np.ndarray:
        belief = (parameters[2] - math.log(EXPONENT)) / EXPONENT_SPREAD
        return np.append((law(parameters, places) - logs) / LOSS_NOISE, belief)

    start = (0.6 * last, math.log(0.4 * last), math.log(EXPONENT))
    found = least_squares(residuals, start, bounds=([0, -25, -4], [2 * last, 8, 1]), loss="soft_l1", x_scale="jac")
    return float(law(found.x, octaves - points[-1][0]))


_LOSS_FORMS: dict[str, Form] = {"floor": _floor, "line": _line, "last": _last}
_SHARE_FORMS: dict[str, Form] = {"last": _last, "line": _line}
