"""One worker's training from the first step to the token budget: order of rows, meter, timing, loss curve. No ray."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from data.batches import Batch, Rows, StepPlan, collate
from trainables.memory.measuring.meter import MemoryMeter
from trainables.model.parallel import gathered_weights, spread
from trainables.model.step import CausalLoss, make_optimizer, make_scaler, make_schedule, training_step
from trainables.records.record import CurvePoint
from trainables.records.settings import TrialSettings
from trainables.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from trainables.training.rehearsal import longest_batches, rehearse
from trainables.training.time_split import TimeSplit

CURVE_POINTS = 100
COLD_STEPS = 2  # the first allocates anew after the rehearsal, and caches are cold: neither is timed


class DivergedError(RuntimeError):
    """A loss that is not a number, or twice as bad as knowing nothing."""


class TrainingLoop:
    """Training state of one worker; `step()` runs the next optimizer step, `is_done` says when the budget is spent."""

    def __init__(
        self,
        model: PreTrainedModel,
        rows: Rows,
        settings: TrialSettings,
        meter: MemoryMeter,
        *,
        rank: int = 0,
        world_size: int = 1,
        time_split: TimeSplit | None = None,
    ) -> None:
        self.time_split = time_split or TimeSplit()
        self.model = model
        self.rows = rows
        self.settings = settings
        self.meter = meter
        self.rank = rank
        self.world_size = world_size
        self.plan = StepPlan(rows.lengths, settings.batch_size, settings.seed)
        self.total_steps = self.plan.steps_for(settings.token_budget)
        loss_module: torch.nn.Module = CausalLoss(model, settings.loss)
        if world_size > 1:
            loss_module = spread(loss_module, model, settings.parallel, meter.device)
        self.loss_module = loss_module
        self.optimizer = make_optimizer(model.parameters(), settings.learning_rate, settings.optimizer)
        self.schedule = make_schedule(self.optimizer, self.total_steps)
        self.scaler = make_scaler(settings.precision, meter.device)
        self.progress = Progress()
        self.is_asked_to_save = False  # by one of the workers, at the last step
        self._resumed_at: int | None = None
        torch.manual_seed(settings.seed + rank)

    @property
    def is_done(self) -> bool:
        """Whether the token budget is spent."""
        return self.progress.step >= self.total_steps

    def step(self, *, asks_to_save: bool = False) -> CurvePoint:
        """Train on the next batch; a worker that asks for a checkpoint after it is heard by all of them.

        Raises: DivergedError after the step; out-of-memory errors as they come.
        """
        settings, step = self.settings, self.progress.step
        if step == 0 and not self.meter.has_measured("optimizer"):
            with self.time_split.part("rehearsal"):
                batches = [self._to_device(batch) for batch in longest_batches(self.rows, settings)]
                rehearse(self.model, self.loss_module, batches, self.optimizer, settings, self.meter)
        indices = self.plan.indices(step)
        tokens = int(self.rows.lengths[indices].sum())
        mine = indices[self.rank :: self.world_size].split(settings.micro_batch_size)
        micro_batches = [self._to_device(collate(self.rows, chosen)) for chosen in mine]
        learning_rate = float(self.schedule.get_last_lr()[0])
        started = time.perf_counter()
        loss = training_step(
            self.loss_module,
            micro_batches,
            self.optimizer,
            self.schedule,
            target_tokens=(tokens - len(indices)) / self.world_size,  # a row's first token is predicted by nothing
            precision=settings.precision,
            phase=self.meter.phase,
            scaler=self.scaler,
        )
        mean_loss = self._agree(loss, asks_to_save)
        seconds = time.perf_counter() - started
        point = CurvePoint(
            step=step + 1, tokens=self.progress.tokens + tokens, loss=mean_loss, learning_rate=learning_rate
        )
        self._advance(point, tokens, seconds)
        return point

    def save(self, folder: Path) -> None:
        """Write this worker's part of a checkpoint into `folder`."""
        save_checkpoint(
            folder, self.model, self.optimizer, self.schedule, self.progress, scaler=self.scaler, rank=self.rank
        )

    def resume(self, folder: Path) -> int:
        """Go on from the checkpoint in `folder`. Returns: the number of steps that were done."""
        self.progress = load_checkpoint(
            folder, self.model, self.optimizer, self.schedule, scaler=self.scaler, rank=self.rank
        )
        self.meter.restore(self.progress.memory_phases, self.progress.memory_components)
        self._resumed_at = self.progress.step
        return self.progress.step

    def end(self) -> dict[str, Tensor]:
        """End the training of a sharded model, all workers together: the optimizer's states go.

        Returns: the whole weights, on the CPU of the first worker; nothing on others.
        """
        self.optimizer.state.clear()
        return gathered_weights(self.model, is_kept=self.rank == 0)

    def _advance(self, point: CurvePoint, tokens: int, seconds: float) -> None:
        old, is_finite = self.progress, math.isfinite(point.loss)
        is_logged = point.step % max(1, self.total_steps // CURVE_POINTS) == 0 or point.step == self.total_steps
        is_timed = point.step > COLD_STEPS and point.step - 1 != self._resumed_at
        measured = self.meter.report()
        self.progress = dataclasses.replace(
            old,
            step=point.step,
            tokens=point.tokens,
            train_seconds=old.train_seconds + seconds,
            timed_seconds=old.timed_seconds + (seconds if is_timed else 0.0),
            timed_tokens=old.timed_tokens + (tokens if is_timed else 0),
            curve=(*old.curve, point) if is_logged and is_finite else old.curve,
            memory_phases=measured.phases,
            memory_components=measured.components,
        )
        if not is_finite or point.loss > 2 * math.log(self.model.config.vocab_size):
            raise DivergedError(f"the loss is {point.loss:.3g} nats at step {point.step}; try a lower learning rate.")

    def _to_device(self, batch: Batch) -> Batch:
        device = self.meter.device
        return Batch(input_ids_BT=batch.input_ids_BT.to(device), labels_BT=batch.labels_BT.to(device))

    def _agree(self, loss: Tensor, asks_to_save: bool) -> float:
        """The step's mean loss per token: each worker holds its sum divided by its even share of all tokens."""
        shared = torch.stack((loss, loss.new_tensor(float(asks_to_save))))
        if self.world_size > 1:
            torch.distributed.all_reduce(shared)
        total, asking = shared.tolist()
        self.is_asked_to_save = asking > 0
        return total / self.world_size
