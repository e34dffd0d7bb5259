"""The command that predicts published peaks: a bad row costs that row alone, and its models need no network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.benchmarks.published_models import published_config
from tests.support.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
# Source: the models' own cards and papers; tied weights once.
PUBLISHED_WEIGHTS = {
    "openai-community/gpt2": 124_439_808,
    "facebook/opt-350m": 331_196_416,
    "EleutherAI/gpt-neo-125M": 125_198_592,
    "EleutherAI/pythia-1b": 1_011_781_632,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
    "bigscience/bloom-560m": 559_214_592,
}


@pytest.mark.parametrize("name", PUBLISHED_WEIGHTS)
def test_a_published_model_has_as_many_weights_as_its_card_says(name: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(published_config(name))
    model.tie_weights()
    assert sum(p.numel() for p in {id(p): p for p in model.parameters()}.values()) == PUBLISHED_WEIGHTS[name]


def test_a_bad_row_is_told_of_and_the_others_are_predicted_in_their_order(tmp_path: Path) -> None:
    good = {
        "model": str(ROOT / "data" / "nano" / "nano-0.3m"),
        "optimizer": "Adafactor",
        "micro_batch_size": 2,
        "sequence_length": 32,
        "attention": "sdpa",
        "gpu_total_bytes": 8_318_222_336,
        "out_of_memory": False,
    }
    rows = [
        json.dumps(good | {"model": "nobody/nothing"}),
        json.dumps(good),
        json.dumps({name: value for name, value in good.items() if name != "micro_batch_size"}),
        "",
        json.dumps(good | {"optimizer": "LBFGS"}),
        json.dumps(good | {"sequence_length": 4096}),
        json.dumps(good | {"measured_bytes": float("nan")}),
        "micro_batch_size: 2",
        json.dumps(good | {"gpu_total_bytes": 401 * 2**20, "out_of_memory": True}),
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(rows), encoding="utf-8")
    script = ROOT / "tests" / "benchmarks" / "memory_published.py"
    done = subprocess.run(
        [sys.executable, script, "--data", path, "--json"], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    document = json.loads(done.stdout)
    assert done.returncode == 2
    assert [row["fits"] for row in document["rows"]] == [None, True, None, None, None, None, None, False]
    assert (document["out_of_memory_calls"], document["out_of_memory_calls_right"]) == (2, 2)
    told = [line.removeprefix(f"{path}:").removesuffix(".") for line in done.stderr.splitlines()]
    assert [line.split(";")[0] for line in told] == [
        "1: unknown model 'nobody/nothing'",
        "3: missing field 'micro_batch_size'",
        "5: unknown optimizer 'LBFGS'",
        f"6: sequence_length=4096 is longer than the 512 positions of {good['model']}",
        "7: measured_bytes=nan",
        "8: not a JSON document: Expecting value: line 1 column 1 (char 0)",
    ]
