import os
import pickle
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPTJConfig, GPTJForCausalLM, OPTForCausalLM, PreTrainedModel

from data.batches import make_rows
from data.errors import UserError
from trainables.memory.measuring.meter import MemoryMeter
from trainables.model.models import (
    GALACTICA_SHAPES,
    NANO_FOLDER,
    NANO_SIZES,
    ModelError,
    find_model,
    galactica_config,
    load_config,
    load_model,
    model_shape,
    tokenizer_location,
)
from trainables.records.settings import TrialSettings
from trainables.training.loop import TrainingLoop

SMALL = {"vocab_size": 52, "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 32}
SMALL |= {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
GPTJ: dict[str, Any] = {"vocab_size": 52, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2, "rotary_dim": 4}

# 50,000 x d for the tied embedding, (2,048 + 2) x d for positions (OPT keeps two more), 12 x d² for each layer:
# four projections of d² and two of 4 d². No biases, and layer norms without weights.
PARAMETERS = {
    "125m": 50_000 * 768 + 2_050 * 768 + 12 * 12 * 768**2,
    "1.3b": 50_000 * 2_048 + 2_050 * 2_048 + 24 * 12 * 2_048**2,
    "6.7b": 50_000 * 4_096 + 2_050 * 4_096 + 32 * 12 * 4_096**2,
    "30b": 50_000 * 7_168 + 2_050 * 7_168 + 48 * 12 * 7_168**2,
    "120b": 50_000 * 10_240 + 2_050 * 10_240 + 96 * 12 * 10_240**2,
}
PUBLISHED = {"125m": 125.0e6, "1.3b": 1.3e9, "6.7b": 6.7e9, "30b": 30.0e9, "120b": 120.0e9}  # Taylor et al., table 1


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))


