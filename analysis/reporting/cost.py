"""What the sweep cost: hours and money, by how its trials ended, and what was survived on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from analysis.reporting.html_parts import plain_table, text
from analysis.sweep_table.table import MISSING
from trainables.records import TrialRecord


def cost(records: Sequence[TrialRecord]) -> str:
    """A row for each outcome and one for all; GPU-hours and price only where there were any."""
    if not records:
        return "<p class='muted'>No trial is recorded yet.</p>"
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
    return plain_table(heads, rows, caption, "cost") + _survived(records)


def _survived(records: Sequence[TrialRecord]) -> str:
    kinds = Counter(interruption.kind.value for record in records for interruption in record.interruptions)
    if not kinds:
        return ""
    told = ", ".join(f"{count} × {kind.replace('_', ' ')}" for kind, count in sorted(kinds.items()))
    lost = sum(interruption.seconds for record in records for interruption in record.interruptions)
    return f"<p>Survived: {text(told)}; the attempts that ended so took {_hours(lost)} hours in all.</p>"


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.2f}" if hours >= 0.1 else f"{hours:.4f}"
