"""The dataclasses that cross floors: what a trial was told, what was predicted, what came out.

One `TrialRecord` is one JSON document, the only source of truth about a trial. Standard library only.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

SCHEMA_VERSION = 1


class Outcome(StrEnum):
    """How a trial ended. Every record has exactly one."""

    FINISHED = "finished"
    STOPPED_EARLY = "stopped_early"
    OUT_OF_MEMORY = "out_of_memory"
    PREDICTED_NOT_TO_FIT = "predicted_not_to_fit"
    DIVERGED = "diverged"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """Everything that decides what one trial computes.

    `batch_size` is sequences per optimizer step; `micro_batch_size` is sequences on one device at once.
    `token_budget` is the number of real (not padding) tokens trained on. `replay_ratio` is how many documents of base
    text stand beside each quote. `epochs` is how often each document is then read, where the budget was made from it.
    `lora_rank` 0 trains every weight.
    """

    model: str
    batch_size: int
    micro_batch_size: int
    learning_rate: float
    sequence_length: int
    token_budget: int
    seed: int = 0
    data: str = "shipped"
    weights: Literal["pretrained", "random"] = "pretrained"
    layout: Literal["packed", "padded"] = "packed"
    precision: Literal["fp32", "bf16-amp", "fp16-amp", "bf16"] = "fp32"
    attention: Literal["sdpa", "eager"] = "sdpa"
    loss: Literal["hf", "fused"] = "hf"
    gradient_checkpointing: bool = False
    optimizer: Literal["adamw", "adamw-8bit", "sgd"] = "adamw"
    lora_rank: int = 0
    workers: int = 1
    memory_cap_bytes: int | None = None
    replay_ratio: float = 0.0
    epochs: float | None = None
    samples_per_prompt: int = 20
    temperature: float = 0.8
    top_p: float = 0.95
    greedy: bool = False

    def __post_init__(self) -> None:
        for name in (
            "batch_size",
            "micro_batch_size",
            "sequence_length",
            "token_budget",
            "workers",
            "samples_per_prompt",
        ):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name}={value}; it must be at least 1.")
        if self.lora_rank < 0:
            raise ValueError(f"lora_rank={self.lora_rank}; it must be at least 1, or 0 to train every weight.")
        if self.memory_cap_bytes is not None and self.memory_cap_bytes < 1:
            raise ValueError(f"memory_cap_bytes={self.memory_cap_bytes}; it must be at least 1, or None for no cap.")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise ValueError(f"learning_rate={self.learning_rate}; it must be a positive number, such as 1e-3.")
        if not (self.replay_ratio >= 0 and math.isfinite(self.replay_ratio)):
            raise ValueError(f"replay_ratio={self.replay_ratio}; it must be 0 (no base text) or more, such as 1.")
        if self.epochs is not None and not (self.epochs > 0 and math.isfinite(self.epochs)):
            raise ValueError(f"epochs={self.epochs}; it must be a positive number, such as 2.")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature={self.temperature}; it must be a positive number, or set greedy.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}; it must be above 0 and at most 1.")
        if self.batch_size % (self.micro_batch_size * self.workers):
            raise ValueError(
                f"batch_size={self.batch_size} is not divisible by micro_batch_size={self.micro_batch_size}"
                f" x workers={self.workers}; choose a micro-batch that divides the batch."
            )

    @property
    def accumulation_steps(self) -> int:
        """Micro-batches that one worker accumulates before an optimizer step."""
        return self.batch_size // (self.micro_batch_size * self.workers)


@dataclass(frozen=True, kw_only=True)
class MemoryPrediction:
    """Peak memory of one worker as predicted before launch; never a measurement.

    `components` sums to `allocated_bytes`. `low_bytes` to `high_bytes` is where the device figure is expected.
    `version` names what predicted: the programs that a prediction hangs on.
    """

    allocated_bytes: int
    reserved_bytes: int
    device_bytes: int
    capacity_bytes: int | None
    fits: bool
    peak_phase: str
    components: dict[str, int]
    method: str
    gpu: str | None = None
    peak_operation: str | None = None
    low_bytes: int | None = None
    high_bytes: int | None = None
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class PhaseMemory:
    """Peaks within one phase: load, forward, backward, optimizer, evaluation or sampling.

    On CUDA: allocator counters and NVML. On CPU only `peak_allocated_bytes`, from the probe step's live tensor bytes.
    """

    phase: str
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    device_used_bytes: int | None = None
    allocation_retries: int | None = None
    inactive_split_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class MemoryReport:
    """Measured memory of one worker. `counter` says what `peak_bytes` counts; CUDA figures are null without CUDA."""

    counter: Literal["cuda_reserved", "cpu_probe_tensor_bytes"]
    peak_bytes: int
    peak_cuda_allocated_bytes: int | None
    peak_cuda_reserved_bytes: int | None
    cuda_absent_reason: str | None
    free_at_start_bytes: int | None
    capacity_bytes: int | None
    phases: tuple[PhaseMemory, ...]


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One logged optimizer step: mean loss per token in nats, and the rate it was made with."""

    step: int
    tokens: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One completion. `kind` says what the prompt tests; the base model's text for the same seed stands beside it."""

    prompt: str
    kind: Literal["seen", "unseen", "off_domain"]
    seed: int
    text: str
    base_text: str
    ended: bool