def load(name: object, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    return load_model(find_model(str(name)), weights="pretrained", dtype=dtype, attention="sdpa", seed=0)


def tiny_galactica(seed: int = 0) -> OPTForCausalLM:
    config = galactica_config("125m")
    config.update(SMALL)
    torch.manual_seed(seed)
    return OPTForCausalLM(config)


def one_line(error: BaseException) -> str:
    assert isinstance(error, UserError)
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize("name", ["nano-9x", "125M", "galactica", "./nowhere/model", "/nowhere/model", "a/b/c", ""])
def test_an_unknown_size_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_model(name)
    message = one_line(caught.value)
    assert message.startswith(f"unknown model size {name!r}; known: {', '.join(NANO_SIZES)}, smollm2-135m, 125m,")
    assert "6.7b, 30b, 120b, a hub name such as owner/model, a model folder or a GGUF file." in message


def test_a_size_a_hub_name_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    assert find_model("6.7b").location == "facebook/galactica-6.7b"
    assert find_model("nano-1m").location == str(NANO_FOLDER / "nano-1m")
    assert find_model("EleutherAI/gpt-j-6b").location == "EleutherAI/gpt-j-6b"
    assert not find_model("EleutherAI/gpt-j-6b").is_local
    assert find_model(str(tmp_path)).location == str(tmp_path)
    assert find_model(str(tmp_path)).is_local


@pytest.mark.parametrize(("name", "location"), [("125m", "facebook/galactica-125m"), ("nobody/model", "nobody/model")])
def test_a_hub_model_without_a_network_says_what_to_do(name: str, location: str) -> None:
    for attempt in (load, lambda name: load_config(find_model(name), "pretrained")):
        with pytest.raises(ModelError) as caught:
            attempt(name)
        message = one_line(caught.value)
        assert message.startswith(f"model {name!r} ({location}) cannot be fetched from the hub: ")
        assert f"run `hf download {location}` where there is one and give the folder" in message
        assert "nano-0.3m" in message
        assert "--weights random" in message


def test_125m_has_124_909_056_weights() -> None:
    assert PARAMETERS["125m"] == 124_909_056
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(load_config(find_model("125m"), "random"))
    assert sum(p.numel() for p in model.parameters()) == 124_909_056
    assert {p.device.type for p in model.parameters()} == {"meta"}


@pytest.mark.parametrize("size", GALACTICA_SHAPES)
def test_every_size_has_the_published_number_of_weights(size: str) -> None:
    shape = model_shape(galactica_config(size))
    assert shape.parameters == PARAMETERS[size]
    assert shape.parameters == pytest.approx(PUBLISHED[size], rel=0.015)
    assert shape.ffn_width == 4 * shape.width
    assert shape.vocabulary == 50_000
    assert shape.has_dropout


def test_the_shape_of_another_architecture_is_read_from_its_own_names() -> None:
    shape = model_shape(GPTJConfig(**GPTJ, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))
    assert (shape.layers, shape.width, shape.heads, shape.ffn_width, shape.vocabulary) == (2, 16, 2, 64, 52)
    assert not shape.has_dropout
    # Embedding and untied head with bias; a layer: norm, four projections, two of 4 d with biases; the last norm.
    layer = 2 * 16 + 4 * 16**2 + (16 * 64 + 64) + (64 * 16 + 16)
    assert shape.parameters == 52 * 16 + 2 * layer + 2 * 16 + (16 * 52 + 52)


def test_random_weights_are_drawn_from_the_seed_alone(tmp_path: Path) -> None:
    tiny_galactica().config.save_pretrained(tmp_path)
    source = find_model(str(tmp_path))

    def draw(seed: int) -> torch.Tensor:
        model = load_model(source, weights="random", dtype=torch.float32, attention="sdpa", seed=seed)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = draw(7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(draw(7), first)
    assert not torch.equal(draw(8), first)


def test_a_galactica_size_with_random_weights_borrows_the_nano_tokenizer() -> None:
    assert tokenizer_location(find_model("125m"), "random") == str(NANO_FOLDER / NANO_SIZES[0])
    assert tokenizer_location(find_model("125m"), "pretrained") == "facebook/galactica-125m"


@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_attention_that_an_architecture_lacks_is_told_with_the_flag_that_helps(
    tmp_path: Path, weights: Literal["pretrained", "random"]
) -> None:
    GPTJForCausalLM(GPTJConfig(**GPTJ)).save_pretrained(tmp_path)
    with pytest.raises(ModelError) as caught:
        load_model(find_model(str(tmp_path)), weights=weights, dtype=torch.float32, attention="sdpa", seed=0)
    assert one_line(caught.value) == f"model {str(tmp_path)!r} has no sdpa attention; give --attention eager."


@pytest.mark.parametrize("loss", ["hf", "fused"])
def test_a_gpt_j_folder_loads_by_its_path_and_trains(tmp_path: Path, loss: Literal["hf", "fused"]) -> None:
    torch.manual_seed(0)
    GPTJForCausalLM(GPTJConfig(**GPTJ)).save_pretrained(tmp_path)
    model = load_model(find_model(str(tmp_path)), weights="pretrained", dtype=torch.float32, attention="eager", seed=0)
    assert isinstance(model, GPTJForCausalLM)
    before = [p.detach().clone() for p in model.parameters()]
    rows = make_rows([[2, *range(4, 20), 2], [2, 5, 9, 2]], layout="padded", sequence_length=32, pad_id=1, seed=0)
    settings = TrialSettings(
        model=str(tmp_path),
        batch_size=2,
        micro_batch_size=1,
        learning_rate=1e-2,
        sequence_length=32,
        token_budget=40,
        loss=loss,
        attention="eager",
    )
    loop = TrainingLoop(model, rows, settings, MemoryMeter(torch.device("cpu")))
    losses = [loop.step().loss for _ in range(2)]
    assert losses[0] == pytest.approx(3.951, abs=0.15)  # ln 52: weights that are all but zero guess fairly
    assert losses[1] < losses[0]
    assert all(bool((a != b).any()) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_precision_weights_load_in_the_type_that_was_asked_for(tmp_path: Path, dtype: torch.dtype) -> None:
    halves = tiny_galactica().half()
    halves.save_pretrained(tmp_path)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    model = load(tmp_path, dtype)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert all(torch.equal(b, a.to(dtype)) for a, b in zip(halves.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize("size", [size for size in NANO_SIZES if (NANO_FOLDER / size).is_dir()])
def test_a_shipped_nano_model_loads_in_fp32_ready_to_train(size: str) -> None:
    model = load(size)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.training
    assert model.config.use_cache is False
    head = model.get_output_embeddings()
    assert head is not None
    assert model.get_input_embeddings().weight is head.weight
    millions = float(size.removeprefix("nano-").removesuffix("m"))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(millions * 1e6, rel=0.35)


class Malicious:
    """Unpickled with all of pickle's powers, it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_pickled_code_in_the_weights_never_runs(tmp_path: Path) -> None:
    folder, made = tmp_path / "model", tmp_path / "made by the pickle"
    tiny_galactica().config.save_pretrained(folder)
    torch.save({"model.decoder.embed_tokens.weight": Malicious(made)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert "pickled code is never run; give a copy in safetensors." in one_line(caught.value)
    assert not made.exists()
    pickle.loads(pickle.dumps(Malicious(made)))  # noqa: S301  # it would have worked
    assert made.exists()


def test_plain_tensors_in_a_bin_file_load(tmp_path: Path) -> None:
    model = tiny_galactica()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    assert all(map(torch.equal, load(tmp_path).parameters(), model.parameters()))


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path) -> None:
    tiny_galactica().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.decoder.layers.1.fc1.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    assert "1 weights, such as model.decoder.layers.1.fc1.weight, are missing" in one_line(caught.value)


def test_weights_of_another_shape_are_not_made_up(tmp_path: Path) -> None:
    tiny_galactica().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.decoder.layers.1.fc1.weight"] = torch.zeros(3, 3)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    assert "model.decoder.layers.1.fc1.weight, are missing or differ in shape" in one_line(caught.value)


def cut_short(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


BROKEN = {
    "weights cut short": cut_short,
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "no config": lambda folder: (folder / "config.json").unlink(),
    "a config that is no JSON": lambda folder: (folder / "config.json").write_text("{"),
    "an unknown architecture": lambda folder: (folder / "config.json").write_text('{"model_type": "nonesuch"}'),
    "no language model": lambda folder: (folder / "config.json").write_text('{"model_type": "t5"}'),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_model_folder_is_told_in_one_line(tmp_path: Path, case: str) -> None:
    tiny_galactica().save_pretrained(tmp_path)
    BROKEN[case](tmp_path)
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    assert one_line(caught.value).startswith(f"model folder {tmp_path} cannot be loaded: ")
