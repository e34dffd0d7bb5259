"""The command a person types: answers, mistakes, and what it tells of cards and remedies."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.explain_memory import main
from analysis.memory_timeline import phase_starts, stacked_levels
from tests.support.record_factory import make_memory, make_record
from trainables.memory.cards import find_card
from trainables.memory.explaining.oom_card import oom_card
from trainables.memory.explaining.remedies import Remedy
from trainables.memory.tracing.timeline import Allocation, MemoryTrace
from trainables.memory.tracing.trial_trace import interpolate, trial_trace
from trainables.records.record import MemoryPrediction, OutOfMemory
from trainables.records.settings import TrialSettings

GIB = 2**30
NANO = ("--model-size", "nano-1m", "--micro-batch-size", "4", "--sequence-length", "128")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def explained(capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, object]:
    assert main([*flags, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_json_holds_what_was_promised_and_its_parts_sum(capsys: pytest.CaptureFixture[str]) -> None:
    document = explained(capsys, *NANO)
    promised = (
        "allocated_bytes reserved_bytes device_bytes capacity_bytes fits largest_micro_batch_size peak_phase"
        " peak_operation components interval remedies method seconds"
    )
    assert set(promised.split()) <= set(document)
    assert sum(document["components"].values()) == document["allocated_bytes"]  # pyright: ignore[reportAttributeAccessIssue]
    assert document["method"] == "trace_and_replay"
    assert document["fits"] is True
    interval = document["interval"]
    assert isinstance(interval, dict)
    assert interval["low_bytes"] < document["device_bytes"] < interval["high_bytes"]  # pyright: ignore[reportOperatorIssue]


def test_the_same_question_is_answered_from_the_cache_with_the_same_figures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = explained(capsys, *NANO), explained(capsys, *NANO)
    assert {k: v for k, v in first.items() if k != "seconds"} == {k: v for k, v in second.items() if k != "seconds"}
    assert second["seconds"] < 0.5  # pyright: ignore[reportOperatorIssue]


def test_a_question_asked_again_is_answered_without_torch() -> None:
    program = "import sys; from analysis.explain_memory import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", program, *NANO, "--device", "cpu", "--json"]
    answers = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert [answer.splitlines()[-1] for answer in answers] == ["True", "False"]


def test_120b_on_one_24_gb_card_is_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--model-size", "120b", "--micro-batch-size", "1", "--precision", "bf16", "--gradient-checkpointing")
    document = explained(capsys, *flags)
    assert document["fits"] is False
    assert document["largest_micro_batch_size"] == 0
    needed = document["cards_needed"]
    assert isinstance(needed, dict)
    assert needed["h200"] < needed["h100"]  # fewer of the larger card
    assert needed["h200"] * 143_771 * 2**20 > 121_328_947_200 * 8  # weights, gradients and two states in bf16


def test_on_hopper_the_same_trace_keeps_32_mib_for_each_of_two_threads() -> None:
    def workspaces(gpu: str) -> list[int]:
        trace = trial_trace(_nano_settings(), find_card(gpu))
        return [a.size_bytes for a in trace.allocations if a.component == "workspaces"]

    assert workspaces("a10") == [8_519_680] * 2  # 8.125 MiB
    assert workspaces("h100") == [32 * 2**20] * 2


def _nano_settings() -> TrialSettings:
    return TrialSettings(
        model="nano-1m", batch_size=4, micro_batch_size=4, learning_rate=1e-3, sequence_length=128, token_budget=1
    )


def test_text_names_the_verdict_and_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*NANO, "--gpu", "t4"]) == 0
    text = capsys.readouterr().out
    assert "Moment of the peak: backward at" in text
    assert "of the t4's 15.0 GiB" in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--gpu", "b9000"), "unknown card 'b9000'; known: t4, a10"),
        (("--sequence-length", "4096"), "longer than the 512 positions of nano-1m"),
        (("--micro-batch-size", "0"), "error: micro_batch_size=0; it must be at least 1."),
        (("--accumulation", "-1"), "accumulation=-1; it must be at least 1."),
        (("--plot", "/nowhere/step.html"), "its folder is missing"),
        (("--lora-rank", "500"), "lora_rank=500 is above the width 128"),
        (("--model-size", "9t"), "unknown model size '9t'"),
        (("--gpus", "0"), "gpus=0; it must be at least 1."),
        (("--plot", "step.gif"), "only .html can be written"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    flags: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*NANO, *flags]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_a_flag_that_is_no_number_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*NANO, "--sequence-length", "nan"]) == 2
    said = "error: --sequence-length: 'nan' cannot be read as INT; --help lists all options.\n"
    assert capsys.readouterr().err == said


def test_a_fault_of_our_own_is_no_mistake_of_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a bound was missed")

    monkeypatch.setattr("trainables.memory.explaining.explanation.trial_facts", broken)
    with pytest.raises(ValueError, match="a bound was missed"):
        main([*NANO])


def test_several_gpus_are_answered_for_each_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--model-size", "30b", "--micro-batch-size", "1", "--precision", "bf16", "--gpu", "a100-80")
    document = explained(capsys, *flags, "--gpus", "8")
    assert document["fits"] is True
    assert (document["method"], document["peak_phase"]) == ("trace_and_replay", "backward")
    components = document["components"]
    assert isinstance(components, dict)
    # An eighth of the 29,968,103,424 weights of two bytes, and of AdamW's two states. A part of a feed-forward matrix,
    # 7,168 x 28,672 x 2 / 8 bytes, is 49 MiB and gets a segment of 50, too short to split: 1 MiB more of each of 96.
    assert components["weights"] == pytest.approx(29_968_103_424 * 2 / 8 + 96 * 2**20, rel=1e-4)
    assert components["optimizer_states"] == pytest.approx(29_968_103_424 * 4 / 8, rel=0.02)
    largest = document["largest_micro_batch_size"]
    assert isinstance(largest, int)
    assert explained(capsys, *flags, "--gpus", "8", "--micro-batch-size", str(largest))["fits"] is True
    assert explained(capsys, *flags, "--gpus", "8", "--micro-batch-size", str(largest + 1))["fits"] is False
    changes = {remedy["change"]: remedy for remedy in document["remedies"]}  # pyright: ignore[reportGeneralTypeIssues]
    sixteen = explained(capsys, *flags, "--gpus", "16")
    # A remedy's difference is the formula's.
    said = changes["shared by 16 GPUs (FSDP)"]["allocated_bytes"]
    assert said == pytest.approx(sixteen["allocated_bytes"], rel=0.03)


def test_phases_are_marked_where_their_first_block_is_made() -> None:
    made = [("load", 4), ("input", 1), ("forward", 8), ("forward", 8), ("backward", 2), ("input", 1), ("forward", 8)]
    trace = MemoryTrace(
        allocations=tuple(Allocation(size, phase, "empty", "weights") for phase, size in made),
        events=(0, 1, 2, ~2, 3, 4, ~3, 5, 6),
        block_bytes=1,
    )
    assert list(phase_starts(trace)) == [(2, "forward"), (5, "backward"), (8, "forward")]


def test_a_plot_is_one_page_that_needs_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "step.html"
    assert main([*NANO, "--plot", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "nano-1m, 4 x 128, fp32 (predicted)" in text
    assert 'src="http' not in text


def test_thinning_a_timeline_keeps_its_peak() -> None:
    allocations = tuple(Allocation(100 * (i + 1), "forward", "mm", "activations") for i in range(3))
    trace = MemoryTrace(allocations=allocations, events=(0, 1, 2, ~2, ~1, ~0), block_bytes=1)
    assert stacked_levels(trace, most_points=2) == {"activations": [600, 300]}


def test_a_trace_between_two_micro_batches_is_on_the_line_through_them() -> None:
    def trace(fixed: int, grows: int) -> MemoryTrace:
        allocations = (Allocation(fixed, "load", "to", "weights"), Allocation(grows, "forward", "mm", "activations"))
        return MemoryTrace(allocations=allocations, events=(0, 1), block_bytes=512)

    middle = interpolate(trace(1000, 240), trace(1000, 480), 2, 4, 3)
    assert [a.size_bytes for a in middle.allocations] == [1000, 360]
    with pytest.raises(ValueError, match="differ in their events"):
        interpolate(trace(1, 2), MemoryTrace(allocations=(), events=(), block_bytes=512), 2, 4, 3)


def test_an_out_of_memory_card_says_what_was_needed_of_what_and_the_remedy() -> None:
    prediction = MemoryPrediction(
        allocated_bytes=22 * GIB,
        reserved_bytes=24 * GIB,
        device_bytes=25 * GIB,
        capacity_bytes=22 * GIB,
        fits=False,
        peak_phase="backward",
        components={"activations": 9 * GIB, "loss": 10 * GIB, "weights": 3 * GIB},
        method="trace_and_replay",
        gpu="a10",
    )
    remedy = Remedy(change="fused loss", allocated_bytes=12 * GIB, reserved_bytes=13 * GIB, fits=True)
    moment = OutOfMemory(phase="backward", operation="mm", requested_bytes=3 * GIB, allocated_bytes=20 * GIB)
    assert oom_card(prediction, moment, [remedy]) == (
        "Out of memory in backward at mm (3.00 GiB asked for, 20.0 GiB allocated). Needs 25.0 GiB, a10 has 22.0 GiB;"
        " 10.0 GiB of it is loss and 9.00 GiB of it is activations. Fused loss would bring it to 13.0 GiB."
    )


def test_a_card_tells_the_measured_need_where_the_prediction_was_too_low() -> None:
    predicted = make_record(predicted_mib=100, capacity_mib=700).prediction
    assert predicted is not None
    measured = dataclasses.replace(make_memory(800 * 2**20), components={"loss": 500 * 2**20, "weights": 300 * 2**20})
    card = oom_card(predicted, OutOfMemory(phase="forward"), [], measured)
    assert "Needs 800 MiB, the device has 700 MiB; 500 MiB of it is loss and 300 MiB of it is weights." in card


def test_a_card_tells_bytes_where_the_need_is_hardly_above_the_device() -> None:
    predicted = make_record(predicted_mib=100, capacity_mib=700).prediction
    assert predicted is not None
    measured = dataclasses.replace(make_memory(700 * 2**20 + 9_044), components={"loss": 500 * 2**20})
    card = oom_card(predicted, OutOfMemory(phase="backward"), [], measured)
    assert "Needs 734,012,244 bytes, the device has 734,003,200; 500 MiB of it is loss." in card


def test_a_card_never_says_that_what_was_refused_would_fit() -> None:
    predicted = make_record(predicted_mib=100, capacity_mib=700).prediction
    assert predicted is not None
    moment = OutOfMemory(phase="forward", requested_bytes=300 * 2**20, reserved_bytes=600 * 2**20)
    assert "Needs at least 900 MiB, the device has 700 MiB;" in oom_card(predicted, moment, [])
