"""A small trial really trained and sampled, without Ray: its checkpoint and record lie in a sweep's folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from data.batches import make_rows
from data.documents import encode_documents
from data.tokenizer import load_tokenizer
from tests.support.record_factory import make_quality, make_record, write_sweep
from trainables.memory.measuring.meter import MemoryMeter
from trainables.model.models import apply_levers, find_model, load_model, weight_type
from trainables.quality.held_out import HeldOut
from trainables.quality.sampling import SamplingSettings, sample_completions
from trainables.records.record import TrialRecord
from trainables.records.settings import TrialSettings
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import store_record
from trainables.records.trial_data import prepare_quotes, trial_data
from trainables.training.checkpoint_store import CheckpointStore
from trainables.training.loop import TrainingLoop

SETTINGS = TrialSettings(
    model="nano-0.3m",
    batch_size=8,
    micro_batch_size=4,
    learning_rate=3e-3,
    sequence_length=48,
    token_budget=1_500,
    samples_per_prompt=2,
    seed=3,
)


def train_trial(sweep: Path, number: int, **changes: Any) -> TrialRecord:
    """Train, sample and record a trial as a worker does; `changes` are settings."""
    settings = dataclasses.replace(SETTINGS, **changes)
    record = make_record(number, settings=settings)
    source = find_model(settings.model)
    loaded = load_tokenizer(source.location)
    data = trial_data(prepare_quotes("shipped").split)
    held_out = HeldOut(data, loaded, settings)
    model = load_model(source, weights="pretrained", dtype=weight_type(settings), attention="sdpa", seed=settings.seed)
    base = held_out.completions(model)
    apply_levers(model, settings)
    length = settings.sequence_length
    documents = encode_documents(loaded, data.training_lines(0.0, settings.seed))
    rows = make_rows(documents, layout="packed", sequence_length=length, pad_id=loaded.pad_id, seed=settings.seed)
    loop = TrainingLoop(model, rows, settings, MemoryMeter(torch.device("cpu")))
    while not loop.is_done:
        loop.step()
    with CheckpointStore(open_storage(str(sweep)), record.trial_id).writing(loop.progress.step) as folder:
        loop.save(folder)
    sampling = held_out.sampling
    quality = dataclasses.replace(
        make_quality(0.1 * (number + 1)),
        sampling_seed=sampling.seed,
        max_new_tokens=sampling.max_new_tokens,
        greedy=sampling.greedy,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
    )
    assert record.report is not None
    report = dataclasses.replace(
        record.report, steps=loop.progress.step, quality=quality, samples=held_out.samples(model, base)
    )
    record = dataclasses.replace(record, report=report)
    store_record(open_storage(str(sweep)), record)
    return record


def draw_again(folder: Path, record: TrialRecord, **arguments: str) -> list[str]:
    """Every sample of the record, drawn anew from what transformers makes of the folder."""
    assert record.report is not None
    quality = record.report.quality
    assert quality is not None
    model, loaded = AutoModelForCausalLM.from_pretrained(folder, **arguments), load_tokenizer(str(folder))
    prompts = list(dict.fromkeys(sample.prompt for sample in record.report.samples))
    settings = SamplingSettings(
        per_prompt=record.settings.samples_per_prompt,
        max_new_tokens=quality.max_new_tokens,
        temperature=quality.temperature,
        top_p=quality.top_p,
        greedy=quality.greedy,
        seed=quality.sampling_seed,
    )
    drawn = sample_completions(model, loaded, [f"{loaded.separator}{prompt}" for prompt in prompts], settings)
    return [completion.text for row in drawn for completion in row]


def empty_sweep(folder: Path) -> Path:
    """A sweep without trials."""
    return Path(write_sweep(folder, []))
