"""Two sweeps compared: which settings differ, what each reached, and trials that both ran."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from analysis.reporting.html_parts import Section, figure_block, joined, part, plain_table, whole_page
from analysis.reporting.report_figures import FIGURES, STYLE, Shown
from analysis.sweep_table.load import RecordsError, Sweep
from analysis.sweep_table.table import MISSING, Kind, TrialRow, cell_text, trial_row
from trainables.records.byte_sizes import memory_text
from trainables.records.record import Outcome, TrialRecord

TRIALS_SHOWN = 40
DERIVED = ("epoch_tokens", "row_lengths")  # counted from the other options
Figure = Callable[[Sweep], float | None]


def settings_table(first: Sweep, second: Sweep) -> Markup:
    """In which options the two sweeps differ, and where they ran differently."""
    one, other = _facts(first), _facts(second)
    differing = [name for name in {**one, **other} if one.get(name, MISSING) != other.get(name, MISSING)]
    if not differing:
        return part("paragraph", "Both have the same options, code, data and versions.")
    rows = [[name, one.get(name, MISSING), other.get(name, MISSING)] for name in differing]
    caption = f"What differs; {len({**one, **other}) - len(differing)} further settings and facts are the same."
    return plain_table(["Setting", first.name, second.name], rows, caption, "settings", (first.name, second.name))


def results_table(first: Sweep, second: Sweep) -> Markup:
    """What each reached, and the difference of the second from the first."""
    rows = []
    for title, kind, figure in _RESULTS:
        values = [figure(sweep) for sweep in (first, second)]
        rows.append([title, *(cell_text(value, kind) for value in values), _difference(values, kind)])
    caption = "What each reached. Difference: the second less the first."
    return plain_table(["Result", first.name, second.name, "Difference"], rows, caption, "results")


def warnings(first: Sweep, second: Sweep) -> Markup:
    """What makes a comparison of the two unfair, one sentence each; empty where nothing does."""
    notes = []
    if first.facts.question != second.facts.question:
        notes.append("They answer different questions.")
    if first.facts.aims != second.facts.aims:
        notes.append("They strive for different figures, or within different budgets: best and front mean two things.")
    for what, find in _FAIRNESS:
        values = [{find(record) for record in sweep.records} - {None} for sweep in (first, second)]
        if values[0] and values[1] and not values[0] & values[1]:
            notes.append(f"They differ in {what} throughout.")
    return part("paragraph", " ".join(notes), "note") if notes else Markup("")


def shared_trials(first: Sweep, second: Sweep) -> Markup:
    """Trials with the very same settings in both, side by side."""
    others = {_key(record): record for record in second.records}
    pairs = [(record, others[_key(record)]) for record in first.records if _key(record) in others]
    if not pairs:
        return part("paragraph", "No trial was run with the same settings in both.", "muted")
    rows = [_pair_cells(trial_row(one), trial_row(other)) for one, other in pairs[:TRIALS_SHOWN]]
    names = (first.name, second.name)
    heads = ["Trial", "Model", "Batch", "Rate"]
    heads += [f"{title}, {name}" for title in ("quality", "peak", "tokens/s") for name in names]
    more = f" The first {TRIALS_SHOWN} are shown." if len(pairs) > TRIALS_SHOWN else ""
    caption = f"{len(pairs)} trials had the same settings in both. Peaks are measured.{more}"
    return plain_table(heads, rows, caption, "shared", ("Model",))


def best_line(sweep: Sweep) -> Markup:
    """One sentence on a sweep's best trial."""
    best = sweep.best
    if best is None:
        return part("no_best_line", sweep.name)
    row = trial_row(best)
    peak = MISSING if row.peak_bytes is None else memory_text(row.peak_bytes)
    quality, speed = cell_text(row.sample_quality, "decimal"), cell_text(row.tokens_per_second, "speed")
    return part("best_line", sweep.name, row, cell_text(row.learning_rate, "rate"), quality, peak, speed)


def _facts(sweep: Sweep) -> dict[str, str]:
    """Options and provenance by name, as text."""
    options = dataclasses.asdict(sweep.facts.plan)
    found = {name: _words(name, value) for name, value in options.items() if name not in DERIVED}
    for name, value in dataclasses.asdict(sweep.facts.provenance).items():
        if isinstance(value, dict):
            found |= {f"{name}: {inner}": _words(inner, worth) for inner, worth in value.items()}
        else:
            found[name] = _words(name, value)
    return found


