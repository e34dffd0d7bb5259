"""The map of what fits says at every point what the single answer says there."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analysis.explain_memory import main
from analysis.what_fits import map_figure, map_text
from trainables.memory.cards import Card, find_card
from trainables.memory.constants import ASSUMED
from trainables.memory.explaining.explanation import explain
from trainables.memory.explaining.steps import at
from trainables.memory.explaining.what_fits import compared_levers, grid_of_lengths, grid_of_sizes, what_fits
from trainables.memory.predict import predict
from trainables.records.settings import TrialSettings

pytestmark = pytest.mark.slow

MIB = 2**20
CARDS = [
    Card(name="small", capacity_bytes=ASSUMED.context_bytes + 64 * MIB),
    Card(name="large", capacity_bytes=ASSUMED.context_bytes + 512 * MIB),
]


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def nano(**levers: object) -> TrialSettings:
    return TrialSettings(
        model="nano-0.3m",
        batch_size=2,
        micro_batch_size=1,  # two of them accumulate
        learning_rate=1e-3,
        sequence_length=500,
        token_budget=1,
        **levers,  # pyright: ignore[reportArgumentType]
    )


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return what_fits(nano(), CARDS)


def test_every_sampled_point_is_as_the_single_answer(document: dict[str, Any]) -> None:
    lengths, sizes = document["sequence_lengths"], document["micro_batch_sizes"]
    assert (len(lengths), len(sizes)) == (24, 24)
    draw = random.Random(0)
    sampled = [(draw.randrange(24), draw.randrange(24)) for _ in range(8)]
    for place, card in enumerate(CARDS):
        shown = document["cards"][place]
        assert {fit for row in shown["fits"] for fit in row} == {True, False}
        for row, column in sampled:
            single = predict(at(nano(), sizes[row], lengths[column]), card)
            assert shown["fits"][row][column] == single.fits
            if single.device_bytes < 2 * (
                card.capacity_bytes or 0
            ):  # beyond, the formula answers, as in an explanation
                assert shown["device_bytes"][row][column] == single.device_bytes


def test_at_the_contour_the_single_answer_fits_and_one_sequence_more_does_not(document: dict[str, Any]) -> None:
    for card, shown in zip(CARDS, document["cards"], strict=True):
        for column in (3, 11, 23):
            limit, length = shown["limits"]["as given"][column], document["sequence_lengths"][column]
            answers = [predict(at(nano(), size, length), card).fits for size in (limit, limit + 1)]
            assert answers == [True, False]


def test_the_levers_that_are_not_pulled_yet_have_limits_each_alone_and_all_together() -> None:
    assert [name for name, _ in compared_levers(nano(), 1)] == [
        "fused loss",
        "gradient checkpointing",
        "bf16 autocast",
        "LoRA of rank 8",
        "fused loss + gradient checkpointing + bf16 autocast + LoRA of rank 8",
    ]
    pulled = nano(loss="fused", precision="bf16", gradient_checkpointing=True)
    assert compared_levers(pulled, 1) == [("LoRA of rank 8", {"lora_rank": 8})]


def test_a_limit_by_lever_is_that_of_the_lever(document: dict[str, Any]) -> None:
    shared = what_fits(nano(loss="fused", precision="bf16", gradient_checkpointing=True), CARDS, gpus=2, by_lever=True)
    alone = what_fits(nano(loss="fused", precision="bf16", gradient_checkpointing=True, lora_rank=8), CARDS, gpus=2)
    for with_lever, own in zip(shared["cards"], alone["cards"], strict=True):
        assert with_lever["limits"]["LoRA of rank 8"] == own["limits"]["as given"]


def test_the_map_is_shown_as_text_and_as_a_figure(document: dict[str, Any]) -> None:
    text = map_text(document, is_coloured=False)
    rows = [line for line in text.splitlines() if line[:5].strip().isdigit() and len(line) == 6 + 24 * 3]
    assert len(rows) == 2 * 24
    shown = document["cards"][0]
    assert sum(line.count("·") for line in rows[:24]) == sum(not fit for row in shown["fits"] for fit in row)
    assert "\033[" in map_text(document, is_coloured=True)
    figure = map_figure(document)
    assert len(figure.data) == 1 + 2  # pyright: ignore[reportArgumentType]


def test_gpus_that_share_the_model_are_mapped_by_the_formula_that_tells_of_one() -> None:
    shared = what_fits(nano(), [CARDS[1]], gpus=2)
    lengths, limits = shared["sequence_lengths"], shared["cards"][0]["limits"]["as given"]
    assert limits[5] == explain(at(nano(), 4, lengths[5]), CARDS[1], gpus=2)["largest_micro_batch_size"]


def test_lengths_are_even_and_end_at_the_longest() -> None:
    # 2,048 / 24 is 85.3: its multiples, to the nearest of 64
    assert grid_of_lengths(2048)[:4] == [64, 192, 256, 320]
    assert len(grid_of_lengths(2048)) == 24
    assert grid_of_lengths(2048)[-1] == 2048
    assert grid_of_lengths(500)[:2] == [16, 48]  # 20.8 and 41.7, to the nearest of 16
    assert grid_of_lengths(500)[-1] == 500
    assert grid_of_lengths(10) == list(range(1, 11))


def test_sizes_rise_evenly_from_one_to_above_the_largest_that_fits() -> None:
    assert grid_of_sizes(0) == list(range(1, 25))
    sizes = grid_of_sizes(254)
    assert (sizes[0], sizes[-1], len(sizes)) == (1, 255, 24)
    assert {1, 2, 4, 8, 16, 48, 64, 128, 192} <= set(sizes)


def test_a_map_is_made_in_forked_processes_and_answered_again_without_torch() -> None:
    program = "import sys; from analysis.explain_memory import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    flags = ["--what-fits", "--model-size", "nano-0.3m", "--sequence-length", "512", "--gpu", "600MiB", "--json"]
    answers = [
        subprocess.run([sys.executable, "-c", program, *flags], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert [answer.splitlines()[-1] for answer in answers][1] == "False"
    first, second = (json.loads(answer.rpartition("\n")[0].rpartition("\n")[0]) for answer in answers)
    assert first["cards"] == second["cards"]
    inside = what_fits(
        TrialSettings(
            model="nano-0.3m",
            batch_size=8,
            micro_batch_size=8,
            learning_rate=1e-4,
            sequence_length=512,
            token_budget=1,
        ),
        [find_card("600MiB")],
    )
    assert inside["cards"] == first["cards"]


def test_several_cards_are_answered_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = ["--model-size", "nano-0.3m", "--sequence-length", "128", "--gpu", "t4", "RTX 3060", "24G"]
    assert main([*flags, "--plot", str(tmp_path / "step.html")]) == 0
    text = capsys.readouterr().out
    assert [name in text for name in ("of the t4's", "of the rtx3060's 12.0 GiB", "of the 24.0 GiB card's")] == [
        True
    ] * 3
    assert main([*flags, "--json"]) == 0
    assert [one["gpu"] for one in json.loads(capsys.readouterr().out)] == ["t4", "rtx3060", "24.0 GiB card"]
    assert "allocator slack" in (tmp_path / "step.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--what-fits", "--stack", "trl"], "--what-fits is about this project's own step on GPUs"),
        (["--what-fits", "--device", "cpu"], "--what-fits is about this project's own step on GPUs"),
        (["--by-lever"], "give --what-fits as well"),
        (["--what-fits", "--sequence-length", "4096"], "longer than the 512 positions of nano-0.3m"),
        (["--gpu"], "--gpu"),
    ],
)
def test_a_mistake_is_one_line(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model-size", "nano-0.3m", "--sequence-length", "128", *flags]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_reader_that_ends_early_ends_the_program_quietly() -> None:
    command = (
        f"{sys.executable} -m analysis.explain_memory --model-size nano-0.3m --sequence-length 128 --json | head -1"
    )
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300)
    assert (ended.stdout, ended.stderr) == ("{\n", "")
