"""A tokenizer that breaks the contract costs no trial: it is refused while the sweep is prepared, before any file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.questions import Question
from sweeps.run.launch import main
from sweeps.sample_quality import QUESTION as SAMPLE_QUALITY
from tests.support.told import complaint
from trainables.model.models import NANO_FOLDER


def copy_of_nano(folder: Path, **tokenizer_config: str | None) -> str:
    """The smallest model under another name, its tokenizer_config.json changed; None takes an entry out."""
    shutil.copytree(NANO_FOLDER / "nano-0.3m", folder)
    file = folder / "tokenizer_config.json"
    changed = json.loads(file.read_text()) | tokenizer_config
    file.write_text(json.dumps({name: value for name, value in changed.items() if value is not None}))
    return str(folder)


@pytest.mark.parametrize("question", [BATCH_MEMORY, SAMPLE_QUALITY])
def test_broken_contract_is_one_line_and_leaves_nothing(
    question: Question, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = copy_of_nano(tmp_path / "model", pad_token="<|pad|>")
    results = tmp_path / "results"
    assert main(question, ["--storage", str(results), "--model-sizes", model]) == 2
    out, err = capfd.readouterr()
    assert (out, complaint(err).count("\n")) == ("", 1)
    # 2,048 ids from 0: the added token is the first past the embedding.
    assert "<|pad|> (id 2048), lie past the model's 2048 embedding rows" in err
    assert not results.exists()


def test_end_of_text_is_refused_for_galactica(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = copy_of_nano(tmp_path / "model", eos_token="<|endoftext|>")
    assert main(BATCH_MEMORY, ["--storage", str(tmp_path / "results"), "--model-sizes", model]) == 2
    assert "set eos_token to </s>" in capfd.readouterr().err


def test_repairs_are_told_before_the_first_trial(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = copy_of_nano(tmp_path / "model", eos_token=None, pad_token=None)
    given = ["--storage", str(tmp_path / "results"), "--model-sizes", model, "--dry-run"]
    assert main(BATCH_MEMORY, given) == 0
    out = capfd.readouterr().out
    assert f"tokenizer of {model}: repaired, eos_token was None: set to </s> (id 2)" in out
    assert "pad_token was None: set to <pad> (id 1)" in out


def test_data_that_the_tokenizer_cannot_hold_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = copy_of_nano(tmp_path / "model")
    file = tmp_path / "model" / "tokenizer.json"
    content = json.loads(file.read_text())
    content["normalizer"] = {"type": "Lowercase"}  # as BERT's uncased models: capitals never come back
    file.write_text(json.dumps(content))
    assert main(BATCH_MEMORY, ["--storage", str(tmp_path / "results"), "--model-sizes", model]) == 2
    err = capfd.readouterr().err
    assert "lines do not come back as they went in" in err
    assert "can never be learnt" in err
