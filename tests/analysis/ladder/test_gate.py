"""What the gate lets through, and what it says where it does not."""

import pytest

from analysis.ladder.frozen import RungPrediction
from analysis.ladder.gate import Price, fits, gains, held, is_affordable, is_narrow
from analysis.ladder.landscape import Landscape
from analysis.ladder.rungs import LadderTrial, Rung, check_finished, check_sizes
from analysis.ladder.transfer import Forecast
from data.errors import UserError
from tests.support.ladders import BATCHES, RATES, bowl_rung


def prediction(*, width: float = 1.0, loss: tuple[float, float, float] = (2.5, 2.4, 2.6), below=("a", "b")):
    half = 2 ** (width / 2)
    value, low, high = loss
    return RungPrediction(
        size="next",
        parameters=10**7,
        learning_rate=Forecast(value=1e-3, low=1e-3 / half, high=1e-3 * half, form="line"),
        batch_size=Forecast(value=32, low=16, high=64, form="line"),
        loss=Forecast(value=value, low=low, high=high, form="floor"),
        shares={},
        below=below,
        trials=(0, 1),
    )


def landscape(rungs: int) -> Landscape:
    made = [bowl_rung(10**6 * 4**step, best_rate=2**-8) for step in range(rungs)]
    return Landscape(made, (RATES.low, RATES.high), (BATCHES.low, BATCHES.high))


def test_an_interval_of_two_octaves_passes_and_a_wider_one_does_not():
    assert is_narrow(prediction(width=2.0), landscape(2), 24).holds
    assert not is_narrow(prediction(width=2.1), landscape(2), 24).holds


def test_one_rung_may_have_a_wider_interval_as_it_knows_no_slope():
    assert is_narrow(prediction(width=4), landscape(1), 24).holds


def test_too_wide_an_interval_far_ahead_asks_for_another_rung():
    assert "another rung adds the most" in is_narrow(prediction(width=6), landscape(2), 40).says


def test_too_wide_an_interval_near_by_asks_for_more_trials():
    assert "more trials add the most" in is_narrow(prediction(width=2.5), landscape(3), 26).says


def test_an_outcome_outside_its_interval_is_named_with_what_was_said():
    missed = held("middle", prediction(), rate=1e-3, loss=2.7)
    assert not missed.holds
    assert "held-out loss 2.700 where 2.400 to 2.600 was predicted" in missed.says
    assert held("middle", prediction(), rate=1e-3, loss=2.5).holds
    assert held("lowest", None, rate=1e-3, loss=2.5).holds


def test_memory_that_does_not_fit_names_the_cards_that_do():
    told = fits("6.7b", "93 GiB", "an A10", ["h200"], holds=False)
    assert not told.holds
    assert "h200" in told.says


def test_a_price_is_trials_times_tokens_over_speed():
    # 8 trials of 1,000,000 tokens at 1,000 tokens/s and 80 s beside: 8 * 1,080 s = 2.4 h; two GPUs 4.8 h, 2.5 an hour.
    price = Price(
        trials=8, tokens=1_000_000, tokens_per_second=1_000, gpus=2, price_per_gpu_hour=2.5, overhead_seconds=80
    )
    assert price.hours == pytest.approx(4.8)
    assert "4.80 GPU-hours, 12.00" in price.text


def test_a_budget_that_is_too_small_names_what_would_do():
    price = Price(trials=8, tokens=1_000_000, tokens_per_second=1_000)  # 8,000 s: 2.22 h
    assert is_affordable(price, 1.0, None).holds
    assert is_affordable(price, 1.0, 3.3).holds
    told = is_affordable(price, 1.0, 3.0)
    assert not told.holds
    assert "2.00 are left of --max-gpu-hours 3; give 3.23" in told.says


def test_a_gain_must_exceed_half_of_its_interval():
    assert gains(prediction(), 2.65).holds  # 0.15 gained, half is 0.1
    assert not gains(prediction(), 2.55).holds  # 0.05 gained
    assert gains(prediction(below=("a",)), 2.55).holds  # one rung shows no trend yet


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([("a", 10**6)], "a ladder of 1 rung (a) predicts nothing"),
        ([], "a ladder of 0 rung (none)"),
        ([("a", 10**7), ("b", 10**6)], "rungs out of order"),
        ([("a", 10**6), ("b", 2 * 10**6)], "2.0 times the parameters of a: too close"),
    ],
)
def test_a_ladder_that_cannot_be_climbed_is_refused_in_one_line(sizes, words):
    with pytest.raises(UserError) as caught:
        check_sizes(sizes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nano_sizes_that_are_three_times_apart_by_name_are_a_ladder():
    check_sizes([("nano-0.1m", 106_560), ("nano-0.3m", 311_424), ("nano-1m", 1_114_368), ("nano-4m", 3_801_600)])


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ((), "the rung a has no finished trial"),
        ((LadderTrial(learning_rate=1e-2, batch_size=8, loss=float("inf")),), "all 1 trials of the rung a diverged"),
    ],
)
def test_a_rung_that_taught_nothing_is_named(trials, words):
    with pytest.raises(UserError, match=words):
        check_finished([Rung(name="a", parameters=10**6, trials=trials)])
