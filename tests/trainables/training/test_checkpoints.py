import dataclasses
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import OPTForCausalLM

from data.batches import Rows, make_rows
from trainables.memory.measuring.meter import MemoryMeter
from trainables.model.models import apply_levers, galactica_config
from trainables.records.record import CurvePoint
from trainables.records.settings import TrialSettings
from trainables.training.checkpoints import Progress
from trainables.training.loop import TrainingLoop

SMALL = {"vocab_size": 52, "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 32}
SMALL |= {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
SETTINGS = TrialSettings(
    model="tiny", batch_size=4, micro_batch_size=2, learning_rate=1e-2, sequence_length=32, token_budget=1200, seed=3
)
NEEDS_BITSANDBYTES = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None,
    reason="no bitsandbytes; .ci/run tries it last",
)
FILES = ["model.safetensors", "optimizer.safetensors", "progress.json", "random-0.safetensors"]


def rows() -> Rows:
    """Thirty documents of 4 to 13 tokens."""
    generator = torch.Generator().manual_seed(5)
    documents = [[2, *torch.randint(4, 52, (2 + index % 10,), generator=generator).tolist(), 2] for index in range(30)]
    return make_rows(documents, layout="padded", sequence_length=32, pad_id=1, seed=0)


def new_loop(weight_seed: int, settings: TrialSettings = SETTINGS) -> TrainingLoop:
    """A loop with a model of its own. Galactica's dropout of a tenth is on, so the random state matters."""
    config = galactica_config("125m")
    config.update(SMALL)
    torch.manual_seed(weight_seed)
    model = OPTForCausalLM(config).train()
    assert config.dropout == 0.1
    apply_levers(model, settings)
    return TrainingLoop(model, rows(), settings, MemoryMeter(torch.device("cpu")))


def train(loop: TrainingLoop, steps: int) -> list[CurvePoint]:
    return [loop.step() for _ in range(steps)]


def everything(loop: TrainingLoop) -> dict[str, Tensor]:
    """Copies of weights, optimizer states, loss scale, the rate of the next step and the random state."""
    tensors = dict(loop.model.state_dict())
    states = {index: loop.optimizer.state[p] for index, p in enumerate(loop.optimizer.param_groups[0]["params"])}
    assert loop.settings.optimizer != "adamw" or {len(values) for values in states.values()} == {3}
    for index, values in states.items():
        tensors |= {f"{index}.{name}": torch.as_tensor(value) for name, value in values.items() if value is not None}
    if loop.scaler is not None:
        tensors |= {f"scaler.{name}": torch.as_tensor(value) for name, value in loop.scaler.state_dict().items()}
    tensors["rate"] = torch.tensor(loop.optimizer.param_groups[0]["lr"], dtype=torch.float64)
    tensors["random state"] = torch.get_rng_state()
    return {name: tensor.clone() for name, tensor in tensors.items()}


def without_times(progress: Progress) -> Progress:
    return dataclasses.replace(progress, train_seconds=0.0, timed_seconds=0.0, timed_tokens=0, memory_phases=())


def saved(folder: Path, steps: int = 3) -> TrainingLoop:
    loop = new_loop(weight_seed=0)
    train(loop, steps)
    folder.mkdir(exist_ok=True)
    loop.save(folder)
    return loop


@pytest.mark.parametrize(
    "levers",
    [
        {"loss": "hf"},
        {"loss": "fused"},
        {"precision": "fp16-amp"},
        {"optimizer": "sgd"},
        {"lora_rank": 2},
        pytest.param({"optimizer": "adamw-8bit"}, marks=NEEDS_BITSANDBYTES),
    ],
    ids=str,
)
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, levers: dict[str, Any]) -> None:
    settings = dataclasses.replace(SETTINGS, **levers)
    straight = new_loop(weight_seed=0, settings=settings)
    points = train(straight, 6)
    tensors, progress = everything(straight), straight.progress
    points.append(straight.step())

    first_part = new_loop(weight_seed=0, settings=settings)
    points_in_parts = train(first_part, 3)
    first_part.save(tmp_path)
    second_part = new_loop(weight_seed=99, settings=settings)
    torch.rand(1000)
    assert second_part.resume(tmp_path) == 3
    points_in_parts += train(second_part, 3)
    tensors_in_parts = everything(second_part)
    assert settings.precision != "fp16-amp" or tensors_in_parts["scaler._growth_tracker"] == 6  # 3 steps + 3
    assert tensors_in_parts.keys() == tensors.keys()
    assert [name for name, tensor in tensors.items() if not torch.equal(tensor, tensors_in_parts[name])] == []
    assert without_times(second_part.progress) == without_times(progress)
    points_in_parts.append(second_part.step())
    assert points_in_parts == points  # loss, rate and tokens of each step


