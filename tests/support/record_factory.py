"""Records for tests: plausible, cheap and whole, each field changed by name. Nothing here was ever run."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from trainables.records.documents import to_json
from trainables.records.plan import SweepPlan
from trainables.records.record import (
    CurvePoint,
    Evaluation,
    MemoryPrediction,
    MemoryReport,
    Outcome,
    PhaseMemory,
    Provenance,
    QualityReport,
    Sample,
    TrialRecord,
    WorkerReport,
)
from trainables.records.settings import TrialSettings
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import SweepFacts, store_facts

MIB = 2**20
PARAMETERS = {"nano-0.3m": 302_848, "nano-1m": 1_061_376, "nano-4m": 4_213_760}


def make_samples(
    tuned: str = "Hope is the thing that keeps the lamp lit.", prompt: str | None = None
) -> tuple[Sample, ...]:
    prompts = [("hope", "seen"), ("virus", "off_domain"), ("phosphorylation", "off_domain")]
    if prompt is not None:
        prompts = [(prompt, "unseen"), *prompts]
    return tuple(
        Sample(
            prompt=f"{word}:",
            kind=kind,  # pyright: ignore[reportArgumentType]
            seed=0,
            text=tuned if kind != "off_domain" else f"The {word} is bound at the membrane, as in earlier work.",
            base_text=f"{word} was measured in 42 samples, and the mean was lower than in the control group [1].",
            ended=True,
        )
        for word, kind in prompts
    )


def make_memory(peak_bytes: int, capacity_bytes: int | None = None, cuda: bool = False) -> MemoryReport:
    return MemoryReport(
        counter="cuda_reserved" if cuda else "cpu_probe_tensor_bytes",
        peak_bytes=peak_bytes,
        peak_cuda_allocated_bytes=peak_bytes - MIB if cuda else None,
        peak_cuda_reserved_bytes=peak_bytes if cuda else None,
        cuda_absent_reason=None if cuda else "torch sees no CUDA device on this machine",
        free_at_start_bytes=None,
        capacity_bytes=capacity_bytes,
        phases=(PhaseMemory(phase="backward", peak_allocated_bytes=peak_bytes),),
    )


def make_quality(sample_quality: float) -> QualityReport:
    return QualityReport(
        version="1",
        sample_quality=sample_quality,
        standard_error=0.015,
        adherence=0.85,
        form=0.95,
        style_seen=0.9,
        style_unseen=0.8,
        style_off_domain=0.2,
        base_style_seen=0.1,
        base_style_unseen=0.1,
        base_style_off_domain=0.1,
        fluency=0.75,
        word_order=0.8,
        known_words=0.94,
        diversity=0.97,
        novelty=0.99,
        copied_share=0.01,
        spill_over=0.1,
        retention=0.95,
        sample_count=3,
        sampling_seed=7,
        max_new_tokens=96,
        greedy=False,
        temperature=0.7,
        top_p=0.9,
    )


def make_curve(rate: float, token_budget: int = 40_000, points: int = 12) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(
            step=step,
            tokens=step * token_budget // points,
            loss=2.4 + 3.2 * math.exp(-step * (0.2 + 40 * rate) / 2),
            learning_rate=rate,
        )
        for step in range(1, points + 1)
    )


def make_record(
    number: int = 0,
    *,
    quality: float | None = 0.5,
    peak_mib: float = 100,
    speed: float = 1000.0,
    model: str = "nano-1m",
    batch_size: int = 8,
    micro_batch_size: int = 4,
    rate: float = 1e-3,
    outcome: Outcome = Outcome.FINISHED,
    error: str | None = None,
    samples: tuple[Sample, ...] | None = None,
    cuda: bool = False,
    predicted_mib: float | None = None,
    capacity_mib: int | None = None,
    **changes: Any,
) -> TrialRecord:
    ended = outcome is Outcome.FINISHED
    report = WorkerReport(
        outcome=outcome,
        device="NVIDIA A10" if cuda else "cpu",
        steps=12,
        tokens_seen=40_000,
        parameters=PARAMETERS.get(model),
        train_seconds=20.0,
        tokens_per_second=speed if ended else None,
        final_loss=make_curve(rate)[-1].loss if ended else None,
        curve=make_curve(rate) if ended else (),
        evaluation=Evaluation(
            quote_loss_before=5.0,
            quote_loss=3.1,
            science_perplexity_before=20.0,
            science_perplexity=21.0,
            off_domain_loss_before=2.0,
            off_domain_loss=2.1,
        )
        if ended
        else None,
        memory=make_memory(int(peak_mib * MIB), cuda=cuda) if ended else None,
        quality=make_quality(quality) if ended and quality is not None else None,
        quality_absent_reason=None if quality is not None else "the weights are random",
        samples=(make_samples() if samples is None else samples) if ended else (),
        error=error,
    )
    predicted = int((predicted_mib or peak_mib * 1.04) * MIB)
    prediction = MemoryPrediction(
        allocated_bytes=predicted,
        reserved_bytes=predicted + 20 * MIB,
        device_bytes=predicted + 500 * MIB,
        capacity_bytes=None if capacity_mib is None else capacity_mib * MIB,
        fits=outcome is not Outcome.PREDICTED_NOT_TO_FIT,
        peak_phase="backward",
        components={"weights": predicted // 4},
        method="trace",
    )
    fields: dict[str, Any] = {
        "trial_id": f"{number:04d}-c0ffee",
        "number": number,
        "sweep": "made-up",
        "settings": TrialSettings(
            model=model,
            batch_size=batch_size,
            micro_batch_size=micro_batch_size,
            learning_rate=rate,
            sequence_length=128,
            token_budget=40_000,
            seed=7,
        ),
        "outcome": outcome,
        "prediction": prediction,
        "report": None if outcome is Outcome.PREDICTED_NOT_TO_FIT else report,
        "provenance": provenance(),
        "started_at": f"2026-01-02T03:04:{number % 60:02d}+00:00",
        "seconds": 21.5,
    }
    return TrialRecord(**(fields | changes))


def provenance(**changes: Any) -> Provenance:
    fields: dict[str, Any] = {
        "git_sha": "0123456789abcdef0123456789abcdef01234567",
        "data_fingerprint": "sha256:5c1e",
        "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
        "device": "cpu",
        "host_cpus": 2,
        "tokenizer": "nano",
    }
    return Provenance(**(fields | changes))


def make_facts(plan: SweepPlan, **changes: Any) -> SweepFacts:
    fields: dict[str, Any] = {
        "name": "made-up",
        "question": plan.question,
        "token": "abc123",
        "created_at": "2026-01-02T03:04:05+00:00",
        "plan": plan,
        "provenance": provenance(),
    }
    return SweepFacts(**(fields | changes))


def default_facts(name: str = "made-up", question: str = "batch_memory", **plan: Any) -> SweepFacts:
    """A sweep's own document, of the default plan but for what `plan` says."""
    default = make_plan(SweepOptions(), Device(gpus=0, gpu_bytes=None, cpus=2), BATCH_MEMORY)
    return make_facts(dataclasses.replace(default, **{"seed": 7} | plan), name=name, question=question)


def write_sweep(
    folder: Path, made: list[TrialRecord], name: str = "made-up", question: str = "batch_memory", **plan: Any
) -> str:
    """A sweep's folder as the sweep itself would leave it, its plan the default but for `plan`. Returns: its path."""
    storage = open_storage(str(folder))
    store_facts(storage, default_facts(name, question, **{"trials": len(made)} | plan))
    for record in made:
        storage.write_text(f"trials/{record.trial_id}/record.json", to_json(record))
    return str(folder)