@dataclass(frozen=True, kw_only=True)
class QualityReport:
    """The parts of sample quality and the number made of them, as `trainables/quality/README.md` defines them.

    Every part is in [0, 1]; 1 is what held-out human lines reach, but for `spill_over` and `copied_share`, which should
    be 0. `standard_error` is that of `sample_quality` over other samples of the same model; None for one batch of them.
    """

    version: str
    sample_quality: float
    standard_error: float | None
    adherence: float
    form: float
    style_seen: float
    style_unseen: float
    style_off_domain: float
    base_style_seen: float
    base_style_unseen: float
    base_style_off_domain: float
    fluency: float
    word_order: float
    known_words: float
    diversity: float
    novelty: float
    copied_share: float
    spill_over: float
    retention: float
    sample_count: int
    sampling_seed: int
    max_new_tokens: int
    greedy: bool
    temperature: float
    top_p: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Held-out losses in nats per token and science perplexity, before and after tuning.

    `off_domain_loss` is measured on the base model's own completions of off-domain prompts; what it rises by estimates
    the Kullback-Leibler divergence of the tuned model from the base model there.
    """

    quote_loss_before: float
    quote_loss: float
    science_perplexity_before: float
    science_perplexity: float
    off_domain_loss_before: float
    off_domain_loss: float


@dataclass(frozen=True, kw_only=True)
class WorkerReport:
    """What the training worker saw. Fields after an early end are None; `error` then says in one line why."""

    outcome: Outcome
    device: str
    steps: int = 0
    tokens_seen: int = 0
    parameters: int | None = None
    train_seconds: float | None = None
    tokens_per_second: float | None = None
    final_loss: float | None = None
    resumed_from_step: int | None = None
    curve: tuple[CurvePoint, ...] = ()
    evaluation: Evaluation | None = None
    memory: MemoryReport | None = None
    quality: QualityReport | None = None
    quality_absent_reason: str | None = None
    samples: tuple[Sample, ...] = ()
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a record comes from: enough to run it again and to tell two machines apart."""

    git_sha: str
    data_fingerprint: str
    versions: dict[str, str]
    device: str
    host_cpus: int
    tokenizer: str


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial, whole.

    `prediction` is for the device that trains; on a CPU `card_prediction` stands beside it, for the card named.
    `memory_explanation` says why there was no room, where there was none.
    """

    trial_id: str
    number: int
    sweep: str
    settings: TrialSettings
    outcome: Outcome
    prediction: MemoryPrediction | None
    card_prediction: MemoryPrediction | None = None
    memory_explanation: str | None = None
    report: WorkerReport | None
    provenance: Provenance
    started_at: str
    seconds: float
    schema_version: int = SCHEMA_VERSION


def to_json(record: Any) -> str:
    """A dataclass of this module as JSON text; not-a-number and infinities are refused, as JSON has none."""
    return json.dumps(dataclasses.asdict(record), indent=1, allow_nan=False, ensure_ascii=False)


def from_json(text: str) -> TrialRecord:
    """The record in `text`.

    Raises: ValueError when the text is not a record of this schema, saying which field is wrong.
    """
    document = json.loads(text)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {version!r}; this program reads {SCHEMA_VERSION}.")
    return _build(TrialRecord, document, "record")


def report_from_json(text: str) -> WorkerReport:
    """The worker's report in `text`. Raises: ValueError, as `from_json`."""
    return _build(WorkerReport, json.loads(text), "report")


def _build(kind: Any, value: Any, where: str) -> Any:
    """Build `kind` (a dataclass, tuple, union or plain type) from parsed JSON, naming the field that does not match."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {type(value).__name__}; an object was expected.")
        hints = _hints(kind)
        unknown = set(value) - set(hints)
        if unknown:
            raise ValueError(f"{where} has unknown fields {sorted(unknown)}; known: {sorted(hints)}.")
        try:
            return kind(**{name: _build(hints[name], item, f"{where}.{name}") for name, item in value.items()})
        except TypeError as error:
            raise ValueError(f"{where}: {error}") from None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _build(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} is {type(value).__name__}; a list was expected.")
        return tuple(_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {type(value).__name__}; an object was expected.")
        return {name: _build(arguments[1], item, f"{where}.{name}") for name, item in value.items()}
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is {value!r}; known: {', '.join(arguments)}.")
        return value
    if kind is Outcome:
        if value not in tuple(Outcome):
            raise ValueError(f"{where} is {value!r}; known: {', '.join(Outcome)}.")
        return Outcome(value)
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value!r}; a finite number was expected.")
    if kind in _PLAIN and (not isinstance(value, _PLAIN[kind]) or (isinstance(value, bool) and kind is not bool)):
        raise ValueError(f"{where} is {value!r}; {kind.__name__} was expected.")
    return value


_PLAIN: dict[Any, Any] = {int: int, float: (int, float), str: str, bool: bool}
_hints = functools.cache(typing.get_type_hints)
