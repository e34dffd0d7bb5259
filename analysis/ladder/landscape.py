"""The loss of every rung as one landscape: where its best learning rate and batch lie, and where the next rung's will.

One model for all rungs. In log₂ of learning rate and batch each rung's log loss is a bowl around its best point; the
bowl's shape (curvature, tilt, and a cubic term, since too high a rate costs more than one that is as much too low) is
shared, and the best points lie on a line in log₂ of the parameters, each rung a little off it. So twelve trials on one
rung and eight on another suffice, and no trial's own luck is taken for the optimum.
What is believed beforehand, with its source, stands in the constants: with two or three rungs a slope has little
evidence of its own, and an interval from the residuals alone would have no or one degree of freedom.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.ladder.rungs import LadderTrial, Rung

# Octaves of the best learning rate an octave of parameters. Published slopes: GPT-3's rates -0.40 (125M to 6.7B),
# Step Law -0.71 at equal tokens and -0.41 at equal tokens a parameter, LoRA about 0; the mean and spread of those.
RATE_SLOPE = (-0.35, 0.3)
# The same for the batch: Step Law 0 at equal tokens, 0.57 at equal tokens a parameter.
BATCH_SLOPE = (0.15, 0.25)
# Octaves by which a rung's optimum lies off the line. Step Law's, fitted from all cells: 0.07 to 0.15.
OFF_LINE = 0.15
OFF_LINE_FREEDOM = 6.0  # degrees of freedom that this belief is worth in an interval
# Log loss an octave squared. Step Law's bowls: 0.005 to 0.019 in rate, 0.005 to 0.008 in batch; within a factor of e.
CURVATURE, CURVATURE_SPREAD = 0.01, 1.0
CUBIC = (0.3, 0.2)  # of the curvature; Step Law's bowls, 0 to 0.65
TILT = (-0.25, 0.25)  # correlation of rate and batch: a larger batch bears a higher rate; Step Law -0.2 to -0.4
# Noise of a log loss: assumed 0.15%, worth four trials, then learned from the residuals.
NOISE, NOISE_FREEDOM = 0.0015, 4.0
# A bowl is right near its bottom only: a trial may lie off it by a quarter of its height above the best.
OFF_BOWL = 0.25
OUTLIER = 2.0  # deviations from which a trial no longer pulls as its square
ROUNDS = 3  # of fitting the bowls and learning the noise
CUBIC_REACH = 3.0  # octaves beyond which the cubic term no longer grows


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its standard deviation."""

    value: float
    deviation: float


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The best point of one rung by the fit, and its log loss there; rate and batch in log₂."""

    rate: Estimate
    batch: Estimate
    log_loss: Estimate


@dataclass(frozen=True)
class _Layout:
    """Where each parameter stands in the vector of the fit."""

    rungs: int

    @property
    def bottoms(self) -> slice:
        return slice(0, self.rungs)

    @property
    def off_rates(self) -> slice:
        return slice(self.rungs, 2 * self.rungs)

    @property
    def off_batches(self) -> slice:
        return slice(2 * self.rungs, 3 * self.rungs)

    @property
    def rate_line(self) -> slice:
        return slice(3 * self.rungs, 3 * self.rungs + 2)

    @property
    def batch_line(self) -> slice:
        return slice(3 * self.rungs + 2, 3 * self.rungs + 4)

    @property
    def shape(self) -> slice:
        return slice(3 * self.rungs + 4, 3 * self.rungs + 8)

    @property
    def size(self) -> int:
        return 3 * self.rungs + 8


class Landscape:
    """The fit of all rungs' trials.

    Source of the form: Step Law (arXiv 2503.04715), whose loss is convex in log rate and log batch; the rest is
    Gaussian beliefs and scipy's `least_squares` with a robust loss.
    """

    def __init__(
        self, rungs: Sequence[Rung], rate_range: tuple[float, float], batch_range: tuple[float, float]
    ) -> None:
        """Fit `rungs`, each with one finished trial at least; the ranges are those that trials are placed in."""
        from scipy.optimize import least_squares

        self.rungs = tuple(rungs)
        self._layout = _Layout(len(self.rungs))
        self._rate_middle = sum(map(math.log2, rate_range)) / 2
        self._batch_middle = sum(map(math.log2, batch_range)) / 2
        self._rate_reach = max(1.0, math.log2(rate_range[1] / rate_range[0]) / 2)
        self._batch_reach = max(0.5, math.log2(batch_range[1] / batch_range[0]) / 2)
        self._pivot = self.rungs[-1].octaves
        pairs: list[tuple[int, LadderTrial]] = [(r, trial) for r, rung in enumerate(rungs) for trial in rung.finished]
        self._place = np.array([r for r, _ in pairs])
        self._rates = np.log2([trial.learning_rate for _, trial in pairs])
        self._batches = np.log2([trial.batch_size for _, trial in pairs])
        self._losses = np.log([trial.loss for _, trial in pairs])
        best = np.array([self._losses[self._place == r].min() for r in range(len(self.rungs))])
        self._loose = (OFF_BOWL * (self._losses - best[self._place])) ** 2
        self._distances = np.array([rung.octaves - self._pivot for rung in self.rungs])
        self._believed = self._beliefs()
        self.noise = NOISE
        start = self._start(best)
        found = None
        for _ in range(ROUNDS):
            found = least_squares(
                self._residuals,
                start,
                jac=self._jacobian,  # pyright: ignore[reportArgumentType]  # a callable, says its documentation
                bounds=self._bounds(),
                loss="soft_l1",
                f_scale=OUTLIER,
                max_nfev=60,
            )
            start = found.x
            self.noise = self._learned_noise(found.x)
        assert found is not None
        self._found = found.x
        self._covariance = np.linalg.inv(found.jac.T @ found.jac)

    def _start(self, best: np.ndarray) -> np.ndarray:
        layout, start = self._layout, np.zeros(self._layout.size)
        start[layout.bottoms] = best
        best_places = [int(np.argmin(np.where(self._place == r, self._losses, np.inf))) for r in range(len(self.rungs))]
        tilted = self._rates[best_places] - RATE_SLOPE[0] * self._distances
        start[layout.rate_line] = (np.median(tilted), RATE_SLOPE[0])
        tilted = self._batches[best_places] - BATCH_SLOPE[0] * self._distances
        start[layout.batch_line] = (np.median(tilted), BATCH_SLOPE[0])
        start[layout.shape] = (math.log(CURVATURE), math.log(CURVATURE), TILT[0], CUBIC[0])
        return start

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """A bowl that has a bottom: tilt and cubic term stay where it curves up on every side that is near."""
        low, high = np.full(self._layout.size, -np.inf), np.full(self._layout.size, np.inf)
        low[self._layout.shape] = (-np.inf, -np.inf, -0.8, 0.0)
        high[self._layout.shape] = (np.inf, np.inf, 0.8, 0.9)
        return low, high

    def _offsets(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        layout = self._layout
        rate, rate_slope = parameters[layout.rate_line]
        batch, batch_slope = parameters[layout.batch_line]
        rates = rate + rate_slope * self._distances + OFF_LINE * parameters[layout.off_rates]
        batches = batch + batch_slope * self._distances + OFF_LINE * parameters[layout.off_batches]
        return self._rates - rates[self._place], self._batches - batches[self._place]

    def _bowl(self, parameters: np.ndarray) -> np.ndarray:
        u, v = self._offsets(parameters)
        log_k, log_m, tilt, cubic = parameters[self._layout.shape]
        k, m = math.exp(log_k), math.exp(log_m)
        near = np.clip(u, -CUBIC_REACH, CUBIC_REACH)
        height = k * u**2 / 2 + m * v**2 / 2 + tilt * math.sqrt(k * m) * u * v + cubic * k * near**3 / 6
        return parameters[self._layout.bottoms][self._place] + height

    def _sigmas(self) -> np.ndarray:
        return np.sqrt(self._loose + self.noise**2)

    def _beliefs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places, means and deviations of what is believed of the parameters beforehand."""
        layout, index = self._layout, np.arange(self._layout.size)
        rows = [(place, 0.0, 1.0) for place in (*index[layout.off_rates], *index[layout.off_batches])]
        (rate, rate_slope), (batch, batch_slope) = index[layout.rate_line], index[layout.batch_line]
        rows += [(rate, self._rate_middle, self._rate_reach), (rate_slope, *RATE_SLOPE)]
        rows += [(batch, self._batch_middle, self._batch_reach), (batch_slope, *BATCH_SLOPE)]
        k, m, tilt, cubic = index[layout.shape]
        rows += [(k, math.log(CURVATURE), CURVATURE_SPREAD), (m, math.log(CURVATURE), CURVATURE_SPREAD)]
        rows += [(tilt, *TILT), (cubic, *CUBIC)]
        places, means, deviations = zip(*rows, strict=True)
        return np.array(places), np.array(means), np.array(deviations)

    def _residuals(self, parameters: np.ndarray) -> np.ndarray:
        places, means, deviations = self._believed
        data = (self._losses - self._bowl(parameters)) / self._sigmas()
        return np.concatenate([data, (parameters[places] - means) / deviations])

    def _jacobian(self, parameters: np.ndarray) -> np.ndarray:
        layout, (u, v) = self._layout, self._offsets(parameters)
        log_k, log_m, tilt, cubic = parameters[layout.shape]
        k, m, cross = math.exp(log_k), math.exp(log_m), tilt * math.exp((log_k + log_m) / 2)
        near = np.clip(u, -CUBIC_REACH, CUBIC_REACH)
        by_u = k * u + cross * v + np.where(near == u, cubic * k * u**2 / 2, 0.0)
        by_v = m * v + cross * u
        rows, r = np.arange(len(u)), self._place
        slopes = np.zeros((len(u), layout.size))
        slopes[rows, r] = 1.0
        slopes[rows, self._layout.rungs + r] = -OFF_LINE * by_u
        slopes[rows, 2 * self._layout.rungs + r] = -OFF_LINE * by_v
        slopes[:, layout.rate_line] = -by_u[:, None] * np.c_[np.ones_like(u), self._distances[r]]
        slopes[:, layout.batch_line] = -by_v[:, None] * np.c_[np.ones_like(v), self._distances[r]]
        slopes[:, layout.shape] = np.c_[
            k * u**2 / 2 + cross * u * v / 2 + cubic * k * near**3 / 6,
            m * v**2 / 2 + cross * u * v / 2,
            math.exp((log_k + log_m) / 2) * u * v,
            k * near**3 / 6,
        ]
        places, _, deviations = self._believed
        believed = np.zeros((len(places), layout.size))
        believed[np.arange(len(places)), places] = 1 / deviations
        return np.concatenate([-slopes / self._sigmas()[:, None], believed])

    def _learned_noise(self, parameters: np.ndarray) -> float:
        """The noise at which the residuals are as large as they should be, held by what was believed."""
        from scipy.optimize import brentq

        squares = (self._losses - self._bowl(parameters)) ** 2
        freedom = max(0, len(squares) - 3 * len(self.rungs))  # each rung fits a bottom and a place in rate and batch

        def too_large(log_noise: float) -> float:
            variance = math.exp(2 * log_noise)
            found = float(np.minimum(squares / (self._loose + variance), OUTLIER**2).mean()) * freedom
            return found + NOISE_FREEDOM * NOISE**2 / variance - freedom - NOISE_FREEDOM

        return math.exp(float(brentq(too_large, math.log(NOISE / 100), math.log(1.0), xtol=1e-3)))  # pyright: ignore[reportArgumentType]

    def _estimate(self, weights: np.ndarray, more: float = 0.0) -> Estimate:
        variance = float(weights @ self._covariance @ weights) + more
        return Estimate(value=float(weights @ self._found), deviation=math.sqrt(variance))

    def _weights(self, line: slice, distance: float) -> np.ndarray:
        weights = np.zeros(self._layout.size)
        weights[line] = (1.0, distance)
        return weights

    def optimum(self, rung: int) -> Optimum:
        """The best point of the rung at that place, 0 for the lowest."""
        layout, found = self._layout, []
        for line, off in ((layout.rate_line, layout.off_rates), (layout.batch_line, layout.off_batches)):
            weights = self._weights(line, self._distances[rung])
            weights[off.start + rung] = OFF_LINE
            found.append(self._estimate(weights))
        bottom = np.zeros(layout.size)
        bottom[rung] = 1.0
        return Optimum(rate=found[0], batch=found[1], log_loss=self._estimate(bottom))

    def ahead(self, octaves: float) -> tuple[Estimate, Estimate]:
        """log₂ of the best learning rate and batch of a size of 2**octaves parameters that has not run."""
        scatter = (OFF_LINE * self._scale) ** 2
        lines = (self._layout.rate_line, self._layout.batch_line)
        rate, batch = (self._estimate(self._weights(line, octaves - self._pivot), scatter) for line in lines)
        return rate, batch

    @cached_property
    def _scale(self) -> float:
        """How much farther off the line the rungs lie than was believed: 1 where they lie as far."""
        off = self._found[self._layout.off_rates]
        freedom = max(0, len(self.rungs) - 2)
        return math.sqrt((OFF_LINE_FREEDOM + float(off @ off)) / (OFF_LINE_FREEDOM + freedom))

    @property
    def freedom(self) -> float:
        """Degrees of freedom of an interval ahead: rungs - 2, and what the belief about their scatter is worth."""
        return max(0, len(self.rungs) - 2) + OFF_LINE_FREEDOM

    def height(self, rung: int, learning_rate: float, batch_size: float) -> float:
        """Log loss by the fit at one point of a rung."""
        best = self.optimum(rung)
        u, v = math.log2(learning_rate) - best.rate.value, math.log2(batch_size) - best.batch.value
        log_k, log_m, tilt, cubic = self._found[self._layout.shape]
        k, m = math.exp(log_k), math.exp(log_m)
        near = min(max(u, -CUBIC_REACH), CUBIC_REACH)
        above = k * u**2 / 2 + m * v**2 / 2 + tilt * math.sqrt(k * m) * u * v + cubic * k * near**3 / 6
        return best.log_loss.value + above

    @property
    def slope(self) -> float:
        """Octaves of the best learning rate an octave of parameters."""
        return float(self._found[self._layout.rate_line][1])
