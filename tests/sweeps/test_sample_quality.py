"""The question of style: its space and objectives, what an epoch comes to, and its mistakes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from analysis.report import render
from analysis.sweep_table.front import standing_of
from analysis.sweep_table.load import load_sweep
from data.quotes import Quote
from data.splits import Split
from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import changed_by, make_plan, with_epoch_tokens
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.planning.space import space_size, starting_points, to_settings
from sweeps.run.launch import main
from sweeps.run.prepare import count_epoch_tokens, find_row_lengths
from sweeps.sample_quality import QUESTION as SAMPLE_QUALITY
from sweeps.search.objectives import COMPLETED, verdict
from tests.support.record_factory import make_facts, make_record, write_sweep
from tests.support.told import complaint
from trainables.records.objectives import aims_of
from trainables.records.plan import SweepPlan
from trainables.records.record import Outcome, TrialRecord
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import load_facts, store_facts
from trainables.records.trial_data import trial_data

CPU = Device(gpus=0, gpu_bytes=None, cpus=2)
GPU = Device(gpus=1, gpu_bytes=2**34, cpus=8)


def plan(device: Device = CPU, **options: Any) -> SweepPlan:
    return make_plan(SweepOptions(**options), device, SAMPLE_QUALITY)


def scored(number: int, style: float, spill_over: float, **changes: Any) -> TrialRecord:
    """A finished trial whose seen and unseen style lie evenly around `style`."""
    record = make_record(number, **changes)
    assert record.report is not None
    assert record.report.quality is not None
    quality = dataclasses.replace(
        record.report.quality, style_seen=style + 0.05, style_unseen=style - 0.05, spill_over=spill_over
    )
    return dataclasses.replace(record, report=dataclasses.replace(record.report, quality=quality))


def test_space_is_rate_epochs_replay_and_size_at_one_batch() -> None:
    made = plan()
    assert {name: len(values) for name, values in made.space.items()} == {
        "model": 2,
        "batch_size": 1,
        "micro_batch_size": 1,
        "learning_rate": 3,
        "epochs": 3,
        "replay_ratio": 3,
    }
    assert (made.trials, space_size(made), made.token_budget) == (12, 54, None)
    assert plan(GPU).models == ("125m",)


def test_first_trials_see_every_value_equally_often() -> None:
    points = starting_points(plan())
    for name, values in plan().space.items():
        assert [sum(point[name] == value for point in points) for value in values] == [12 // len(values)] * len(values)


def test_budget_is_epochs_times_the_tokens_of_an_epoch() -> None:
    made = with_epoch_tokens(plan(), {m: {"0.0": 100_000, "0.5": 150_000, "1.0": 200_000} for m in plan().models})
    proposal = starting_points(made)[0] | {"model": "nano-1m", "epochs": 1.5, "replay_ratio": 0.5}
    told = to_settings(made, proposal)
    assert (told.token_budget, told.epochs, told.replay_ratio) == (225_000, 1.5, 0.5)


def test_an_epoch_is_the_tokens_of_the_rows_that_a_trial_reads() -> None:
    made = dataclasses.replace(plan(), models=("nano-1m",), layout="padded", replay_ratios=(0.0, 1.0))
    split = Split(
        train=(Quote(keyword="hope", text="a"), Quote(keyword="love", text="b")),
        validation=(Quote(keyword="c", text="d"),),
    )
    counts = count_epoch_tokens(made, trial_data(split))["nano-1m"]
    # </s> hope : a </s> at least, twice, and with replay two scientific lines of 40 characters or more besides.
    assert 10 <= counts["0.0"] <= 16
    assert counts["1.0"] > counts["0.0"] + 20
    longest = find_row_lengths(made, trial_data(split))["nano-1m"]
    assert 5 <= longest["0.0"] <= 8  # the two rows are as long as one another
    assert longest["1.0"] > longest["0.0"] + 10
    told = to_settings(dataclasses.replace(made, row_lengths={"nano-1m": longest}), starting_points(made)[0])
    assert told.sequence_length == 128  # what a row may have; memory is decided by what it has
    assert dataclasses.replace(made, row_lengths={"nano-1m": longest}).as_laid_out(told).sequence_length in (
        longest["0.0"],
        longest["1.0"],
    )


def test_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    made = with_epoch_tokens(plan(), {m: {"0.0": 90_000, "0.5": 95_000, "1.0": 99_000} for m in plan().models})
    facts = make_facts(made)
    storage = open_storage(str(tmp_path))
    store_facts(storage, facts)
    assert load_facts(storage).plan == made


def test_flag_that_contradicts_the_resumed_sweep_is_named() -> None:
    assert changed_by(SweepOptions(epochs=(3.0,)), plan()) == "--epochs"
    assert changed_by(SweepOptions(replay_ratios=(3.0,)), plan()) == "--replay-ratios"
    assert changed_by(SweepOptions(trials=30), plan()) is None


def test_style_goes_up_and_spill_over_down() -> None:
    assert [(objective.name, objective.direction) for objective in aims_of(plan()).objectives] == [
        ("style", "maximize"),
        ("spill_over", "minimize"),
    ]
    told = verdict(scored(0, 0.7, 0.2), plan())
    assert told.values == pytest.approx((0.7, 0.2))
    assert told.is_feasible
    failed = verdict(make_record(1, outcome=Outcome.DIVERGED), plan())
    assert (failed.values, failed.constraints[COMPLETED]) == ((0.0, 1.0), 1.0)


def test_front_has_what_none_betters_in_both() -> None:
    records = [scored(0, 0.9, 0.8), scored(1, 0.5, 0.1), scored(2, 0.5, 0.3), scored(3, 0.2, 0.1, peak_mib=1)]
    standing = standing_of(records, aims_of(plan()))
    assert [trial_id.split("-")[0] for trial_id in standing.front] == ["0000", "0001"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--epochs 0", ("epochs=0.0", "positive")),
        ("--epochs 1 nan", ("epochs=nan", "positive")),
        (
            "--epochs 0.01",
            ("--epochs=0.01", "3 steps", "at least 0.07"),
        ),  # 3 x 16 x 128 = 6,144 of 102,281 tokens: 0.0601
        ("--replay-ratios -1", ("replay_ratio=-1.0", "0 (no base text)")),
        ("--replay-ratios 1 1", ("--replay-ratios", "twice")),
        ("--token-budget 1000", ("--token-budget", "--help")),
        ("--weights random", ("--weights random", "style")),
        ("--resume --name old", ("'old'", "sweeps/batch_memory.py")),
    ],
)
def test_mistake_is_one_line_and_exit_code_two(
    arguments: str, said: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from sweeps.planning.options import SweepOptions

    old = make_facts(make_plan(SweepOptions(), CPU, BATCH_MEMORY), name="old")
    store_facts(open_storage(str(tmp_path / "old")), old)
    given = ["--storage", str(tmp_path), "--wandb", "disabled", "--model-sizes", "nano-0.3m", *arguments.split()]
    assert main(SAMPLE_QUALITY, given) == 2
    out, err = capfd.readouterr()
    assert (out, complaint(err).count("\n")) == ("", 1)
    assert [part for part in said if part not in err] == [], err


def test_dry_run_says_what_each_trial_is_how_much_it_reads_and_the_micro_batch_that_it_gets(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--storage", str(tmp_path), "--dry-run", "--model-sizes", "nano-0.3m", "--trials", "1"]
    given += ["--search-levers", "--optimizer", "sgd", "--micro-batch-sizes", "auto"]
    assert main(SAMPLE_QUALITY, given) == 0
    out = capfd.readouterr().out
    assert out.count("batch 16  micro-batch 16  ") == 1  # nothing bounds it on a CPU without a cap
    assert (out.count("  loss "), out.count("  optimizer ")) == (1, 0)
    assert out.count("epochs ") == 1
    assert out.count(" tokens") == 1
    assert list(tmp_path.iterdir()) == []


def test_report_shows_the_front_near_and_far_prompts_and_what_replay_does(tmp_path: Path) -> None:
    base = make_record(0).settings
    records = [
        scored(0, 0.9, 0.8, quality=0.15, settings=dataclasses.replace(base, epochs=1.0, replay_ratio=0.0)),
        scored(1, 0.5, 0.1, quality=0.4, settings=dataclasses.replace(base, epochs=2.0, replay_ratio=1.0)),
    ]
    sweep = load_sweep(write_sweep(tmp_path, records, objectives=("style", "spill_over")))
    assert sweep.facts.aims.names == ("style", "spill_over")
    page = render(sweep)
    assert "The front of style and spill-over, least spill-over first" in page
    assert "for 2 epochs with base text at 1 to 1 quote" in page
    assert "Near and far prompts" in page
    assert "What replay costs and buys" in page
    assert "plot-style" in page
    # Means of one trial each: 0.9 and 0.5 of style, 0.8 and 0.1 of spill-over.
    table = page[page.index("What replay costs") :]
    assert table.index("0.900") < table.index("0.800") < table.index("0.500") < table.index("0.100")


def test_usual_sweep_keeps_its_three_objectives(tmp_path: Path) -> None:
    aims = load_sweep(write_sweep(tmp_path, [make_record(0)])).facts.aims
    assert aims.names == ("sample_quality", "peak_bytes", "tokens_per_second")
