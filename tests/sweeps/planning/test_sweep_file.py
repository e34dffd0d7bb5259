"""A sweep as a file: what it says, what is typed beside it, presets, and W&B's own where they mean the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import UserError
from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import OptionsError, SweepOptions, parse_options
from sweeps.planning.sweep_file import config_text, presets, with_file
from sweeps.sample_quality import QUESTION as SAMPLE_QUALITY
from sweeps.scale_ladder import QUESTION as SCALE_LADDER
from trainables.records.plan import SweepPlan

CPU = Device(gpus=0, gpu_bytes=None, cpus=2)
QUESTIONS = {one.name: one for one in (BATCH_MEMORY, SAMPLE_QUALITY, SCALE_LADDER)}


def read(text: str, folder: Path, *typed: str) -> SweepOptions:
    (folder / "sweep.yaml").write_text(text, encoding="utf-8")
    kind = BATCH_MEMORY.options
    return parse_options(with_file([*typed, "--config", str(folder / "sweep.yaml")], kind), "…", kind)


def planned(options: SweepOptions, name: str = "batch_memory") -> SweepPlan:
    return make_plan(options, CPU, QUESTIONS[name])


def test_a_file_says_what_flags_say_and_what_is_typed_wins(tmp_path: Path) -> None:
    text = "trials: 3\nmodel_sizes: [nano-1m]\nlearning-rates: [1e-4, 0.003]\nfail-fast: true\nwandb-model: false\n"
    options = read(text, tmp_path, "--trials", "5", "--seed", "7")
    assert (options.trials, options.seed, options.model_sizes) == (5, 7, ("nano-1m",))
    assert options.learning_rates == (1e-4, 3e-3)  # YAML takes 1e-4 for a text; a flag does not
    assert (options.fail_fast, options.wandb_model, options.resume) == (True, False, False)


def test_a_range_that_is_typed_takes_the_place_of_the_files_list(tmp_path: Path) -> None:
    options = read("learning-rates: [1e-4]\n", tmp_path, "--learning-rate-range", "1e-5", "1e-3")
    assert (options.learning_rates, options.learning_rate_range) == (None, (1e-5, 1e-3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate: 1e-3\n", "'learning_rate' is no option of this sweep; known: "),
        ("resume: true\n", "'resume' is no option of this sweep"),
        ("trials: {a: 1}\n", "trials is {'a': 1}; give a value, or a list of values."),
        ("trials: many\n", "--trials: 'many' cannot be read as INT"),
        ("- trials\n", "it holds no options"),
        ("trials: [\n", "this is no YAML"),
        ("", "it holds no options"),
    ],
)
def test_what_a_file_cannot_say_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(text, tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_names_those_that_ship() -> None:
    for typed in (["--config", "nowhere.yaml"], ["--config"], ["--config", "--smoke"]):
        with pytest.raises(OptionsError, match=r"8xh100-6\.7b, a10-125m, laptop"):
            with_file(typed, BATCH_MEMORY.options)


@pytest.mark.parametrize(
    ("name", "question"), [("laptop", "sample_quality"), ("a10-125m", "batch_memory"), ("8xh100-6.7b", "batch_memory")]
)
def test_each_file_that_ships_is_a_plan(name: str, question: str) -> None:
    assert presets() == ["8xh100-6.7b", "a10-125m", "laptop"]
    kind = QUESTIONS[question].options
    options = parse_options(with_file([f"--config={name}"], kind), "…", kind)
    cards = Device(gpus=8, gpu_bytes=81_559 * 2**20, cpus=64, gpu_name="NVIDIA H100 80GB HBM3")
    plan = make_plan(options, CPU if name == "laptop" else cards, QUESTIONS[question])
    assert plan.trials == options.trials


@pytest.mark.parametrize(
    ("question", "typed"),
    [
        ("batch_memory", ["--learning-rate-range", "1e-4", "1e-2", "--lora-rank", "8", "--name", "mine"]),
        ("sample_quality", ["--smoke", "--memory-cap", "2GiB", "--seed", "3"]),
        ("scale_ladder", ["--rung-trials", "9", "6", "3"]),
    ],
)
def test_what_is_printed_runs_the_same_again(question: str, typed: list[str], tmp_path: Path) -> None:
    kind = QUESTIONS[question].options
    options = parse_options(typed, "…", kind)
    plan = planned(options, question)
    (tmp_path / "again.yaml").write_text(config_text(options, plan), encoding="utf-8")
    again = parse_options(with_file(["--config", str(tmp_path / "again.yaml")], kind), "…", kind)
    assert planned(again, question) == plan
    assert again.name == options.name


WANDB = """
program: train.py
method: bayes
name: quotes
metric: {name: sample_quality, goal: maximize}
run_cap: 20
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 1e-3}
  batch_size: {values: [8, 16]}
  model: {value: nano-1m}
  lora_rank: {value: 8}
"""


def test_a_sweep_of_wandbs_is_read_where_it_means_the_same(tmp_path: Path) -> None:
    options = read(WANDB, tmp_path)
    assert (options.sampler, options.trials, options.name, options.objectives) == (
        "tpe",
        20,
        "quotes",
        ("sample_quality",),
    )
    assert (options.learning_rate_range, options.batch_sizes) == ((1e-5, 1e-3), (8, 16))
    assert (options.model_sizes, options.lora_rank) == (("nano-1m",), 8)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bayes", "grid", "method 'grid' is none of random, bayes"),
        ("run_cap: 20", "early_terminate: {type: hyperband}", "'early_terminate' of a W&B sweep has no like here"),
        ("goal: maximize", "goal: minimize", "metric 'sample_quality' to minimize is no objective here"),
        ("log_uniform_values", "uniform", "'learning_rate' is searched in a way that has no like here"),
        ("lora_rank: {value: 8}", "lora_rank: {values: [0, 8]}", "of 'lora_rank' a sweep takes one value"),
        ("lora_rank: {value: 8}", "dropout: {value: 0.1}", "'dropout' is no option of this sweep"),
    ],
)
def test_what_wandb_means_otherwise_is_one_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        read(WANDB.replace(old, new), tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
