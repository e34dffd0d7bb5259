"""Models of other families, known by a config.json alone: what is explained against what a real step allocates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from analysis.explain_memory import main
from tests.trainables.memory.tracing.test_recorder import make_settings, measured_peak

SIZES = {"vocab_size": 1000, "max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": 2}
WIDE = {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": SIZES | WIDE | {"model_type": "llama", "num_key_value_heads": 2, "tie_word_embeddings": False},
    "qwen2": SIZES | WIDE | {"model_type": "qwen2", "num_key_value_heads": 1, "tie_word_embeddings": True},
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": 1000,
        "n_positions": 512,
        "n_embd": 96,
        "n_layer": 3,
        "n_head": 4,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
}


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_what_is_explained_of_a_config_is_within_half_a_percent_of_a_real_step(
    family: str,
    attention: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / family
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIGS[family]), encoding="utf-8")
    settings = make_settings(attention=attention)
    size = ("--micro-batch-size", str(settings.micro_batch_size), "--sequence-length", str(settings.sequence_length))
    flags = ("--model-size", str(folder), *size, "--attention", attention, "--device", "cpu", "--json")
    assert main(flags) == 0
    explained = json.loads(capsys.readouterr().out)["allocated_bytes"]
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    assert explained == pytest.approx(measured_peak(settings, config), rel=0.005)
