"""A sweep's trials as Ray metrics, for a Prometheus that scrapes Ray and a Grafana that draws it: docs/grafana.

Every gauge has the labels sweep, trial, size and batch; Ray puts `ray_` before its name. The records stay the truth.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

from sweeps.watch.follow import Listener
from trainables.records.record import CurvePoint, TrialRecord
from trainables.records.settings import TrialSettings

REFRESH_SECONDS = 5.0  # Ray forgets a gauge about 20 s after it was last set: measured, ray 2.60
MOST_TRIALS = 500  # assumed: more lines than a panel can show; Prometheus keeps what earlier ones told
LABELS = ("sweep", "trial", "size", "batch")
GAUGES = {
    "sweep_trial_step": "Optimizer steps that the trial has taken",
    "sweep_trial_loss": "Training loss at the trial's last logged step, in nats per token",
    "sweep_trial_sample_quality": "Sample quality, from 0 to 1",
    "sweep_trial_tokens_per_second": "Training speed of the trial",
    "sweep_trial_peak_memory_bytes": "Peak memory, measured, by the device's counter",
    "sweep_trial_predicted_memory_bytes": "Peak memory on the device, predicted before launch",
}
OUTCOMES = "sweep_trials"


class Gauges(Listener):
    """Listens to a sweep; between entry and exit, while Ray is up, tells what it heard again and again."""

    def __init__(self, sweep: str) -> None:
        self._sweep = sweep
        self._labels: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._values: dict[str, dict[str, float]] = {}
        self._outcomes: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="sweep-gauges", daemon=True)

    def __enter__(self) -> Gauges:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Set no more; Ray then forgets the gauges by itself."""
        self._stop.set()
        self._thread.join()

    def started(self, trial_id: str, settings: TrialSettings) -> None:
        """A trial was proposed: it is at step 0."""
        labels = (self._sweep, trial_id.partition("-")[0], settings.model, str(settings.batch_size))
        with self._lock:
            self._labels[trial_id] = dict(zip(LABELS, labels, strict=True))
            self._values[trial_id] = {"sweep_trial_step": 0.0}
            self._outcomes["running"] += 1
            while len(self._labels) > MOST_TRIALS:
                del self._values[self._labels.popitem(last=False)[0]]

    def progressed(self, trial_id: str, curve: Sequence[CurvePoint], total_steps: int) -> None:
        """Tell the newest point of the loss curve."""
        if curve:
            self._put(trial_id, {"sweep_trial_step": curve[-1].step, "sweep_trial_loss": curve[-1].loss})

    def ended(self, record: TrialRecord) -> None:
        """Tell what the record holds; what was not measured is not told."""
        report, prediction = record.report, record.prediction
        self._put(
            record.trial_id,
            {
                "sweep_trial_predicted_memory_bytes": prediction and prediction.device_bytes,
                "sweep_trial_peak_memory_bytes": report and report.memory and report.memory.peak_bytes,
                "sweep_trial_sample_quality": report and report.quality and report.quality.sample_quality,
                "sweep_trial_tokens_per_second": report and report.tokens_per_second,
                "sweep_trial_loss": report and report.final_loss,
                "sweep_trial_step": report and report.steps,
            },
        )
        with self._lock:
            self._outcomes.subtract(["running"])
            self._outcomes[record.outcome.value] += 1

    def _put(self, trial_id: str, values: dict[str, Any]) -> None:
        with self._lock:
            if trial_id in self._values:
                self._values[trial_id] |= {name: float(value) for name, value in values.items() if value is not None}

    def _refresh(self) -> None:
        from ray.util.metrics import Gauge

        gauges = {name: Gauge(name, description=text, tag_keys=LABELS) for name, text in GAUGES.items()}
        trials = Gauge(OUTCOMES, description="Trials by outcome, running ones too", tag_keys=("sweep", "outcome"))
        while True:
            with self._lock:
                values = [
                    (name, value, self._labels[trial])
                    for trial, of in self._values.items()
                    for name, value in of.items()
                ]
                outcomes = dict(self._outcomes)
            for name, value, labels in values:
                gauges[name].set(value, tags=labels)
            for outcome, count in outcomes.items():
                trials.set(count, tags={"sweep": self._sweep, "outcome": outcome})
            if self._stop.wait(REFRESH_SECONDS):
                return
