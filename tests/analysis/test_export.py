"""An exported model is loaded by transformers alone, and writes what the trial's record says it wrote."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import fs as arrow_fs
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from analysis.export import export_trial, main
from analysis.model_card import model_card
from analysis.sweep_table.load import load_sweep
from data.tokenizer import load_tokenizer
from tests.support.object_store import ObjectStore
from tests.support.record_factory import make_record, make_samples, write_sweep
from tests.support.tuned_trial import draw_again, empty_sweep, train_trial
from tests.support.waiting import PATIENCE_SECONDS
from trainables.model.models import find_model
from trainables.records.layout import LAYOUT
from trainables.records.record import Outcome, TrialRecord
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import store_record

pytestmark = pytest.mark.slow

WHOLE, HALF, ADAPTER = 0, 1, 2  # the adapter has the highest quality, so it is the best
WEIGHTS = {"config.json", "generation_config.json", "model.safetensors"}
ADAPTERS = {"adapter_config.json", "adapter_model.safetensors", "generation_config.json"}
BESIDE = {"LICENSE-WordNet.txt", "README.md", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trained trials: every weight in fp32, every weight in bf16, adapters with greedy samples."""
    torch.set_num_threads(1)
    folder = empty_sweep(tmp_path_factory.mktemp("sweep") / "tuned")
    train_trial(folder, WHOLE)
    train_trial(folder, HALF, precision="bf16")
    train_trial(folder, ADAPTER, lora_rank=4, learning_rate=1e-2, greedy=True)
    return folder


