"""A person's files, folders and terminals as the main job meets them: read, told of, found from anywhere, printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.batch_memory import QUESTION
from sweeps.planning.choices import changed_by, make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from tests.support.waiting import PATIENCE_SECONDS
from trainables.model.models import NANO_FOLDER, find_model

ROOT = Path(__file__).resolve().parents[2]
DEVICE = Device(gpus=0, gpu_bytes=None, cpus=2)
KEYWORDS = ("love", "hope", "wisdom", "truth", "courage")
QUOTES = [(KEYWORDS[n % 5], f"Wer {n} Wege geht; der braucht Größe und {n * n} gute Schuhe dazu.") for n in range(200)]


def dry_run(folder: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The main job's dry run from `folder`, with little to predict."""
    small = ["--dry-run", "--trials", "1", "--batch-sizes", "8", "--micro-batch-sizes", "4", "--token-budget", "4000"]
    return subprocess.run(
        [sys.executable, str(ROOT / "sweeps" / "batch_memory.py"), *small, *flags],
        cwd=folder,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def write_table(file: Path, delimiter: str, *names: str) -> None:
    rows = [delimiter.join(names), *(delimiter.join((f'"{quote}"', keyword)) for keyword, quote in QUOTES)]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_a_table_with_semicolons_is_read_and_the_person_told(tmp_path: Path) -> None:
    write_table(tmp_path / "mine.csv", ";", "quote", "keyword")
    ended = dry_run(tmp_path, "--model-sizes", "nano-0.3m", "--data", "mine.csv")
    assert ended.returncode == 0, ended.stderr
    assert "Would run 1 trials" in ended.stdout
    (note,) = [line for line in ended.stdout.splitlines() if line.startswith("mine.csv: ")]
    assert "';'" in note


def test_columns_of_other_names_are_mapped_by_the_flag_that_the_refusal_names(tmp_path: Path) -> None:
    write_table(tmp_path / "mine.csv", ",", "body", "tag")
    refused = dry_run(tmp_path, "--model-sizes", "nano-0.3m", "--data", "mine.csv")
    assert refused.returncode == 2
    assert "--columns keyword=tag,quote=body" in refused.stderr
    assert refused.stderr.count("\n") == 1
    ended = dry_run(tmp_path, "--model-sizes", "nano-0.3m", "--data", "mine.csv", "--columns", "keyword=tag,quote=body")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    "terminal",
    [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}],
    ids=["LC_ALL=C", "ascii"],
)
def test_a_terminal_without_umlauts_ends_nothing(terminal: dict[str, str], tmp_path: Path) -> None:
    write_table(tmp_path / "größe.csv", ";", "quote", "keyword")
    ended = dry_run(tmp_path, "--model-sizes", "nano-0.3m", "--data", "größe.csv", "--storage", "Ablage ü", **terminal)
    assert ended.returncode == 0, ended.stderr
    refused = dry_run(tmp_path, "--model-sizes", "größe", **terminal)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_a_model_folder_is_found_from_wherever_workers_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(NANO_FOLDER / "nano-0.3m", tmp_path / "models" / "mynano")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("models/mynano", "./models/mynano/", "~/models/mynano", str(tmp_path / "models" / "mynano")):
        plan = make_plan(QUESTION.options(model_sizes=(name,)), DEVICE, QUESTION)
        assert plan.models == (str(tmp_path / "models" / "mynano"),)
        assert changed_by(QUESTION.options(model_sizes=(name,)), plan) is None
    monkeypatch.chdir("/")
    assert find_model(plan.models[0]).location == str(tmp_path / "models" / "mynano")


def test_a_folder_called_like_a_known_size_does_not_stand_in_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nano-1m").mkdir()
    monkeypatch.chdir(tmp_path)
    assert make_plan(QUESTION.options(model_sizes=("nano-1m",)), DEVICE, QUESTION).models == ("nano-1m",)


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (SweepOptions(columns="quote=body"), "--columns"),
        (SweepOptions(prompts="other.txt"), "--prompts"),
        (SweepOptions(template="{text}"), "--template"),
    ],
)
def test_what_was_spent_when_the_sweep_was_laid_out_is_refused_when_it_goes_on(
    options: SweepOptions, flag: str
) -> None:
    plan = make_plan(SweepOptions(), DEVICE, QUESTION)
    assert changed_by(options, plan) == flag
