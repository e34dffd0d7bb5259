"""The gate before a rung, asked of a running ladder: what is predicted, what it would cost, whether it may begin."""

from __future__ import annotations

import json
import statistics
from typing import Any, get_args

from analysis.ladder.climb import Climb
from analysis.ladder.frozen import RungPrediction, freeze, frozen
from analysis.ladder.gate import SECONDS_PER_HOUR, Condition, Price, fits, gains, held, is_affordable, is_narrow
from analysis.ladder.placement import Point
from analysis.ladder.rungs import check_finished
from sweeps.planning.device import Device
from sweeps.planning.options import Evidence, LadderOptions
from sweeps.planning.space import to_settings
from sweeps.run.prepare import Prepared
from sweeps.search.ladder_search import to_proposal
from sweeps.search.memory_guard import PointsThatFit
from trainables.memory.cards import listed_cards
from trainables.records.byte_sizes import memory_text
from trainables.records.layout import LAYOUT
from trainables.records.record import MemoryPrediction, TrialRecord
from trainables.records.settings import TrialSettings

MEASURE_SECONDS = 600.0  # assumed: two steps of 6.7b on a card, model made anew, take less
CARDS_TOLD = 4  # of those that have room, where the one at hand has none


class Gatekeeper:
    """Prints each gate, freezes what it says, and opens where it may."""

    def __init__(self, prepared: Prepared, options: LadderOptions, device: Device, fitting: PointsThatFit) -> None:
        self._prepared, self._options, self._device, self._fitting = prepared, options, device, fitting

    def why_closed(self, climb: Climb, place: int) -> str | None:
        """Why the rung at that place may not begin, with what helps; None where it may, its prediction written down.

        Raises: UserError for a rung below that taught nothing, and for a prediction that was changed.
        """
        check_finished([climb.rung(under) for under in range(place)])
        prediction = self._prediction(climb, place)
        conditions = self._conditions(climb, place, prediction)
        print(f"Gate before {prediction.size} ({prediction.parameters:,} parameters):", flush=True)
        shown = [(condition.holds, self._says(condition)) for condition in conditions]
        for holds, says in shown:
            print(f"  {'holds ' if holds else 'closed'}  {says}", flush=True)
        self._prepared.storage.write_text(LAYOUT.gate(place), json.dumps(shown, indent=1))
        closed = [one for one in conditions if not one.holds and one.name not in self._options.despite]
        if closed and not self._options.smoke:
            anyway = f"; --despite {closed[0].name} climbs all the same" if closed[0].name in get_args(Evidence) else ""
            return f"the gate before {prediction.size} is closed: {closed[0].says}{anyway}"
        if not (self._options.approve or self._options.smoke):
            return f"the gate before {prediction.size} holds and waits: go on with --approve"
        fingerprint = freeze(self._prepared.storage, place, prediction)
        print(f"  frozen  sha256 {fingerprint[:16]}…", flush=True)
        return None

    def _says(self, condition: Condition) -> str:
        is_overruled = not condition.holds and condition.name in self._options.despite
        return f"{condition.says}; overruled by --despite {condition.name}" if is_overruled else condition.says

    def _prediction(self, climb: Climb, place: int) -> RungPrediction:
        try:
            return frozen(self._prepared.storage, place)[0]
        except FileNotFoundError:
            return climb.predict(place)

    def _conditions(self, climb: Climb, place: int, prediction: RungPrediction) -> list[Condition]:
        last, landscape = climb.outcome(place - 1), climb.landscape(place)
        assert last is not None, "the rung below has a trial that finished"
        try:
            previous = frozen(self._prepared.storage, place - 1)[0]
        except FileNotFoundError:
            previous = None
        proposal = self._proposal(climb, place, prediction)
        settings = to_settings(climb.plan, proposal)
        price, used = self._price(climb, place, settings), sum(map(_device_seconds, climb.records)) / SECONDS_PER_HOUR
        return [
            is_narrow(prediction, landscape, climb.rung(place).octaves),
            held(last.size, previous, last.learning_rate, last.loss),
            self._memory(settings.model, self._fitting.placement(proposal).prediction),
            is_affordable(price, used, self._options.max_gpu_hours),
            gains(prediction, last.loss),
        ]

    def _proposal(self, climb: Climb, place: int, prediction: RungPrediction) -> dict[str, Any]:
        rates, batches = climb.ranges
        point = Point(
            learning_rate=rates.clip(prediction.learning_rate.value),
            batch_size=batches.clip(prediction.batch_size.value),
        )
        return self._fitting.proposal(to_proposal(climb.plan, climb.plan.models[place], point))

    def _memory(self, model: str, expected: MemoryPrediction) -> Condition:
        needed = expected.device_bytes
        roomy = [str(card.name) for card in listed_cards() if card.holds(needed)]
        where = (expected.gpu or "the GPU") if self._device.on_cuda else "this CPU"
        return fits(model, memory_text(needed), where, roomy[:CARDS_TOLD], holds=expected.fits)

    def _price(self, climb: Climb, place: int, settings: TrialSettings) -> Price:
        beside = [_beside_training(record) for record in climb.records]
        return Price(
            trials=climb.trials_of(place),
            tokens=settings.token_budget,
            tokens_per_second=self._measured(settings),
            gpus=settings.workers,
            price_per_gpu_hour=self._options.price_per_gpu_hour,
            on_gpu=climb.plan.on_cuda,
            overhead_seconds=statistics.median(beside) if beside else 0.0,
        )

    def _measured(self, settings: TrialSettings) -> float | None:
        """Tokens per second of one step where trials run; None where that cannot be had.

        It asks Ray for no core and no GPU, which are held by workers that wait for their next trial: none trains now.
        """
        import ray
        from ray.exceptions import RayError

        from trainables.training.step_speed import tokens_per_second

        if settings.workers > 1:
            return None
        threads = self._device.cpu_threads(self._device.most_trials(1), 1)
        timed = ray.remote(max_calls=1, num_cpus=0)(tokens_per_second)
        try:
            return ray.get(timed.remote(settings, self._device.on_cuda, threads), timeout=MEASURE_SECONDS)
        except RayError:  # no room, too slow: the gate tells of memory apart from this
            return None


def _device_seconds(record: TrialRecord) -> float:
    return record.gpu_seconds or record.seconds


def _beside_training(record: TrialRecord) -> float:
    trained = record.report.train_seconds if record.report else None
    return max(0.0, record.seconds - (trained or 0.0))