@pytest.fixture(scope="module")
def exported(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three trials exported, by their numbers."""
    folder = tmp_path_factory.mktemp("exported")
    for number in (WHOLE, HALF, ADAPTER):
        export_trial(str(sweep), str(number), str(folder / str(number)))
    return folder


def test_every_exported_file_has_the_mode_that_the_umask_leaves(sweep: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder = export_trial(str(sweep), str(ADAPTER), str(tmp_path / "shared with the group"))
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert "adapter_model.safetensors" in modes
    assert set(modes.values()) == {0o640}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def record_of(sweep: Path, number: int) -> TrialRecord:
    return load_sweep(str(sweep)).records[number]


@pytest.mark.parametrize(("number", "arguments"), [(WHOLE, {}), (HALF, {}), (ADAPTER, {"dtype": "float32"})])
def test_exported_model_writes_the_samples_of_the_record_byte_for_byte(
    sweep: Path, exported: Path, number: int, arguments: dict[str, str]
) -> None:
    record = record_of(sweep, number)
    assert record.report is not None
    written = [sample.text for sample in record.report.samples]
    assert len(written) == 24 * (1 if number == ADAPTER else 2)  # prompts; greedy sampling draws one of each
    assert draw_again(exported / str(number), record, **arguments) == written
    assert written != [sample.base_text for sample in record.report.samples]


def test_transformers_own_generate_follows_the_exported_settings(sweep: Path, exported: Path) -> None:
    """Greedy samples, since transformers draws chances of its own."""
    folder, record = exported / str(ADAPTER), record_of(sweep, ADAPTER)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    settings = GenerationConfig.from_pretrained(folder)
    assert record.report is not None
    for sample in record.report.samples[:6]:
        prompt = tokenizer(f"</s>{sample.prompt}", add_special_tokens=False, return_tensors="pt")
        ids = model.generate(**prompt, generation_config=settings)[0, prompt["input_ids"].shape[1] :]
        assert " ".join(tokenizer.decode(ids, skip_special_tokens=True).split()) == sample.text
        assert (ids[-1].item() == tokenizer.eos_token_id) == sample.ended


def test_the_folder_holds_safetensors_and_no_pickle(exported: Path) -> None:
    for number, weights in ((WHOLE, WEIGHTS), (HALF, WEIGHTS), (ADAPTER, ADAPTERS)):
        assert {path.name for path in (exported / str(number)).iterdir()} == weights | BESIDE
    assert AutoModelForCausalLM.from_pretrained(exported / str(HALF)).dtype == torch.bfloat16
    settings = json.loads((exported / str(WHOLE) / "generation_config.json").read_text())
    assert (settings["temperature"], settings["top_p"], settings["top_k"]) == (0.8, 0.95, 0)
    assert json.loads((exported / str(WHOLE) / "config.json").read_text())["use_cache"] is True


def test_the_card_says_figures_samples_memory_and_licence(sweep: Path, exported: Path) -> None:
    record = record_of(sweep, WHOLE)
    assert record.report is not None
    card = (exported / str(WHOLE) / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "license: cc0-1.0" in card
    assert "WordNet" in card
    assert "| loss on held-out quotations, nats per token | 5.000 | 3.100 |" in card
    assert "100 MiB (CPU probe, live tensor bytes)" in card
    assert "predicted, not measured: 104 MiB" in card
    assert record.report.samples[0].text in card
    assert str(Path.home()) not in card
    adapter = (exported / str(ADAPTER) / "README.md").read_text()
    assert "peft must be installed" in adapter
    assert 'generation_config=GenerationConfig.from_pretrained("DIR")' in adapter


def test_a_tuned_galactica_is_never_offered_for_commerce(tmp_path: Path) -> None:
    record = make_record(0, model="125m")
    source, loaded = find_model("125m"), load_tokenizer(find_model("nano-1m").location)
    sweep = load_sweep(write_sweep(tmp_path / "one", [record]))
    card = model_card(sweep, record, source, loaded, tmp_path)
    assert "license: cc-by-nc-4.0" in card
    assert 'base_model: "facebook/galactica-125m"' in card
    assert "make no commercial use" in card


def test_text_of_a_model_stays_text_in_the_card(tmp_path: Path) -> None:
    attack = "x\n# title\n<script>alert(1)</script> ```\n---\u202e"
    record = make_record(0, samples=make_samples(attack, prompt=attack))
    loaded = load_tokenizer(find_model("nano-1m").location)
    sweep = load_sweep(write_sweep(tmp_path / "one", [record], name=attack))
    card = model_card(sweep, record, find_model("nano-1m"), loaded, tmp_path)
    for line in card.splitlines():
        assert "<script>" not in line or line.startswith("    ")  # four spaces: a block of code, whatever is in it
        assert line.lstrip() == line or not line.strip().startswith("```") or line.startswith("    ")
    assert "\u202e" not in card
    assert "# title" not in card.splitlines()


@pytest.mark.parametrize(
    ("trial", "told"),
    [
        ("9", "no trial '9' in sweep made-up; finished ones are: 0000-c0ffee, 0001-c0ffee, 0002-c0ffee"),
        ("0003-c0ffee", "ended as out of memory, so it has no tuned model; finished ones are: 0000-c0ffee"),
        ("4", "no checkpoint of its last step, 12 (there is none)"),
        ("5", "began from random weights"),
    ],
)
def test_a_trial_that_cannot_be_exported_is_one_line_and_leaves_nothing(
    sweep: Path, tmp_path: Path, trial: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = open_storage(str(sweep))
    random = dataclasses.replace(make_record(5).settings, weights="random")
    made = [
        make_record(3, outcome=Outcome.OUT_OF_MEMORY, error="no room"),
        make_record(4),
        make_record(5, quality=None, samples=(), settings=random),
    ]
    for record in made:
        store_record(storage, record)
    try:
        assert main([str(sweep), "--trial", trial, "--out", str(tmp_path / "model")]) == 2
    finally:
        for record in made:
            storage.delete_folder(f"trials/{record.trial_id}")
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert told in error
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_was_cut_short_is_refused(sweep: Path, tmp_path: Path) -> None:
    """Not the one before it, which would be another model under the trial's name."""
    record = record_of(sweep, WHOLE)
    (weights,) = (sweep / LAYOUT.trial(record.trial_id).checkpoints).glob("*/model.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    try:
        assert main([str(sweep), "--trial", "0", "--out", str(tmp_path / "model")]) == 2
    finally:
        weights.write_bytes(content)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["full", "file", "address"])
def test_a_place_that_is_taken_is_refused_before_anything_is_read(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("kept")
    (tmp_path / "file").write_text("kept")
    out = "s3://bucket/model" if kind == "address" else str(tmp_path / kind)
    assert main([str(tmp_path / "no-such-sweep"), "--out", out]) == 2
    error = capsys.readouterr().err
    assert (error.startswith(f"error: --out {out}"), error.count("\n")) == (True, 1)
    assert (tmp_path / "full" / "thesis.tex").read_text() == (tmp_path / "file").read_text() == "kept"


def test_best_from_an_object_store_into_an_empty_folder(
    sweep: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with ObjectStore() as store:
        uri = store.uri("far")
        far = open_storage(uri)
        arrow_fs.copy_files(str(sweep), far.root, destination_filesystem=far.filesystem)
        (tmp_path / "model").mkdir()
        assert main([uri, "--trial", "best", "--out", str(tmp_path / "model")]) == 0
    name = "adapter_model.safetensors"
    assert (tmp_path / "model" / name).read_bytes() == (exported / str(ADAPTER) / name).read_bytes()


SLOW_END = """
import sys, time, analysis.model_card
def wait(*_):
    print("writing", flush=True)
    time.sleep(60)
analysis.model_card.model_card = wait
from analysis.export import main
main(sys.argv[1:])
"""


def test_an_export_that_is_interrupted_leaves_nothing(sweep: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_END, str(sweep), "--trial", "0", "--out", str(tmp_path / "model")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        assert [path.name.startswith(".model.") for path in tmp_path.iterdir()] == [True]
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_SECONDS)
    assert list(tmp_path.iterdir()) == []