def _words(name: str, value: Any) -> str:
    if value is None or value == ():
        return MISSING
    if isinstance(value, int) and name.endswith("_bytes"):
        return memory_text(value)
    if isinstance(value, tuple):
        return ", ".join(_words(name, item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _best(name: str, lowest: bool = False) -> Figure:
    def find(sweep: Sweep) -> float | None:
        rows = [trial_row(record) for record in sweep.records if record.outcome is Outcome.FINISHED]
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        return (min(values) if lowest else max(values)) if values else None

    return find


def _count(outcome: Outcome | None) -> Figure:
    return lambda sweep: sum(outcome in (None, record.outcome) for record in sweep.records)


def _of_report(record: TrialRecord, part: str, name: str) -> Any:
    return getattr(getattr(record.report, part, None), name, None)


_RESULTS: tuple[tuple[str, Kind, Figure], ...] = (
    ("Trials", "integer", _count(None)),
    *((outcome.value.replace("_", " ").capitalize(), "integer", _count(outcome)) for outcome in Outcome),
    ("On the front", "integer", lambda sweep: len(sweep.standing.front)),
    ("Best sample quality", "decimal", _best("sample_quality")),
    ("Most style", "decimal", _best("style")),
    ("Least spill-over", "decimal", _best("spill_over", lowest=True)),
    ("Lowest loss on held-out quotes", "decimal", _best("quote_loss", lowest=True)),
    ("Smallest measured peak", "bytes", _best("peak_bytes", lowest=True)),
    ("Fastest, tokens/s", "speed", _best("tokens_per_second")),
    ("Seconds of all trials", "seconds", lambda sweep: sum(record.seconds for record in sweep.records)),
    ("GPU-seconds", "seconds", lambda sweep: sum(record.gpu_seconds for record in sweep.records)),
)
_FAIRNESS: tuple[tuple[str, Callable[[TrialRecord], Any]], ...] = (
    ("the data, by its fingerprint", lambda record: record.provenance.data_fingerprint),
    ("the tokens of a trial", lambda record: record.settings.token_budget),
    ("the judge's version", lambda record: _of_report(record, "quality", "version")),
    ("what counts memory", lambda record: _of_report(record, "memory", "counter")),
    ("the device", lambda record: record.report.device if record.report else None),
)


def _difference(values: Sequence[float | None], kind: Kind) -> str:
    one, other = values
    if one is None or other is None:
        return MISSING
    change = other - one
    sign = "+" if change > 0 else "−" if change < 0 else ""
    return sign + cell_text(abs(change), kind)


def _key(record: TrialRecord) -> str:
    return json.dumps(dataclasses.asdict(record.settings), sort_keys=True)


def _pair_cells(one: TrialRow, other: TrialRow) -> list[str]:
    cells = [f"{one.number} / {other.number}", one.model, str(one.batch_size), cell_text(one.learning_rate, "rate")]
    cells += [cell_text(row.sample_quality, "decimal") for row in (one, other)]
    cells += [MISSING if row.peak_bytes is None else memory_text(row.peak_bytes) for row in (one, other)]
    return cells + [cell_text(row.tokens_per_second, "speed") for row in (one, other)]


ALIGNED = ("pareto", "style", "curves")  # figures with one pair of linear axes


def render_comparison(first: Sweep, second: Sweep) -> str:
    """The page. Raises: RecordsError where one of the two has no trial, so that there is nothing to compare."""
    for sweep in (first, second):
        if not sweep.records:
            raise RecordsError(f"sweep {sweep.name} has no recorded trial yet, so there is nothing to compare.")
    answer = joined(best_line(first), best_line(second), warnings(first, second), results_table(first, second))
    sections = [
        Section(identity="answer", word="Answer", heading="", content=answer),
        Section(
            identity="settings",
            word="Settings",
            heading="Which settings differ",
            content=settings_table(first, second),
        ),
        Section(
            identity="shared",
            word="Same trials",
            heading="Trials that both ran",
            content=shared_trials(first, second),
        ),
        *(_pair(shown, first, second) for shown in (*FIGURES, STYLE)),
    ]
    return whole_page(f"{first.name} and {second.name}", "Two sweeps side by side", sections)


def _pair(shown: Shown, first: Sweep, second: Sweep) -> Section:
    drawn = [shown.draw(sweep) for sweep in (first, second)]
    if shown.identity in ALIGNED and drawn[0] is not None and drawn[1] is not None:
        _share_axes(drawn[0], drawn[1])
    halves = [
        (
            sweep.name,
            figure_block(f"{shown.identity}-{at}", figure, f"{_narrow(figure)}{shown.meaning}", shown.absent),
        )
        for at, (sweep, figure) in enumerate(zip((first, second), drawn, strict=True))
    ]
    return Section(identity=shown.identity, word=shown.word, heading=shown.heading, content=part("pair", halves))


def _narrow(figure: go.Figure | None) -> str:
    """Make a figure fit half the page. Returns: its subtitle, taken off, for the words below it."""
    if figure is None:
        return ""
    layout: Any = figure.layout
    subtitle = html.unescape(layout.title.subtitle.text or "")
    layout.title.subtitle.text = ""
    layout.margin.t = 64
    figure.for_each_xaxis(lambda axis: axis.update(title_text=(axis.title.text or "").partition(" (")[0]))
    return f"{subtitle} " if subtitle else ""


def _share_axes(one: go.Figure, other: go.Figure) -> None:
    """Give both the range that holds all points of both, a twentieth around it."""
    for axis in ("x", "y"):
        values = [
            value
            for figure in (one, other)
            for trace in figure.to_dict()["data"]
            for value in trace.get(axis) or ()
            if isinstance(value, int | float) and math.isfinite(value)
        ]
        if not values:
            continue
        margin = 0.05 * (max(values) - min(values)) or 1.0
        span: Any = [min(values) - margin, max(values) + margin]
        for figure in (one, other):
            (figure.update_xaxes if axis == "x" else figure.update_yaxes)(range=span)
