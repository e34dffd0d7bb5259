"""The formula against the trace: they must agree to within 1%, else one of them is wrong."""

from __future__ import annotations

import itertools

import pytest
from transformers import PretrainedConfig

from trainables.memory.closed_form import step_memory
from trainables.memory.own_step import trace_trial
from trainables.models import GALACTICA_SHAPES, find_model, galactica_config, load_config, model_shape
from trainables.settings import TrialSettings

GRID = list(itertools.product(("fp32", "bf16-amp", "bf16"), ("sdpa", "eager"), (False, True), ("hf", "fused")))


def difference(
    config: PretrainedConfig, size_BT: tuple[int, int], choice: tuple[str, str, bool, str], lora_rank: int = 0
) -> float:
    """How far the formula is from the trace, as a fraction of the latter."""
    precision, attention, gradient_checkpointing, loss = choice
    settings = TrialSettings(
        model="any",
        batch_size=size_BT[0],
        micro_batch_size=size_BT[0],
        sequence_length=size_BT[1],
        learning_rate=1e-3,
        token_budget=1,
        precision=precision,  # pyright: ignore[reportArgumentType]
        attention=attention,  # pyright: ignore[reportArgumentType]
        gradient_checkpointing=gradient_checkpointing,
        loss=loss,  # pyright: ignore[reportArgumentType]
        lora_rank=lora_rank,
    )
    traced = trace_trial(settings, config).peak().allocated_bytes
    return step_memory(settings, model_shape(config)).allocated_bytes / traced - 1


@pytest.mark.parametrize("choice", GRID, ids=lambda choice: "-".join(map(str, choice)))
def test_formula_and_trace_agree_on_a_nano_model(choice: tuple[str, str, bool, str]) -> None:
    config = load_config(find_model("nano-1m"), "pretrained")
    assert difference(config, (16, 256), choice) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("choice", GRID[1::5], ids=lambda choice: "-".join(map(str, choice)))
@pytest.mark.parametrize("size", GALACTICA_SHAPES)
def test_formula_and_trace_agree_on_three_layers_of_every_size(size: str, choice: tuple[str, str, bool, str]) -> None:
    config = galactica_config(size)
    config.num_hidden_layers = 3
    assert difference(config, (4, 1024), choice) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("choice", GRID[::7], ids=lambda choice: "-".join(map(str, choice)))
def test_formula_and_trace_agree_on_125m_whole(choice: tuple[str, str, bool, str]) -> None:
    assert difference(galactica_config("125m"), (8, 2048), choice) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("choice", GRID, ids=lambda choice: "-".join(map(str, choice)))
def test_formula_and_trace_agree_on_adapters_of_a_nano_model(choice: tuple[str, str, bool, str]) -> None:
    config = load_config(find_model("nano-1m"), "pretrained")
    assert difference(config, (16, 256), choice, lora_rank=8) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("size", "choice"),
    [
        ("125m", ("bf16-amp", "sdpa", False, "fused")),  # the peak is the fused loss
        ("6.7b", ("bf16-amp", "sdpa", True, "fused")),  # the repeated layer's last product
        ("6.7b", ("fp32", "eager", True, "hf")),  # the activation function's gradient
    ],
)
def test_formula_and_trace_agree_on_adapters_of_three_layers(size: str, choice: tuple[str, str, bool, str]) -> None:
    config = galactica_config(size)
    config.num_hidden_layers = 3
    assert difference(config, (4, 1024), choice, lora_rank=16) == pytest.approx(0, abs=0.01)