def test_dropout_really_makes_the_random_state_matter(tmp_path: Path) -> None:
    loop = saved(tmp_path)
    torch.manual_seed(12345)
    otherwise = loop.step()
    again = new_loop(weight_seed=0)
    again.resume(tmp_path)
    assert again.step().loss != otherwise.loss


def test_a_run_saved_before_its_first_step_starts_from_its_first_step(tmp_path: Path) -> None:
    loop = new_loop(weight_seed=0)
    loop.save(tmp_path)
    again = new_loop(weight_seed=1)
    assert again.resume(tmp_path) == 0
    resumed = again.step()
    fresh = new_loop(weight_seed=0)
    assert resumed == fresh.step()


def test_a_checkpoint_holds_safetensors_and_json_and_no_pickle(tmp_path: Path) -> None:
    saved(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    for path in tmp_path.glob("*.safetensors"):
        assert load_file(path)
        # A safetensors file opens with the length of its JSON header; a pickle opens with 0x80, a torch zip with PK.
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert set(header) - {"__metadata__"}
    assert json.loads((tmp_path / "progress.json").read_text())["step"] == 3


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    saved(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert sum(tensor.numel() == 52 * 16 for tensor in stored.values()) == 1
    again = new_loop(weight_seed=1)
    again.resume(tmp_path)
    head = again.model.get_output_embeddings()
    assert head is not None
    assert again.model.get_input_embeddings().weight is head.weight


def test_another_worker_adds_its_random_state_alone(tmp_path: Path) -> None:
    loop = new_loop(weight_seed=0)
    loop.rank = 1
    loop.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["random-1.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "random-0.safetensors"])
@pytest.mark.parametrize("cut", [lambda content: content[: len(content) // 2], lambda content: content[:4]])
def test_a_file_cut_short_is_refused(tmp_path: Path, name: str, cut: Callable[[bytes], bytes]) -> None:
    saved(tmp_path)
    path = tmp_path / name
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(SafetensorError):
        new_loop(weight_seed=1).resume(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    saved(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError):
        new_loop(weight_seed=1).resume(tmp_path)


def test_measured_memory_survives_and_is_not_measured_again(tmp_path: Path) -> None:
    loop = saved(tmp_path)
    measured = loop.meter.report()
    assert {phase.phase for phase in measured.phases} == {"load", "forward", "backward", "optimizer"}
    again = new_loop(weight_seed=1)
    again.resume(tmp_path)
    assert again.meter.report() == measured
    assert again.progress.memory_phases == measured.phases
    again.step()
    assert again.meter.report() == measured


def test_a_run_interrupted_before_its_probe_still_measures(tmp_path: Path) -> None:
    saved(tmp_path, steps=0)
    again = new_loop(weight_seed=1)
    again.resume(tmp_path)
    assert not again.meter.has_measured("optimizer")
    again.step()
    assert again.meter.has_measured("optimizer")


def test_the_curve_and_the_clock_go_on_from_where_they_were(tmp_path: Path) -> None:
    loop = saved(tmp_path)
    again = new_loop(weight_seed=1)
    again.resume(tmp_path)
    assert again.progress == loop.progress
    assert [point.step for point in again.progress.curve] == [1, 2, 3]
    again.step()
    assert again.progress.train_seconds > loop.progress.train_seconds > 0
    # The first step after a start allocates anew: it is not timed, as the first two of a run are not.
    assert again.progress.timed_tokens == loop.progress.timed_tokens == loop.plan.tokens(2)
