"""The report's sections as HTML text: answer, tables of trials, failures, provenance."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from analysis.reporting.card_answer import cards_table
from analysis.reporting.html_parts import joined, part, plain_table
from analysis.sweep_table.load import Sweep
from analysis.sweep_table.table import (
    COUNTERS,
    MISSING,
    Column,
    TrialRow,
    all_columns,
    cell_text,
    rate_text,
    trial_row,
)
from trainables.records.byte_sizes import memory_unit
from trainables.records.objectives import OBJECTIVES, Aims, listed
from trainables.records.record import Outcome, TrialRecord

OUTCOMES = {
    Outcome.FINISHED: ("finished", ""),
    Outcome.STOPPED_EARLY: ("stopped early", "The search ended these before their token budget."),
    Outcome.OUT_OF_MEMORY: ("out of memory", "The device had no memory left. The settings do not fit as they are."),
    Outcome.PREDICTED_NOT_TO_FIT: ("predicted not to fit", "Predicted to need more than there is, so never started."),
    Outcome.DIVERGED: ("diverged", "The loss ran away, most often from too high a learning rate."),
    Outcome.FAILED: ("failed", "An error ended these."),
}
FRONT_COLUMNS = ("number", "model", "batch_size", "micro_batch_size", "learning_rate")
DOSE_COLUMNS = ("number", "model", "learning_rate", "epochs", "replay_ratio", "sample_quality", "retention")
ALWAYS_TOLD = ("peak_bytes", "tokens_per_second")  # of the best trial, whatever was strived for
LONG_COLUMNS = ("error", "memory_explanation")
FAILURE_COLUMNS = ("number", "trial_id", "model", "batch_size", "micro_batch_size", "learning_rate", "error")
FOLDED_COLUMNS = {"peak_counter": "Peak, measured", "predicted_counter": "Predicted", "predicted_for": "Predicted for"}


def answer(sweep: Sweep) -> Markup:
    """The first thing to read: which trial to use, what it reaches, and how the trials ended."""
    best = sweep.best
    if not sweep.records:
        return part("paragraph", "No trial is recorded yet.", "lead")
    counts = Counter(record.outcome for record in sweep.records)
    tally = ", ".join(f"{counts[outcome]} {name}" for outcome, (name, _) in OUTCOMES.items() if counts[outcome])
    total = "1 trial" if len(sweep.records) == 1 else f"{len(sweep.records):,} trials"
    counted = part("paragraph", f"{total}: {tally}.", "muted")
    if best is None:
        return joined(_nothing_to_use(sweep), counted)
    lead = _recommendation(best, sweep.facts.aims)
    return joined(lead, counted, _memory_note(sweep.records), cards_table(sweep))


def front_table(sweep: Sweep) -> Markup:
    """The trials that no other beats in all that the sweep strives for."""
    aims = sweep.facts.aims
    rows = [trial_row(record) for record in sweep.front]
    if not rows:
        return Markup("")
    least = next((objective for objective in aims.objectives if objective.direction == "minimize"), aims.objectives[0])
    rows.sort(key=lambda row: -least.gain(row.value(least.name) or 0))
    order = f"{'least' if least.direction == 'minimize' else 'most'} {least.heading} first"
    headings = listed([objective.heading for objective in aims.objectives])
    kept = f" Each keeps to {aims.budget_phrase}." if aims.budgets else ""
    caption = f"The front of {headings}, {order}: no other trial has {aims.better_phrase}.{kept}"
    has_dose = any(row.epochs is not None for row in rows)
    return table(rows, [*(DOSE_COLUMNS if has_dose else FRONT_COLUMNS), *aims.names], caption, identity="front")


def trials_table(sweep: Sweep) -> Markup:
    """Every trial; columns that are empty throughout are left out, and those that never vary stand in the caption."""
    rows = [trial_row(record) for record in sweep.records]
    if not rows:
        return part("paragraph", "No trial is recorded yet.")
    values = {column.name: {row.value(column.name) for row in rows} - {None} for column in all_columns()}
    names = [name for name in values if values[name] and name not in LONG_COLUMNS]
    names = [name for name in names if name not in FOLDED_COLUMNS or len(values[name]) > 1]
    folded = [
        f"{title}: {_counter_text(next(iter(values[name])))}."
        for name, title in FOLDED_COLUMNS.items()
        if len(values[name]) == 1
    ]
    caption = " ".join(["Choose a heading to sort by it.", *folded])
    standing = sweep.standing
    marks = dict.fromkeys(standing.front, "front") | ({standing.best: "best"} if standing.best else {})
    return table(rows, names, caption, identity="trials", sortable=True, marks=marks)


def table(
    rows: Sequence[TrialRow],
    names: Iterable[str],
    caption: str,
    identity: str,
    sortable: bool = False,
    marks: dict[str, str] | None = None,
) -> Markup:
    """`rows` as an HTML table of the columns in `names`; `marks` puts a word behind a trial's id."""
    wanted = set(names)
    columns = [column for column in all_columns() if column.name in wanted]
    units = {c.name: memory_unit(row.value(c.name) for row in rows) for c in columns if c.kind == "bytes"}
    heads = [
        {
            "title": column.title + (f", {units[column.name].name}" if column.kind == "bytes" else ""),
            "meaning": column.meaning,
            "side": _side(column),
        }
        for column in columns
    ]
    body = [
        [_cell(row, column, units.get(column.name), (marks or {}).get(row.trial_id)) for column in columns]
        for row in rows
    ]
    return part("trials", heads, body, caption, identity, sortable)


