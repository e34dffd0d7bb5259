"""Options become a plan: defaults by machine, contradictions named in one line, no plan with a trial that breaks."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from data.errors import UserError
from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import changed_by, make_plan
from sweeps.planning.device import Device, detect_device
from sweeps.planning.options import SweepOptions, parse_options
from sweeps.planning.space import space_of, to_settings
from trainables.records.plan import SweepPlan

GIB = 2**30
CPU = Device(gpus=0, gpu_bytes=None, cpus=2)
GPU = Device(gpus=2, gpu_bytes=16 * GIB, cpus=8)  # made up: no card of the list has 16 GiB
A10_BYTES = 23_028 * 2**20


def plan(device: Device = CPU, **options) -> SweepPlan:
    return make_plan(SweepOptions(**options), device, BATCH_MEMORY)


def complaint(device: Device = CPU, **options) -> str:
    with pytest.raises(UserError) as caught:
        plan(device, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_cpu_explores_the_nano_family() -> None:
    made = plan()
    assert made.models == ("nano-0.3m", "nano-1m", "nano-4m")
    assert (made.trials, made.precision, made.on_cuda) == (12, "fp32", False)
    assert (made.batch_sizes, made.micro_batch_sizes) == ((8, 16, 32), (2, 4, 8))
    assert made.token_budget is not None
    assert made.token_budget // (32 * made.sequence_length) >= 3  # the largest batch still takes three steps
    assert (made.gpu, made.capacity_bytes, made.memory_cap_bytes) == ("a10", A10_BYTES, None)


def test_a_gpu_explores_galactica_125m() -> None:
    made = plan(GPU)
    assert made.models == ("125m",)
    assert (made.trials, made.precision, made.on_cuda) == (12, "bf16-amp", True)
    assert (made.gpu, made.capacity_bytes) == ("this GPU", 16 * GIB)


@pytest.mark.parametrize("device", [CPU, GPU])
def test_smoke_is_two_tiny_trials_anywhere(device: Device) -> None:
    made = plan(device, smoke=True)
    assert (made.trials, made.models, made.batch_sizes) == (2, ("nano-0.3m",), (8,))
    assert made.token_budget is not None
    assert made.token_budget <= 5_000


def test_what_is_given_wins_over_smoke_and_machine() -> None:
    made = plan(GPU, smoke=True, trials=3, model_sizes=("nano-4m",), token_budget=9_000, precision="fp32", seed=5)
    assert (made.trials, made.models, made.token_budget, made.precision, made.seed) == (
        3,
        ("nano-4m",),
        9_000,
        "fp32",
        5,
    )


def test_every_option_of_a_trial_reaches_its_settings() -> None:
    made = plan(
        layout="padded",
        attention="eager",
        loss="fused",
        gradient_checkpointing=True,
        optimizer="sgd",
        lora_rank=4,
        precision="fp16-amp",
        workers_per_trial=2,
        micro_batch_sizes=(2, 4),
        weights="random",
        memory_cap="2GiB",
        seed=9,
    )
    told = made.settings(model="nano-1m", batch_size=16, micro_batch_size=4, learning_rate=1e-3)
    assert (told.layout, told.attention, told.loss, told.weights) == ("padded", "eager", "fused", "random")
    assert (told.gradient_checkpointing, told.workers, told.memory_cap_bytes, told.seed) == (True, 2, 2 * GIB, 9)
    assert (told.optimizer, told.lora_rank, told.precision) == ("sgd", 4, "fp16-amp")
    assert (told.model, told.accumulation_steps) == ("nano-1m", 2)  # 16 sequences over 2 workers, 4 at once


@pytest.mark.parametrize(
    ("device", "options", "capacity_bytes"),
    [
        (CPU, {}, A10_BYTES),
        (CPU, {"gpu": "t4"}, 15 * GIB),
        (CPU, {"gpu": "t4", "memory_cap": "20GiB"}, 15 * GIB),
        (CPU, {"gpu": "t4", "memory_cap": "8GiB"}, 8 * GIB),
        (GPU, {}, 16 * GIB),
        (GPU, {"memory_cap": "1.5GiB"}, GIB * 3 // 2),
        (GPU, {"memory_cap": "24GiB"}, 16 * GIB),
        (GPU, {"memory_cap": "10GB"}, 10_000_000_000),
    ],
)
def test_capacity_is_the_smaller_of_card_and_cap(device: Device, options: dict, capacity_bytes: int) -> None:
    made = plan(device, **options)
    assert made.capacity_bytes == capacity_bytes
    assert (made.memory_cap_bytes is None) == ("memory_cap" not in options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trials": 0}, ["--trials=0", "at least 1"]),
        ({"trials": -3}, ["--trials=-3", "at least 1"]),
        ({"model_sizes": ()}, ["--model-sizes", "one or more"]),
        ({"model_sizes": ("2b",)}, ["'2b'", "nano-0.3m", "nano-4m", "125m", "120b", "owner/model"]),
        ({"model_sizes": ("nano-1m", "nano-1m")}, ["--model-sizes", "twice", "once"]),
        ({"batch_sizes": ()}, ["--batch-sizes", "one or more"]),
        ({"batch_sizes": (8, 8)}, ["--batch-sizes", "twice", "once"]),
        ({"batch_sizes": (0,)}, ["batch_size=0", "at least 1"]),
        ({"batch_sizes": (8, 12), "micro_batch_sizes": (8,)}, ["batch_size=12", "micro_batch_size=8", "divides"]),
        ({"batch_sizes": (8, 12), "micro_batch_sizes": (4, 16)}, ["batch_size=8", "micro_batch_size=16", "divides"]),
        ({"objectives": ("speed",)}, ["--objectives=speed", "tokens_per_second", "spill_over"]),
        ({"objectives": ("style", "style")}, ["--objectives=style style", "once"]),
        ({"objectives": ("style",), "weights": "random"}, ["--weights random", "--objectives"]),
        ({"min_retention": 1.5}, ["--min-retention=1.5", "from 0 to 1"]),
        ({"max_copied_share": -0.1}, ["--max-copied-share=-0.1", "from 0 to 1"]),
        ({"micro_batch_sizes": ()}, ["--micro-batch-sizes", "one or more"]),
        ({"micro_batch_sizes": (0,)}, ["micro_batch_size=0", "at least 1"]),
        ({"micro_batch_sizes": (4, 4)}, ["--micro-batch-sizes", "twice", "once"]),
        ({"learning_rates": ()}, ["--learning-rates", "one or more"]),
        ({"learning_rates": (1e-3, -1e-3)}, ["learning_rate=-0.001", "positive"]),
        ({"learning_rates": (0.0,)}, ["learning_rate=0.0", "positive"]),
        ({"learning_rates": (float("nan"),)}, ["learning_rate=nan", "positive"]),
        ({"learning_rates": (float("inf"),)}, ["learning_rate=inf", "positive"]),
        ({"learning_rates": (1e-3, 1e-3)}, ["--learning-rates", "twice", "once"]),
        ({"sequence_length": 7}, ["--sequence-length=7", "at least 8"]),
        ({"token_budget": 0}, ["token", "0", "at least"]),
        ({"workers_per_trial": 0}, ["workers", "0", "at least 1"]),
        ({"workers_per_trial": 3}, ["workers=3", "divides"]),
        ({"parallel": "fsdp"}, ["parallel='fsdp'", "workers=1"]),
        ({"lora_rank": -1}, ["lora_rank=-1", "0 to train every weight"]),
        ({"gpu": "gtx7"}, ["--gpu", "'gtx7'", "t4", "h200"]),
        ({"memory_cap": "24X"}, ["--memory-cap", "'24X'", "GiB"]),
        ({"memory_cap": "-1GiB"}, ["--memory-cap", "'-1GiB'", "GiB"]),
        ({"memory_cap": "0GiB"}, ["--memory-cap", "'0GiB'", "positive"]),
        ({"memory_cap": "24"}, ["--memory-cap", "'24'", "GiB"]),
        ({"memory_cap": ""}, ["--memory-cap", "''", "GiB"]),
        ({"seed": -1}, ["--seed=-1", "from 0"]),
        ({"seed": 2**32}, ["--seed=4294967296", "from 0"]),
    ],
)
def test_a_bad_option_is_named_with_what_is_allowed(options: dict, said: list[str]) -> None:
    message = complaint(**options)
    assert [part for part in said if part not in message] == [], message


@pytest.mark.parametrize("flag", ["--trials", "--max-concurrent"])
def test_a_count_below_one_is_refused_also_where_a_stored_plan_is_resumed(flag: str) -> None:
    with pytest.raises(UserError, match=f"^{flag}=0; it must be at least 1.$"):
        parse_options([flag, "0", "--resume", "--name", "a"], "…")


def test_the_token_budget_must_feed_three_steps_of_the_largest_batch() -> None:
    # 3 steps x 32 sequences x 100 tokens
    assert plan(sequence_length=100, token_budget=9_600).token_budget == 9_600
    assert "at least 9600" in complaint(sequence_length=100, token_budget=9_599)
    assert plan(sequence_length=100, token_budget=4_800, batch_sizes=(16,)).token_budget == 4_800


def test_a_resumed_sweep_may_repeat_its_flags_but_not_change_them() -> None:
    given = {"seed": 3, "micro_batch_sizes": (2, 4), "memory_cap": "2GiB", "workers_per_trial": 2, "gpu": "t4"}
    stored = plan(**given)
    assert changed_by(SweepOptions(**given), stored) is None
    assert changed_by(SweepOptions(memory_cap="2048MiB"), stored) is None
    assert changed_by(SweepOptions(), stored) is None
    assert changed_by(SweepOptions(trials=99, max_concurrent=1, wandb="disabled"), stored) is None


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"seed": 4}, "--seed"),
        ({"learning_rates": (1e-3,)}, "--learning-rates"),
        ({"data": "mine.txt"}, "--data"),
        ({"weights": "random"}, "--weights"),
        ({"gpu": "t4"}, "--gpu"),
        ({"model_sizes": ("nano-4m",)}, "--model-sizes"),
        ({"memory_cap": "8GiB"}, "--memory-cap"),
        ({"workers_per_trial": 2}, "--workers-per-trial"),
        ({"optimizer": "sgd"}, "--optimizer"),
        ({"lora_rank": 8}, "--lora-rank"),
    ],
)
def test_a_flag_that_contradicts_the_resumed_sweep_is_named(options: dict, flag: str) -> None:
    assert changed_by(SweepOptions(**options), plan(seed=3)) == flag


def test_flags_become_options() -> None:
    line = "--trials 4 --model-sizes nano-1m nano-4m --learning-rates 1e-3 3e-3 --resume --name a --wandb offline"
    options = parse_options(line.split(), "…")
    assert (options.trials, options.model_sizes) == (4, ("nano-1m", "nano-4m"))
    assert (options.learning_rates, options.resume, options.name, options.wandb) == ((1e-3, 3e-3), True, "a", "offline")
    assert parse_options([], "…") == SweepOptions()


def test_help_describes_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(["--help"], "What this sweep asks.")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "What this sweep asks." in text
    for field in dataclasses.fields(SweepOptions):
        assert f"--{field.name.replace('_', '-')}" in text


def test_this_machine_is_described_whole() -> None:
    device = detect_device()
    assert device.cpus >= 1
    assert (device.gpu_bytes is None) == (device.gpus == 0) == (not device.on_cuda)


def some(values: st.SearchStrategy) -> st.SearchStrategy[tuple | None]:
    return st.none() | st.lists(values, max_size=3).map(tuple)


OPTIONS = st.builds(
    SweepOptions,
    trials=st.none() | st.integers(0, 40),
    model_sizes=some(st.sampled_from(["nano-1m", "nano-4m", "125m", "owner/model"])),
    batch_sizes=some(st.sampled_from([0, 4, 6, 8, 16, 40])),
    micro_batch_sizes=some(st.sampled_from([0, 1, 2, 4, 8])),
    learning_rates=some(st.floats(0, 1)),
    sequence_length=st.none() | st.integers(7, 200),
    token_budget=st.none() | st.integers(3_000, 100_000),
    workers_per_trial=st.sampled_from([1, 1, 1, 2]),
    memory_cap=st.sampled_from([None, "1GiB"]),
    smoke=st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(options=OPTIONS, device=st.sampled_from([CPU, GPU]))
def test_trials_of_an_accepted_plan_never_contradict(options: SweepOptions, device: Device) -> None:
    try:
        made = make_plan(options, device, BATCH_MEMORY)
    except UserError:
        reject()  # hypothesis complains when it finds too few plans that are accepted
    space = made.space
    for point in itertools.product(*space.values()):
        if space_of(made).key(dict(zip(space, point, strict=True))) is None:
            continue
        told = to_settings(made, dict(zip(space, point, strict=True)))
        assert told.batch_size == told.accumulation_steps * told.micro_batch_size * told.workers
        assert made.token_budget is not None
        assert made.token_budget >= 3 * told.batch_size * told.sequence_length
