"""The one table that report, board and CSV show: a row a trial, what its columns mean, and which trials are best."""

from __future__ import annotations

import csv
import dataclasses
import io
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from trainables.records.byte_sizes import MemoryUnit, memory_text
from trainables.records.objectives import OBJECTIVES, Kind
from trainables.records.record import Outcome, TrialRecord, style

COUNTERS = {
    "cuda_reserved": "CUDA reserved",
    "cpu_probe_tensor_bytes": "CPU probe, live tensor bytes",
}
MISSING = "–"


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial in plain columns; None where nothing was measured. Losses in nats per token.

    `further` holds the objectives that have no column of their own here.
    """

    number: int
    trial_id: str
    model: str
    parameters: int | None
    batch_size: int
    micro_batch_size: int
    learning_rate: float
    epochs: float | None
    replay_ratio: float | None
    token_budget: int
    loss: float | None
    quote_loss: float | None
    sample_quality: float | None
    standard_error: float | None
    adherence: float | None
    style: float | None
    style_seen: float | None
    style_unseen: float | None
    style_off_domain: float | None
    fluency: float | None
    diversity: float | None
    novelty: float | None
    likely: float | None
    one_piece: float | None
    sense: float | None
    spill_over: float | None
    retention: float | None
    peak_bytes: int | None
    peak_counter: str | None
    predicted_bytes: int | None
    predicted_counter: str | None
    predicted_for: str | None
    tokens_per_second: float | None
    outcome: str
    seconds: float
    error: str | None
    memory_explanation: str | None
    further: Mapping[str, float | None] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        """What stands in the column `name`."""
        return self.further[name] if name in self.further else getattr(self, name)


FIELDS = tuple(field.name for field in dataclasses.fields(TrialRow) if field.name != "further")


def plain_row(row: TrialRow) -> dict[str, Any]:
    """The row's columns by name, those of further objectives last."""
    return {name: getattr(row, name) for name in FIELDS} | dict(row.further)


@dataclass(frozen=True)
class Column:
    """How a field of `TrialRow` is shown: its heading, its kind of value, and what it means in a few words."""

    name: str
    title: str
    kind: Kind
    meaning: str


def _column_of(objective: str) -> Column:
    declared = OBJECTIVES[objective]
    return Column(declared.name, declared.title, declared.kind, declared.meaning)


COLUMNS = (
    Column("number", "No.", "integer", "Trial number, in the order of proposal"),
    Column("trial_id", "Trial", "text", "Trial id, the name of its folder"),
    Column("model", "Model", "text", "Model size or name"),
    Column("batch_size", "Batch", "integer", "Sequences per optimizer step"),
    Column("micro_batch_size", "Micro-batch", "integer", "Sequences on one device at once"),
    Column("learning_rate", "Learning rate", "rate", "Peak learning rate"),
    Column("epochs", "Epochs", "number", "How often each training document was read"),
    Column("replay_ratio", "Replay", "number", "Documents of base text mixed in for each quote"),
    Column("token_budget", "Tokens", "integer", "Tokens trained on"),
    Column("outcome", "Outcome", "text", "How the trial ended"),
    _column_of("sample_quality"),
    _column_of("peak_bytes"),
    Column("peak_counter", "Peak counts", "text", "The counter that measured the peak"),
    Column("predicted_bytes", "Predicted", "bytes", "Peak memory as predicted before launch; never a measurement"),
    Column("predicted_counter", "Prediction counts", "text", "The counter that the prediction is for"),
    Column("predicted_for", "Predicted for", "text", "The device that the prediction is for"),
    _column_of("tokens_per_second"),
    Column("loss", "Loss", "decimal", "Last training loss, nats per token"),
    Column("quote_loss", "Quote loss", "decimal", "Loss on held-out quotes after tuning, nats per token"),
    Column("standard_error", "± quality", "decimal", "Standard error of sample quality over other samples"),
    Column("adherence", "Adherence", "decimal", "Style and form where wanted; 1 is what held-out human lines reach"),
    _column_of("style"),
    Column("style_seen", "Style, seen", "decimal", "Style on keywords seen in training; 1 as in human lines"),
    Column("style_unseen", "Style, unseen", "decimal", "Style on keywords not seen in training; 1 as in human lines"),
    Column("style_off_domain", "Style, off-domain", "decimal", "Style where it is not wanted; 1 as in human quotes"),
    Column("fluency", "Fluency", "decimal", "Word order and known words; 1 as in human lines"),
    Column("diversity", "Diversity", "decimal", "How much samples differ; 1 as human lines do"),
    Column("novelty", "Novelty", "decimal", "Freedom from verbatim training text; 1 as in human lines"),
    Column("likely", "Likely", "decimal", "Perplexity under the language model that read; 1 as of human lines"),
    Column("one_piece", "One piece", "decimal", "What a text's first half tells of its second; 1 as in human lines"),
    Column("sense", "Sense", "decimal", "Whether the text goes with its keyword; 1 as in human lines"),
    _column_of("spill_over"),
    Column("retention", "Retention", "decimal", "How much of the base model's science is kept; higher is better"),
    Column("parameters", "Parameters", "count", "Number of parameters"),
    Column("seconds", "Seconds", "seconds", "Wall-clock time of the whole trial"),
    Column("error", "Why", "text", "Why the trial did not finish"),
    Column("memory_explanation", "What would make room", "text", "What takes the memory, and what would save some"),
)


