"""One worker of one trial: from model and data to a `WorkerReport`."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import time
from typing import Any, Literal, TypeVar

import ray.train
import ray.train.torch
import torch
from transformers import PreTrainedModel

from data.batches import make_rows
from data.contract import require_contract, spread
from data.replay import Mixture
from data.tokenizer import LoadedTokenizer, check_embedding, load_tokenizer
from trainables.memory.measuring.meter import ALLOWED_BYTES, MemoryCapExceededError, MemoryMeter, left_over_bytes
from trainables.memory.measuring.out_of_memory import cuda_moment, is_out_of_memory
from trainables.model.models import apply_levers, find_model, load_config, load_model, tokenizer_location, weight_type
from trainables.model.parallel import put_weights
from trainables.quality.baseline import Baseline, baseline_for, baseline_key
from trainables.quality.held_out import HeldOut
from trainables.quality.judge import QualityJudge
from trainables.quality.measure import measure_quality, tuned_texts
from trainables.quality.reading import read_texts
from trainables.records.documents import to_json
from trainables.records.layout import LAYOUT
from trainables.records.record import Evaluation, Outcome, WorkerReport
from trainables.records.storage import Storage, open_storage
from trainables.records.sweep_folder import load_progress
from trainables.records.trial_data import load_trial_data
from trainables.training.checkpoint_store import CheckpointStore
from trainables.training.loop import DivergedError, TrainingLoop
from trainables.training.time_split import TimeSplit
from trainables.working.job import TrialJob
from trainables.working.spot_notice import spot_notice

T = TypeVar("T")

CHECKPOINTS = 4
PROGRESS_SECONDS, REMOTE_PROGRESS_SECONDS = 1.0, 5.0  # an object store is read no more often either
STOP_SECONDS, REMOTE_STOP_SECONDS = 0.3, 5.0  # between looks whether the trial is to end early


def run_worker(job: TrialJob) -> tuple[bool, int]:
    """Run this worker's share; the first worker writes the trial's report. Running out of memory is a report too.

    Returns: whether this process may run another trial, as this one had room and left the device clean; and the bytes
        that it left there.
    """
    outcome, device = _run(job)
    left_bytes = left_over_bytes(device)
    return outcome is not Outcome.OUT_OF_MEMORY and left_bytes <= ALLOWED_BYTES, left_bytes


def _run(job: TrialJob) -> tuple[Outcome, torch.device]:
    storage = open_storage(job.sweep_uri)
    worker = Worker(job, storage)
    error = None
    try:
        report = worker.run()
    except DivergedError as caught:
        error = str(caught)
        report = worker.report(Outcome.DIVERGED, error=error)
    except RuntimeError as caught:
        is_cap = isinstance(caught, MemoryCapExceededError)
        if not is_cap and not is_out_of_memory(caught):
            raise
        error = str(caught).splitlines()[0]
        moment = caught.moment if is_cap else cuda_moment(caught, worker.meter.last_phase)
        report = worker.report(Outcome.OUT_OF_MEMORY, error=error, out_of_memory=moment)
    if worker.rank == 0 or report.outcome is Outcome.OUT_OF_MEMORY:
        storage.write_text(LAYOUT.trial(job.trial_id).report, to_json(report))
    if error is not None and worker.world_size > 1:
        raise RuntimeError(error)  # the other workers wait in a collective: only the end of the group frees them
    return report.outcome, worker.device


class Worker:
    """One worker of one trial, and what it knows so far."""

    def __init__(self, job: TrialJob, storage: Storage) -> None:
        context = ray.train.get_context()
        self.rank, self.world_size = context.get_world_rank(), context.get_world_size()
        self.job, self.storage = job, storage
        # With declared rather than real GPUs, Ray names a CUDA device that torch does not have.
        on_cuda = torch.cuda.is_available()
        self.device = ray.train.torch.get_device() if on_cuda else torch.device("cpu")
        if not on_cuda:
            torch.set_num_threads(job.cpu_threads)
        self.meter = MemoryMeter(self.device, job.settings.memory_cap_bytes)
        self.checkpoints = CheckpointStore(storage, job.trial_id, rank=self.rank, workers=self.world_size)
        self.loop: TrainingLoop | None = None
        self.resumed_from_step: int | None = None
        self._progress_at = self._stop_seen_at = -math.inf
        self._progress_told: dict[str, Any] = {}
        self.time_split = TimeSplit(self._tell_part)

    def run(self) -> WorkerReport:
        """Train, evaluate, sample and score. Raises: out-of-memory errors and DivergedError."""
        settings = self.job.settings
        with self.time_split.part("data"):
            data = load_trial_data(self.job.sweep_uri)
            loaded = _checked_tokenizer(settings.model, settings.weights, self.job.sweep_uri)
        is_whole = settings.parallel == "ddp" or self.world_size == 1
        with self.time_split.part("model_load"), self.meter.phase("load"):
            model = self._load(is_whole=is_whole)
        embedding = model.get_input_embeddings()
        assert isinstance(embedding, torch.nn.Embedding)
        check_embedding(loaded, embedding.num_embeddings)
        is_measured = self.rank == 0 and settings.weights == "pretrained"
        with self.time_split.part("base_figures"):
            held_out = HeldOut(data, loaded, settings) if is_measured else None
            baseline = self._baseline(held_out, model) if held_out else None
        if not is_whole:
            model.to("cpu")  # pyright: ignore[reportArgumentType]  # from where each worker takes its shards
            torch.cuda.empty_cache()  # what is reserved counts as needed
        if not self._train(model, loaded):
            reason = f"ended early after {self.loop.progress.tokens:,} tokens" if self.loop else None
            return self.report(Outcome.STOPPED_EARLY, error=reason, quality_absent_reason="the trial was ended early")
        weights = self.loop.end() if self.loop and not is_whole and settings.weights == "pretrained" else None
        if held_out is None or baseline is None:
            return self.report(Outcome.FINISHED, quality_absent_reason="random weights: there is no style to measure")
        with self.time_split.part("evaluation"), self.meter.phase("evaluation"):
            if weights is not None:  # one worker evaluates, and holds a shard of the model alone
                model = self._load(is_whole=False)
                put_weights(model, weights)
                self._place(model)
            quote_loss, science_perplexity = held_out.losses(model)
            off_domain_loss = held_out.off_domain_loss(model, baseline.completions)
        evaluation = Evaluation(
            quote_loss_before=baseline.quote_loss,
            quote_loss=quote_loss.nats_per_token,
            quote_loss_error=quote_loss.standard_error,
            science_perplexity_before=baseline.science_perplexity,
            science_perplexity=science_perplexity,
            off_domain_loss_before=baseline.off_domain_loss,
            off_domain_loss=off_domain_loss,
        )
        with self.time_split.part("sampling"), self.meter.phase("sampling"):
            samples = held_out.samples(model, baseline.completions, self._tell_drawn)
        with self.time_split.part("scoring"):
            name = self.job.language_model
            readings = read_texts(name, data.quotes.validation, tuned_texts(samples)) if name else None
            quality = measure_quality(samples, evaluation, _judge(self.job.sweep_uri), held_out.sampling, readings)
        return self.report(Outcome.FINISHED, evaluation=evaluation, quality=quality, samples=samples)

    def _load(self, *, is_whole: bool) -> PreTrainedModel:
        """The trial's model, on the device where this worker holds all of it, else on the CPU until it is sharded."""
        settings = self.job.settings
        model = load_model(
            find_model(settings.model),
            weights=settings.weights,
            dtype=weight_type(settings),
            attention=settings.attention,
            seed=settings.seed,
        )
        if is_whole:
            self._place(model)
        torch.manual_seed(settings.seed)  # adapters begin alike on all workers
        apply_levers(model, settings)
        return model

    def _place(self, model: PreTrainedModel) -> None:
        model.to(self.device)  # pyright: ignore[reportArgumentType]  # transformers' wraps() hides the self

    def report(self, outcome: Outcome, **fields: Any) -> WorkerReport:
        """What is known so far, as a report with this outcome."""
        fields |= {"memory": self.meter.report(), "seconds_by_part": self.time_split.seconds}
        if self.loop is None:
            return WorkerReport(outcome=outcome, device=_device_name(self.device), **fields)
        progress = self.loop.progress
        rate = progress.timed_tokens / progress.timed_seconds if progress.timed_seconds else None
        return WorkerReport(
            outcome=outcome,
            device=_device_name(self.device),
            steps=progress.step,
            tokens_seen=progress.tokens,
            parameters=sum(p.numel() for p in self.loop.model.parameters()),
            train_seconds=progress.train_seconds,
            tokens_per_second=rate,
            final_loss=progress.curve[-1].loss if progress.curve else None,
            resumed_from_step=self.resumed_from_step,
            curve=progress.curve,
            **fields,
        )

    def _baseline(self, held_out: HeldOut, model: PreTrainedModel) -> Baseline:
        def measure() -> Baseline:
            self._place(model)
            quote_loss, science_perplexity = held_out.losses(model)
            completions = held_out.completions(model, self._tell_drawn)
            return Baseline(
                quote_loss=quote_loss.nats_per_token,
                science_perplexity=science_perplexity,
                off_domain_loss=held_out.off_domain_loss(model, completions),
                completions=completions,
            )

        def key() -> str:
            return baseline_key(model, self.device, held_out.asked)

        settings = self.job.settings
        return baseline_for(self.storage, settings.model, settings.precision, held_out.sampling, key, measure)

    def _train(self, model: PreTrainedModel, loaded: LoadedTokenizer) -> bool:
        """Train. Returns: whether to the end of the budget; false where the trial was told to end early."""
        settings = self.job.settings
        with self.time_split.part("data"):
            rows = make_rows(
                _mixture(settings.model, settings.weights, self.job.sweep_uri).documents(
                    settings.replay_ratio, settings.seed
                ),
                layout=settings.layout,
                sequence_length=settings.sequence_length,
                pad_id=loaded.pad_id,
                seed=settings.seed,
            )
        loop = TrainingLoop(
            model,
            rows,
            settings,
            self.meter,
            rank=self.rank,
            world_size=self.world_size,
            time_split=self.time_split,
        )
        self.loop = loop
        with self.time_split.part("steps"):
            return self._run_steps(loop)

    def _run_steps(self, loop: TrainingLoop) -> bool:
        """Run steps from the newest checkpoint on. Returns: whether to the end of the budget."""
        if (step := self._agreed(self.checkpoints.newest_whole() if self.rank == 0 else None)) is not None:
            with self.checkpoints.reading(step) as folder:
                self.resumed_from_step = loop.resume(folder)
        notice = spot_notice()
        save_every = -(-loop.total_steps // CHECKPOINTS)
        while not loop.is_done:
            point = loop.step(asks_to_save=notice.asks_to_save())
            self._tell_progress(loop)
            if point.step % save_every == 0 or loop.is_done or loop.is_asked_to_save:
                self._save(loop)
            if not loop.is_done and self.job.stops_early and self._agreed(self._is_told_to_stop()):
                return False
        return True

    def _is_told_to_stop(self) -> bool:
        now, seconds = time.monotonic(), STOP_SECONDS if self.storage.is_local else REMOTE_STOP_SECONDS
        if self.rank > 0 or now - self._stop_seen_at < seconds:
            return False
        self._stop_seen_at = now
        return self.storage.exists(LAYOUT.trial(self.job.trial_id).stop)

    def _save(self, loop: TrainingLoop) -> None:
        with self.time_split.part("saving"), self.checkpoints.writing(loop.progress.step) as folder:
            loop.save(folder)

    def _tell_progress(self, loop: TrainingLoop) -> None:
        """Store how far training has come, every second or few and at its end: table, board and wandb follow it.

        What is stored does not grow with the run: a curve has fewer than 2 x CURVE_POINTS points.
        """
        if self._is_due() or loop.is_done:
            self._store_progress("steps")

    def _tell_drawn(self, done: int, of: int) -> None:
        """Store how many completions have been drawn."""
        if self._is_due():
            self._store_progress(self._progress_told["part"], done, of)

    def _is_due(self) -> bool:
        seconds = PROGRESS_SECONDS if self.storage.is_local else REMOTE_PROGRESS_SECONDS
        return time.monotonic() - self._progress_at >= seconds

    def _tell_part(self, part: str) -> None:
        """Store what the worker begins to do; a step's own parts are too short to tell."""
        if part not in ("steps", "saving"):
            self._store_progress(part)

    def _store_progress(self, part: str, done: int = 0, of: int = 0) -> None:
        if self.rank > 0:
            return
        path = LAYOUT.trial(self.job.trial_id).progress
        if not self._progress_told:  # an earlier attempt's curve stays until this one has a longer one
            nothing = {"step": 0, "total_steps": None, "curve": []}
            self._progress_told = load_progress(self.storage, self.job.trial_id) or nothing
        self._progress_told |= {"part": part, "done": done, "of": of, "told_at": time.time()}
        if self.loop is not None and self.loop.progress.step > 0:
            progress = self.loop.progress
            curve = [dataclasses.asdict(point) for point in progress.curve]
            self._progress_told |= {"step": progress.step, "total_steps": self.loop.total_steps, "curve": curve}
        self._progress_at = time.monotonic()
        self.storage.write_text(path, json.dumps(self._progress_told))

    def _agreed(self, value: T) -> T:
        """The first worker's value, on every worker."""
        if self.world_size == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]