def failures(sweep: Sweep) -> Markup:
    """Trials that did not finish, by outcome, each with its reason; then what could not be read."""
    parts = []
    for outcome, (name, meaning) in OUTCOMES.items():
        rows = [trial_row(r) for r in sweep.records if r.outcome == outcome and outcome != Outcome.FINISHED]
        if rows:
            heading = part("counted_heading", name.capitalize(), len(rows))
            columns = (
                *FAILURE_COLUMNS,
                *(["memory_explanation"] if any(row.memory_explanation for row in rows) else []),
            )
            parts += [heading, table(rows, columns, meaning, identity=f"outcome-{outcome.value}")]
    if sweep.unreadable:
        parts.append(part("counted_heading", "Without a readable record", len(sweep.unreadable)))
        parts.append(part("lines", sweep.unreadable))
    nothing = "Every recorded trial finished." if sweep.records else "No trial is recorded yet."
    return joined(*parts) if parts else part("paragraph", nothing, "muted")


def provenance(sweep: Sweep) -> Markup:
    """Where the numbers come from; a fact on which the trials differ is listed with all its values."""
    found = [record.provenance for record in sweep.records]
    versions = sorted({f"{name} {version}" for item in found for name, version in item.versions.items()})
    facts: dict[str, Iterable[Any]] = {
        "Code": [item.git_sha for item in found] or [sweep.facts.provenance.git_sha],
        "Data fingerprint": [item.data_fingerprint for item in found],
        "Tokenizer": [item.tokenizer for item in found],
        "Seeds": [record.settings.seed for record in sweep.records],
        "Tokens a trial": [f"{record.settings.token_budget:,}" for record in sweep.records],
        "Device": [f"{item.device}, {item.host_cpus} host CPUs" for item in found],
        "Versions": versions,
        "Sweep begun": [sweep.facts.created_at],
        "Trials begun": _first_and_last([record.started_at for record in sweep.records]),
        "Options": [json.dumps(dataclasses.asdict(sweep.facts.plan), ensure_ascii=False)],
    }
    return part("facts", {name: list(dict.fromkeys(values)) or [MISSING] for name, values in facts.items()})


def _nothing_to_use(sweep: Sweep) -> Markup:
    aims = sweep.facts.aims
    if not any(record.outcome is Outcome.FINISHED for record in sweep.records):
        return part("nothing_finished")
    if aims.budgets and any(aims.values(record) for record in sweep.records):
        return part(
            "paragraph", f"No finished trial keeps to {aims.budget_phrase}, so there is nothing to recommend.", "lead"
        )
    headings = listed([objective.heading for objective in aims.objectives])
    return part("paragraph", f"No finished trial has {headings} measured, so there is nothing to recommend.", "lead")


def _recommendation(best: TrialRecord, aims: Aims) -> Markup:
    row = trial_row(best)
    names = dict.fromkeys(("sample_quality", *aims.names, *ALWAYS_TOLD))
    reached = [
        OBJECTIVES[name].phrase.format(cell_text(row.value(name), OBJECTIVES[name].kind))
        for name in sorted(names, key=lambda name: name in ALWAYS_TOLD)
        if row.value(name) is not None
    ]
    reason = best.report.quality_absent_reason if best.report else None
    absent = "" if row.sample_quality is not None else reason or "no reason recorded"
    return part("recommendation", row, rate_text(row.learning_rate), _dose(row), listed(reached), absent)