def all_columns() -> tuple[Column, ...]:
    """The table's columns, and one for each objective that has none among them."""
    known = {column.name for column in COLUMNS}
    return (*COLUMNS, *(_column_of(name) for name in OBJECTIVES if name not in known))


def trial_row(record: TrialRecord) -> TrialRow:
    """The row of one record.

    The prediction shown is the one that compares with the measurement: reserved bytes, or allocated bytes where the
    CPU's live tensor bytes were counted (without a measurement: where the prediction names no GPU).
    """
    report, prediction, settings = record.report, record.prediction, record.settings
    memory = report.memory if report else None
    quality = report.quality if report else None
    on_cpu = memory.counter == "cpu_probe_tensor_bytes" if memory else bool(prediction and prediction.gpu is None)
    predicted = prediction and (prediction.allocated_bytes if on_cpu else prediction.reserved_bytes)
    return TrialRow(
        number=record.number,
        trial_id=record.trial_id,
        model=settings.model,
        parameters=report.parameters if report else None,
        batch_size=settings.batch_size,
        micro_batch_size=settings.micro_batch_size,
        learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        replay_ratio=settings.replay_ratio or (None if settings.epochs is None else 0.0),
        token_budget=settings.token_budget,
        loss=report.final_loss if report else None,
        quote_loss=report.evaluation.quote_loss if report and report.evaluation else None,
        sample_quality=quality.sample_quality if quality else None,
        standard_error=quality.standard_error if quality else None,
        adherence=quality.adherence if quality else None,
        style=style(quality) if quality else None,
        style_seen=quality.style_seen if quality else None,
        style_unseen=quality.style_unseen if quality else None,
        style_off_domain=quality.style_off_domain if quality else None,
        fluency=quality.fluency if quality else None,
        diversity=quality.diversity if quality else None,
        novelty=quality.novelty if quality else None,
        likely=quality.likely if quality else None,
        one_piece=quality.one_piece if quality else None,
        sense=quality.sense if quality else None,
        spill_over=quality.spill_over if quality else None,
        retention=quality.retention if quality else None,
        peak_bytes=memory.peak_bytes if memory else None,
        peak_counter=memory.counter if memory else None,
        predicted_bytes=predicted,
        predicted_counter=("allocated" if on_cpu else "reserved") if prediction else None,
        predicted_for=(prediction.gpu or "this machine") if prediction else None,
        tokens_per_second=report.tokens_per_second if report else None,
        outcome=str(record.outcome),
        seconds=record.seconds,
        error=why(record),
        memory_explanation=record.memory_explanation,
        further={
            name: objective.measured(report) if report else None
            for name, objective in OBJECTIVES.items()
            if name not in FIELDS
        },
    )


def why(record: TrialRecord) -> str | None:
    """In one line, why the trial did not finish: the worker's words, or the prediction's figures; None if unknown."""
    if record.report and record.report.error:
        return record.report.error
    prediction = record.prediction
    if record.outcome != Outcome.PREDICTED_NOT_TO_FIT or prediction is None:
        return None
    capacity = "not known" if prediction.capacity_bytes is None else memory_text(prediction.capacity_bytes)
    return (
        f"Predicted: {memory_text(prediction.allocated_bytes)} allocated, {memory_text(prediction.reserved_bytes)}"
        f" reserved, {memory_text(prediction.device_bytes)} of the device at {prediction.peak_phase};"
        f" capacity {capacity}. Never started."
    )


def cell_text(value: Any, kind: Kind, unit: MemoryUnit | None = None) -> str:
    """`value` as a person reads it in a column of `kind`; bytes in `unit`, or each in its own when there is none."""
    if value is None:
        return MISSING
    match kind:
        case "bytes":
            return unit.text(value) if unit else memory_text(value)
        case "count":
            return count_text(value)
        case "rate":
            return rate_text(value)
        case "decimal":
            return f"{value:.3f}"
        case "number":
            return f"{value:g}"
        case "integer":
            return f"{value:,}"
        case "speed" | "seconds":
            return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        case "text":
            return str(value)


def rate_text(rate: float) -> str:
    """A learning rate with at most three digits: 0.0003 as 3e-4."""
    digits, _, exponent = f"{rate:.2e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def count_text(count: int) -> str:
    """A number of parameters as people say it: 0.30M, 125M, 1.3B."""
    value, letter = (count / 1e9, "B") if count >= 1e9 else (count / 1e6, "M")
    return f"{value:,.0f}{letter}" if value >= 10 else f"{value:.1f}{letter}" if value >= 1 else f"{value:.2f}{letter}"


FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Sequence[TrialRow]) -> str:
    """The rows under their columns' names. A text that a spreadsheet would run as a formula gets an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_names())
    for row in rows:
        writer.writerow("" if value is None else _plain(value) for value in plain_row(row).values())
    return file.getvalue()


def parquet_bytes(rows: Sequence[TrialRow]) -> bytes:
    """The rows as a Parquet file; a column keeps its type where no trial has a value."""
    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    hints = typing.get_type_hints(TrialRow)
    fields = []
    for name in _names():
        hint = hints.get(name, float)
        kind = next(k for k in (typing.get_args(hint) or (hint,)) if k is not type(None))
        fields.append(pa.field(name, kinds[kind]))
    table = pa.Table.from_pylist([plain_row(row) for row in rows], schema=pa.schema(fields))
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()


def _names() -> list[str]:
    return [*FIELDS, *(name for name in OBJECTIVES if name not in FIELDS)]


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) else value