@functools.lru_cache(maxsize=4)
def _checked_tokenizer(model: str, weights: Literal["pretrained", "random"], sweep_uri: str) -> LoadedTokenizer:
    """The model's tokenizer, once its contract held on the sweep's lines: looked at once in a process."""
    source, data = find_model(model), load_trial_data(sweep_uri)
    loaded = load_tokenizer(tokenizer_location(source, weights))
    embedding_rows = load_config(source, weights).get_text_config().vocab_size
    require_contract(model, loaded, [quote.line for quote in spread(data.quotes.train)], embedding_rows)
    return loaded


@functools.lru_cache(maxsize=1)
def _judge(sweep_uri: str) -> QualityJudge:
    """The sweep's judge, with what it has fitted so far: the index of its training lines is made once in a process."""
    return QualityJudge.from_json(open_storage(sweep_uri).read_text(LAYOUT.judge))


MIXTURES: dict[tuple[str, str], Mixture] = {}
"""Of this process, by sweep and tokenizer: the models of a family share one, and trial after trial reads it."""


def _mixture(model: str, weights: Literal["pretrained", "random"], sweep_uri: str) -> Mixture:
    """What the sweep's trials train on, encoded once in a process for each tokenizer."""
    loaded, data = _checked_tokenizer(model, weights, sweep_uri), load_trial_data(sweep_uri)
    key = (sweep_uri, loaded.identity)
    if key not in MIXTURES:
        MIXTURES[key] = Mixture(loaded, data.quote_lines, data.domain.base_train)
    return MIXTURES[key]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
