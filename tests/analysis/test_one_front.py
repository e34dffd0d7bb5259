"""Front and best are decided once: terminal, report, board, export, wandb and the study name the same trials."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from analysis.export import ExportError, choose_trial
from analysis.report import render
from analysis.reporting.figures import pareto
from analysis.serve.board_data import FollowedSweep
from analysis.sweep_table.load import Sweep, load_sweep
from analysis.sweep_table.table import csv_text, trial_row
from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.planning.questions import Question
from sweeps.sample_quality import QUESTION as SAMPLE_QUALITY
from sweeps.search.objectives import verdict
from sweeps.search.study import build_study
from sweeps.watch.live_table import print_end
from sweeps.watch.report_run import summary_of
from tests.analysis.reporting.test_report import Page
from tests.support.record_factory import default_facts, make_quality, make_record, write_sweep
from trainables.records.objectives import OBJECTIVES, Objective
from trainables.records.plan import SweepPlan
from trainables.records.record import Outcome, TrialRecord
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import store_facts, store_proposal, store_record

CPU = Device(gpus=0, gpu_bytes=None, cpus=2)


def scored(number: int, quality: float, retention: float, style: float = 0.5, spill_over: float = 0.5, **changes: Any):
    """A trial at a point of its own; what it strove for, and how much of the science it kept."""
    parts = {"style_seen": style, "style_unseen": style, "spill_over": spill_over, "retention": retention}
    record = make_record(number, quality=quality, **changes)
    assert record.report is not None
    scores = dataclasses.replace(make_quality(quality), **parts)  # pyright: ignore[reportArgumentType]
    return dataclasses.replace(record, report=dataclasses.replace(record.report, quality=scores))


def of_memory() -> list[TrialRecord]:
    points = [
        {"batch_size": batch, "micro_batch_size": 4, "rate": rate} for batch in (8, 16) for rate in (1e-4, 1e-3, 3e-3)
    ]
    figures: list[dict[str, Any]] = [
        {"quality": 0.9, "peak_mib": 400, "speed": 100, "retention": 0.2},  # writes best, and forgets most
        {"quality": 0.5, "peak_mib": 100, "speed": 100, "retention": 0.9},  # the smallest
        {"quality": 0.5, "peak_mib": 200, "speed": 100, "retention": 0.9},  # as 1, and larger
        {"quality": 0.4, "peak_mib": 300, "speed": 900, "retention": 0.9},  # the fastest
        {"quality": 0.8, "peak_mib": 400, "speed": 90, "retention": 0.9},  # 0 is better, where 0 is allowed
        {"quality": 0.95, "peak_mib": 90, "speed": 999, "retention": 0.9, "outcome": Outcome.STOPPED_EARLY},
    ]
    return [scored(n, **told, **point) for n, (told, point) in enumerate(zip(figures, points, strict=True))]


def of_style() -> list[TrialRecord]:
    figures: list[dict[str, Any]] = [
        {"quality": 0.5, "style": 0.9, "spill_over": 0.8, "retention": 0.2},  # most style, and forgets most
        {"quality": 0.4, "style": 0.5, "spill_over": 0.1, "retention": 0.9},  # least spill-over
        {"quality": 0.6, "style": 0.5, "spill_over": 0.3, "retention": 0.9, "peak_mib": 9},  # as 1, and spills more
        {"quality": 0.1, "style": 0.8, "spill_over": 0.8, "retention": 0.9},  # 0 is better, where 0 is allowed
    ]
    made = []
    for number, told in enumerate(figures):
        record = scored(number, **told, batch_size=16, micro_batch_size=8)
        settings = dataclasses.replace(record.settings, epochs=1.0, replay_ratio=(0.0, 0.5, 1.0, 0.0)[number])
        rate = (1e-3, 1e-3, 1e-3, 3e-3)[number]
        made.append(dataclasses.replace(record, settings=dataclasses.replace(settings, learning_rate=rate)))
    return made


CASES = {
    "memory": (BATCH_MEMORY, SweepOptions(), of_memory, [0, 1, 3], 0),
    "memory, within a budget": (BATCH_MEMORY, SweepOptions(min_retention=0.5), of_memory, [1, 3, 4], 4),
    "style": (SAMPLE_QUALITY, SweepOptions(), of_style, [0, 1], 0),
    "style, within a budget": (SAMPLE_QUALITY, SweepOptions(min_retention=0.5), of_style, [1, 3], 1),
    "style, all within a budget": (SAMPLE_QUALITY, SweepOptions(max_copied_share=0.5), of_style, [0, 1], 0),
    "one figure": (BATCH_MEMORY, SweepOptions(objectives=("peak_bytes",)), of_memory, [1], 1),
}


def laid_out(folder: Path, question: Question, plan: SweepPlan, records: list[TrialRecord]) -> Sweep:
    storage = open_storage(str(folder))
    store_facts(storage, dataclasses.replace(default_facts(question=question.name), plan=plan))
    for record in records:
        proposal = {name: getattr(record.settings, name) for name in plan.space}
        store_proposal(storage, record.trial_id, proposal)
        store_record(storage, record)
    return load_sweep(str(folder))


def in_terminal(sweep: Sweep, question: Question) -> tuple[list[int], int | None]:
    console = Console(file=io.StringIO(), width=200)
    print_end(sweep.records, sweep.facts.plan, question, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    best = re.search(r"Best: trial (\d+)\.", text)
    return [int(found) for found in re.findall(r"^(\d+) \*", text, re.MULTILINE)], int(best[1]) if best else None


def in_report(sweep: Sweep) -> list[tuple[list[int], int | None]]:
    """What the first sentence with the table of the front say, and what the marks in the table of all say."""
    page = Page(render(sweep))
    sentence = re.search(r"\(trial (\d+)\)\.", page.text)
    fronts = [rows for rows in page.tables if rows[0][0] == "No." and "Trial" not in rows[0]]
    front = sorted(int(row[0]) for row in fronts[0][1:]) if fronts else []
    trials = next(rows for rows in page.tables if "Trial" in rows[0])
    at = trials[0].index("Trial")
    marks = {int(row[0]): row[at].split()[1:] for row in trials[1:]}
    best = next((number for number, mark in marks.items() if mark == ["best"]), None)
    return [(front, int(sentence[1]) if sentence else None), ([n for n, mark in marks.items() if mark], best)]


def filled_in_figure(sweep: Sweep) -> list[int]:
    figure = pareto(sweep)
    assert figure is not None
    found = []
    for trace in figure.to_dict()["data"]:
        symbols = trace["marker"]["symbol"] if "text" in trace else ()
        for symbol, hover in zip(symbols, trace.get("text", ()), strict=True):
            if "open" not in symbol:
                found.append(int(re.search(r"[Tt]rial (\d+)", hover)[1]))  # pyright: ignore[reportOptionalSubscript]
    return sorted(found)


def followed(folder: Path) -> FollowedSweep:
    board = FollowedSweep(open_storage(str(folder)))
    board.look()
    return board


def on_board(folder: Path, model: str = "") -> tuple[list[int], int | None]:
    board = followed(folder)
    told = dataclasses.asdict(board.standing(model)) if model else json.loads(board.since(None))
    return [int(name.split("-")[0]) for name in told["front"]], told["best"] and int(told["best"].split("-")[0])


@pytest.mark.parametrize("case", CASES)
def test_every_place_names_the_same_front_and_the_same_best(tmp_path: Path, case: str) -> None:
    question, options, records, front, best = CASES[case]
    plan = make_plan(options, CPU, question)
    sweep = laid_out(tmp_path, question, plan, records())
    assert in_terminal(sweep, question) == (front, best)
    assert in_report(sweep) == [(front, best), (front, best)]
    assert filled_in_figure(sweep) == front
    assert on_board(tmp_path) == (front, best)
    assert choose_trial(sweep, "best").number == best
    mirrored = summary_of(sweep)
    assert ([int(name.split("-")[0]) for name in mirrored["front"]], mirrored["best"]["number"]) == (front, best)
    study = build_study(sweep.facts, open_storage(str(tmp_path)), None)
    assert [trial.number for trial in study.best_trials] == front


def test_where_no_trial_keeps_the_budget_none_is_named(tmp_path: Path) -> None:
    plan = make_plan(SweepOptions(min_retention=0.97), CPU, BATCH_MEMORY)
    sweep = laid_out(tmp_path, BATCH_MEMORY, plan, of_memory())
    assert in_terminal(sweep, BATCH_MEMORY) == ([], None)
    assert in_report(sweep) == [([], None), ([], None)]
    assert "No finished trial keeps to a retention of at least 0.97, so there is nothing" in Page(render(sweep)).text
    assert on_board(tmp_path) == ([], None)
    assert summary_of(sweep)["best"] == {}
    assert build_study(sweep.facts, open_storage(str(tmp_path)), None).best_trials == []
    with pytest.raises(ExportError, match=r"keeps to a retention of at least 0\.97, so none is best; name one of"):
        choose_trial(sweep, "best")
    assert choose_trial(sweep, "3").number == 3


def test_board_decides_anew_among_the_trials_of_one_size(tmp_path: Path) -> None:
    made = [make_record(0, quality=0.9), make_record(1, quality=0.5, model="nano-4m"), make_record(2, quality=0.4)]
    write_sweep(tmp_path, made)
    assert on_board(tmp_path) == ([0], 0)  # the same peak and speed in all
    assert on_board(tmp_path, model="nano-4m") == ([1], 1)


def test_an_objective_that_is_declared_is_known_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss on held-out science, as no question asks for it and no column of the table holds it."""
    declared = Objective(
        name="science_perplexity",
        direction="minimize",
        measured=lambda report: report.evaluation.science_perplexity if report.evaluation else None,
        worst=lambda record: 1e6,
        heading="perplexity",
        title="Science perplexity",
        meaning="Perplexity of held-out science after tuning; lower is better",
        kind="decimal",
        phrase="a science perplexity of {}",
        better="less perplexity",
    )
    monkeypatch.setitem(OBJECTIVES, declared.name, declared)
    made = [make_record(n, rate=(1e-4, 1e-3, 3e-3)[n], quality=0.1 * (n + 1)) for n in range(3)]
    for n, record in enumerate(made[:2]):  # 21 in the factory's own
        assert record.report is not None
        assert record.report.evaluation is not None
        evaluation = dataclasses.replace(record.report.evaluation, science_perplexity=(30.0, 12.5)[n])
        made[n] = dataclasses.replace(record, report=dataclasses.replace(record.report, evaluation=evaluation))
    made.append(make_record(3, outcome=Outcome.DIVERGED, batch_size=16))
    plan = make_plan(SweepOptions(objectives=(declared.name,)), CPU, BATCH_MEMORY)
    sweep = laid_out(tmp_path, BATCH_MEMORY, plan, made)
    assert in_terminal(sweep, BATCH_MEMORY) == ([1], 1)
    assert in_report(sweep) == [([1], 1), ([1], 1)]
    assert on_board(tmp_path) == ([1], 1)
    assert "a science perplexity of 12.500" in Page(render(sweep)).text
    row = next(row for row in json.loads(followed(tmp_path).since(None))["rows"] if row["number"] == 1)
    assert row["science_perplexity"] == 12.5
    assert csv_text([trial_row(made[1])]).splitlines()[0].endswith(",science_perplexity")
    assert summary_of(sweep)["best"]["science_perplexity"] == 12.5
    assert verdict(made[3], plan).values == (1e6,)
    study = build_study(sweep.facts, open_storage(str(tmp_path)), None)
    assert ([trial.number for trial in study.best_trials], study.best_trials[0].values) == ([1], [12.5])
