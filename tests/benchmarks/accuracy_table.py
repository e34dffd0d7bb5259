"""Errors of predicted peaks, whole and by slice, and who fits under a cap: the tables of memory_accuracy.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import Any

from trainables.memory.cards import find_card

COUNTERS = ("allocated_bytes", "reserved_bytes")
CAPS_GB = (24, 40, 80)

Row = Mapping[str, Any]


def table(rows: Sequence[Row], slices: Sequence[str]) -> str:
    """Absolute errors as fractions of what was measured (median, p90, worst), whole and by slice; then the caps.

    `slices` are the settings by whose values rows are told apart.
    """
    lines = [line for counter in COUNTERS for line in _errors(rows, counter, slices)]
    lines += [line for cap in CAPS_GB if (line := confusion(rows, cap))]
    refused = sum(bool(row["measured"].get("out_of_memory")) for row in rows)
    return "\n".join([*lines, f"{refused} of {len(rows)} runs ran out of memory"] if refused else lines)


def confusion(rows: Sequence[Row], cap_gb: int) -> str | None:
    """How often fit and not-fit under a cap were told right; None where no row can say.

    A run under this very cap fitted or ran out of memory. Of one without a cap, reserved bytes stand against it, the
    allocator's peak on the whole card; one that exhausted a card at least as large as the cap does not fit it.
    """
    cap_bytes = cap_gb * 10**9
    pairs = []
    for row in rows:
        measured, predicted = row["measured"], row["predicted"].get("reserved_bytes")
        if predicted is None:
            continue
        if own_bytes := row["settings"].get("memory_cap_bytes"):
            if own_bytes == cap_bytes or (own_bytes == find_card("a10").capacity_bytes and cap_gb == 24):
                pairs.append((row["predicted"]["fits"], not measured["out_of_memory"]))
            continue
        if measured.get("reserved_bytes"):
            pairs.append((predicted <= cap_bytes, measured["reserved_bytes"] <= cap_bytes))
        elif measured.get("out_of_memory") and (measured.get("capacity_bytes") or 0) >= cap_bytes:
            pairs.append((predicted <= cap_bytes, False))
    if not pairs:
        return None
    counts = [pairs.count(pair) for pair in ((True, True), (False, False), (True, False), (False, True))]
    return f"cap {cap_gb} GB: {counts[0]} fit, {counts[1]} do not, {counts[2]} false fits, {counts[3]} false refusals"


def _errors(rows: Sequence[Row], counter: str, slices: Sequence[str]) -> list[str]:
    errors = [(row["settings"], error) for row in rows if (error := error_of(row, counter)) is not None]
    if not errors:
        return []
    lines = [_line(counter, [error for _, error in errors])]
    for name in slices:
        values = sorted({settings[name] for settings, _ in errors}, key=lambda value: (isinstance(value, int), value))
        if len(values) > 1:
            lines += [_line(f"  {name} {v}", [error for s, error in errors if s[name] == v]) for v in values]
    return lines


def error_of(row: Row, counter: str) -> float | None:
    """Predicted over measured, less 1, without its sign; None where either is missing."""
    predicted, measured = row["predicted"].get(counter), row["measured"].get(counter)
    return abs(predicted / measured - 1) if predicted and measured else None


def _line(name: str, errors: Sequence[float]) -> str:
    p90 = quantiles(errors, n=10, method="inclusive")[-1] if len(errors) > 1 else errors[0]
    return f"{name:32s} median {median(errors):.3%}  p90 {p90:.3%}  worst {max(errors):.3%}  {len(errors)} runs"
