"""A person's files, folders and terminals as the main job meets them: read, told of, found from anywhere, printed."""

from __future__ import annotations

import json
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
from sweeps.run.launch import main
from tests.support.told import complaint
from tests.support.waiting import PATIENCE_SECONDS
from trainables.model.models import NANO_FOLDER, find_model

ROOT = Path(__file__).resolve().parents[2]
DEVICE = Device(gpus=0, gpu_bytes=None, cpus=2)
KEYWORDS = ("love", "hope", "wisdom", "truth", "courage")
QUOTES = [(KEYWORDS[n % 5], f"Wer {n} Wege geht; der braucht Größe und {n * n} gute Schuhe dazu.") for n in range(200)]

PAIRS = [(keyword, quote.replace(";", ",")) for keyword, quote in QUOTES]
TABLE = ["keyword,quote", *(f'{keyword},"{quote}"' for keyword, quote in PAIRS)]
BARE = ["keyword,quote", *(f"{keyword},{quote.replace(',', '')}" for keyword, quote in PAIRS)]
OBJECTS = [{"keyword": keyword, "quote": quote} for keyword, quote in PAIRS]
WRAPPED = [f"<|endoftext|>{keyword}: {quote}<|endoftext|>" for keyword, quote in PAIRS]
FORMS: dict[str, tuple[str | bytes, str]] = {  # what people have, and what the main job then says of it
    "semicolon.csv": ("\ufeff" + "\r\n".join(row.replace(",", ";", 1) for row in TABLE), "with ';' between values"),
    "data.tsv": ("\n".join(row.replace(",", "\t", 1) for row in TABLE), ""),
    "utf16.csv": ("\n".join(TABLE).encode("utf-16"), "read as UTF-16, by its byte-order mark"),
    "gptj.txt": ("\n".join(WRAPPED), "<|endoftext|> taken off the ends of all 200 rows"),
    "gptj.csv": ("\n".join([",text", *(f'{n},"{line}"' for n, line in enumerate(WRAPPED))]), "ends of all 200 rows"),
    "return_in_value.csv": ("\n".join(TABLE).replace("Wege ", "Wege\r"), ""),
    "return.csv": ("\n".join(BARE).replace("Wege ", "Wege\r"), "for spaces in 200 rows"),
    "header_again.csv": ("\n".join([*TABLE[:101], *TABLE[:1], *TABLE[101:]]), "the header again left out: line 102"),
    "colons.txt": ("\n".join(f"{k}：{q}" for k, q in PAIRS), "'：' taken for ':' in all 200 rows"),
    "capital_keys.jsonl": ("\n".join(json.dumps({k.title(): v for k, v in one.items()}) for one in OBJECTS), ""),
    "array.json": (json.dumps(OBJECTS, indent=1), ""),
}  # fmt: skip
REFUSED_FORMS: dict[str, tuple[str, str]] = {
    "kaggle.csv": (
        "\n".join(["quote,author,category", *(f'"{q}",A.,{k}' for k, q in PAIRS)]),
        "--columns keyword=category",
    ),
    "completions.jsonl": (
        "\n".join(json.dumps({"prompt": k, "completion": q}) for k, q in PAIRS),
        "--columns keyword=prompt,quote=completion",
    ),
    "backslash.csv": ('keyword,quote\nlove,"He said \\"no\\", twice"\n', "a backslash before a quotation mark"),
    "null.jsonl": (json.dumps(OBJECTS[0]) + '\n{"keyword": "love", "quote": null}', "null.jsonl:2: 'quote' is null"),
    "one_line.txt": ("".join(WRAPPED), "has <|endoftext|> in it"),
}  # fmt: skip


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
    assert complaint(refused.stderr).count("\n") == 1
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


def told_of(folder: Path, name: str, content: str | bytes, capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """What the main job's dry run on such a file ends with and says."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    small = ["--dry-run", "--trials", "1", "--batch-sizes", "8", "--micro-batch-sizes", "4", "--token-budget", "4000"]
    flags = ["--model-sizes", "nano-0.3m", "--storage", str(folder / "results"), "--data", str(folder / name)]
    code = main(QUESTION, [*small, *flags])
    out, err = capfd.readouterr()
    return code, out, err


@pytest.mark.parametrize("name", FORMS)
def test_main_job_takes_files_as_people_have_them(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content, note = FORMS[name]
    code, out, err = told_of(tmp_path, name, content, capfd)
    assert (code, err) == (0, "")
    assert "Would run 1 trials" in out
    assert note in out
    assert (f"{name}: " in out) == bool(note)


@pytest.mark.parametrize("name", REFUSED_FORMS)
def test_main_job_refuses_what_is_not_plain_in_one_line(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content, said = REFUSED_FORMS[name]
    code, out, err = told_of(tmp_path, name, content, capfd)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
