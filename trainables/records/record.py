"""The dataclasses that cross floors: a trial's settings, what was predicted, what came out.

One `TrialRecord` is one JSON document, the only source of truth about a trial; `trainables/records/documents.py` writes
and reads it. Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from trainables.records.settings import TrialSettings

SCHEMA_VERSION = 1
STRICT = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # pydantic's: how documents are read


class Outcome(StrEnum):
    """How a trial ended. Every record has exactly one."""

    FINISHED = "finished"
    STOPPED_EARLY = "stopped_early"
    OUT_OF_MEMORY = "out_of_memory"
    PREDICTED_NOT_TO_FIT = "predicted_not_to_fit"
    DIVERGED = "diverged"
    FAILED = "failed"


class FailureKind(StrEnum):
    """What took a trial down other than its own settings. All but `bug` are tried again."""

    WORKER_LOST = "worker_lost"
    NODE_LOST = "node_lost"
    SPOT_TAKEN = "spot_taken"
    NCCL = "nccl"
    STORAGE = "storage"
    BUG = "bug"


@dataclass(frozen=True, kw_only=True)
class MemoryPrediction:
    """Peak memory of one worker as predicted before launch; never a measurement.

    `components` sums to `allocated_bytes`. `low_bytes` to `high_bytes` is where the device figure is expected.
    `version` names what predicted: the programs that a prediction hangs on. Where earlier trials of the sweep were
    measured, as many as `corrected_by_trials`, the device's figures are multiplied by `correction`; the others are not.
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
    corrected_by_trials: int = 0
    correction: float = 1.0


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
class OutOfMemory:
    """The moment of an out-of-memory error, in bytes; None for what the error did not say."""

    phase: str
    operation: str | None = None
    requested_bytes: int | None = None
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class MemoryReport:
    """Measured memory of one worker. `counter` says what `peak_bytes` counts; CUDA figures are null without CUDA.

    `components` is what the allocated peak of the probed step was made of, under the names of `MemoryPrediction`.
    """

    counter: Literal["cuda_reserved", "cpu_probe_tensor_bytes"]
    peak_bytes: int
    peak_cuda_allocated_bytes: int | None
    peak_cuda_reserved_bytes: int | None
    cuda_absent_reason: str | None
    free_at_start_bytes: int | None
    capacity_bytes: int | None
    phases: tuple[PhaseMemory, ...]
    components: dict[str, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """What ended an attempt at a trial that was then tried again from its checkpoint."""

    kind: FailureKind
    error: str
    seconds: float


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
    The last four are None where no language model read the samples, and in older records.
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
    language_model: str | None = None
    likely: float | None = None
    one_piece: float | None = None
    sense: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Held-out losses in nats per token and science perplexity, before and after tuning.

    `off_domain_loss` is measured on the base model's own completions of off-domain prompts; what it rises by estimates
    the Kullback-Leibler divergence of the tuned model from the base model there. `quote_loss_error` is the standard
    error of `quote_loss` over lines like those held out; None in older records.
    """

    quote_loss_before: float
    quote_loss: float
    science_perplexity_before: float
    science_perplexity: float
    off_domain_loss_before: float
    off_domain_loss: float
    quote_loss_error: float | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerReport:
    """What the training worker saw. Fields after an early end are None; `error` then says in one line why.

    `seconds_by_part` is the worker's wall time by what it did, from `data` and `model_load` to `sampling` and `saving`;
    what is missing to the trial's `seconds` went into starting, predicting and waiting.
    """

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
    samples: Sequence[Sample] = ()
    error: str | None = None
    out_of_memory: OutOfMemory | None = None
    seconds_by_part: dict[str, float] | None = None

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a record comes from: enough to run it again and to tell two machines apart.

    `model_origin` says where converted weights come from, how they were kept and under which licence; else "".
    """

    git_sha: str
    data_fingerprint: str
    versions: dict[str, str]
    device: str
    host_cpus: int
    tokenizer: str
    model_origin: str = ""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial, whole.

    `prediction` is for the device that trains; on a CPU `card_prediction` stands beside it, for the card named.
    `memory_explanation` says why there was no room, where there was none. `failure` says what took a failed trial
    down, `interruptions` what was survived. `gpu_seconds` are those that its workers held GPUs, over all attempts;
    `price` is their cost in the currency of --price-per-gpu-hour. `left_over_bytes` is what lay on a device after the
    trial, the most of any worker; a process with more than a little takes no other trial. `automatic_micro_batch` says
    that its micro-batch was not proposed, but chosen as the largest that was expected to fit.
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
    failure: FailureKind | None = None
    interruptions: tuple[Interruption, ...] = ()
    gpu_seconds: float = 0.0
    left_over_bytes: int | None = None
    price: float | None = None
    automatic_micro_batch: bool = False
    schema_version: int = SCHEMA_VERSION

    __pydantic_config__ = STRICT


def style(quality: QualityReport) -> float:
    """How much of the style is taken on where it is wanted: seen and unseen keywords weigh the same."""
    return (quality.style_seen + quality.style_unseen) / 2