def _dose(row: TrialRow) -> str:
    """How long and with how much base text a trial was trained, where that was part of the question."""
    if row.epochs is None:
        return ""
    replayed = f"base text at {row.replay_ratio:g} to 1 quote" if row.replay_ratio else "no base text"
    return f", for {row.epochs:g} {'epoch' if row.epochs == 1 else 'epochs'} with {replayed}"


def _memory_note(records: Sequence[TrialRecord]) -> Markup:
    """Said once: that the peak is the CPU probe's and why there is no CUDA figure; nothing where CUDA was measured."""
    memories = [record.report.memory for record in records if record.report and record.report.memory]
    reasons = [m.cuda_absent_reason or "no reason recorded" for m in memories if m.counter == "cpu_probe_tensor_bytes"]
    if not reasons:
        return Markup("")
    note = "Peak memory here is the live tensor bytes of one probe step on the CPU. Peak CUDA memory was not measured:"
    return part("paragraph", f"{note} {'; '.join(dict.fromkeys(reasons))}.", "note")


def _cell(row: TrialRow, column: Column, unit: Any, mark: str | None) -> dict[str, Any]:
    value, is_outcome = row.value(column.name), column.name == "outcome"
    shown = OUTCOMES[Outcome(row.outcome)][0] if is_outcome else _counter_text(cell_text(value, column.kind, unit))
    return {
        "is_head": column.name == "number",
        "side": f"{_side(column)}{' long' if column.name in LONG_COLUMNS else ''}",
        "order": value,
        "text": shown,
        "leads_to_failures": is_outcome and row.outcome != Outcome.FINISHED,
        "mark": mark if column.name == "trial_id" else None,
    }


def _side(column: Column) -> str:
    return "words" if column.kind == "text" else "number"


def _counter_text(value: str) -> str:
    return COUNTERS.get(value, value)


def _first_and_last(times: Sequence[str]) -> list[str]:
    return [f"{min(times)} to {max(times)}"] if times else []


def cost(records: Sequence[TrialRecord]) -> Markup:
    """A row for each outcome and one for all; GPU-hours and price only where there were any."""
    if not records:
        return part("paragraph", "No trial is recorded yet.", "muted")
    outcomes = sorted({record.outcome.value for record in records})
    groups = {name.replace("_", " "): [r for r in records if r.outcome.value == name] for name in outcomes}
    if len(groups) > 1:
        groups["all"] = list(records)
    on_gpu, is_priced = any(r.gpu_seconds for r in records), any(r.price is not None for r in records)
    heads = ["Outcome", "Trials", "Tokens trained on", "Hours of trials", *(["GPU-hours"] if on_gpu else [])]
    heads += ["Price"] if is_priced else []
    rows = []
    for name, group in groups.items():
        tokens = sum(record.report.tokens_seen for record in group if record.report)
        cells = [name, f"{len(group):,}", f"{tokens:,}", _hours(sum(record.seconds for record in group))]
        cells += [_hours(sum(record.gpu_seconds for record in group))] if on_gpu else []
        prices = [record.price for record in group if record.price is not None]
        cells += [f"{sum(prices):.2f}" if prices else MISSING] if is_priced else []
        rows.append(cells)
    caption = "Hours are wall-clock time of trials, which may have run side by side."
    caption += " The price is in the currency of --price-per-gpu-hour." if is_priced else ""
    return joined(plain_table(heads, rows, caption, "cost"), _survived(records))


def _survived(records: Sequence[TrialRecord]) -> Markup:
    kinds = Counter(interruption.kind.value for record in records for interruption in record.interruptions)
    if not kinds:
        return Markup("")
    counts = ", ".join(f"{count} × {kind.replace('_', ' ')}" for kind, count in sorted(kinds.items()))
    lost = sum(interruption.seconds for record in records for interruption in record.interruptions)
    return part("paragraph", f"Survived: {counts}; the attempts that ended so took {_hours(lost)} hours in all.")


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.2f}" if hours >= 0.1 else f"{hours:.4f}"
