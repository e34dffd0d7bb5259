"""A person's mistakes: one line that says what to do, exit code 2, no traceback, and not a file touched."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.run.launch import main
from tests.support.record_factory import make_facts
from tests.support.told import complaint
from tests.support.waiting import PATIENCE_SECONDS
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import store_facts

SCRIPT = Path(__file__).resolve().parents[2] / "sweeps" / "batch_memory.py"
GOOD_LINES = "love: When love is not madness, it is not love.\nhope: Hope is the thing with feathers.\n"

Complain = Callable[..., str]


def listing(folder: Path) -> dict[str, bytes | None]:
    """Every path below `folder` with its content, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def check(code: int, out: str, err: str, said: tuple[str, ...]) -> str:
    assert (code, out) == (2, ""), err
    err = complaint(err)
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert [part for part in said if part not in err] == [], err
    return err


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A storage folder in which one sweep, named "old", lies already."""
    machine = Device(gpus=0, gpu_bytes=None, cpus=2)
    plan = make_plan(SweepOptions(model_sizes=("nano-1m",), seed=3), machine, BATCH_MEMORY)
    facts = make_facts(plan, name="old")
    store_facts(open_storage(str(tmp_path / "results" / "old")), facts)
    return tmp_path / "results"


@pytest.fixture
def complain(results: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Complain:
    """Runs the command with `arguments` and checks its one line, in which all of `said` must stand."""

    def run(arguments: str, *said: str, storage: str | None = None) -> str:
        before = listing(tmp_path)
        given = ["--storage", storage or str(results), "--wandb", "disabled", *arguments.split()]
        code = main(BATCH_MEMORY, given)
        out, err = capfd.readouterr()
        assert listing(tmp_path) == before
        return check(code, out, err, said)

    return run


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("quotes.txt", None, ("quotes.txt", "no such file")),
        ("quotes.txt", b"", ("quotes.txt", "no quote in it", "'love: ")),
        ("quotes.txt", b"\n\n", ("quotes.txt", "no quote in it")),
        ("quotes.txt", bytes(range(256)) * 4, ("quotes.txt:1", "UTF-8")),
        ("quotes.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ("quotes.txt", "UTF-8")),
        ("quotes.txt", "love: été\n".encode("latin-1"), ("1 distinct quotes", "add lines")),  # it is read: too few
        ("quotes.txt", f"{GOOD_LINES}no colon here\n".encode(), ("quotes.txt:3", "no ':'", "'love: ")),
        ("quotes.txt", f"{GOOD_LINES}hope:  \n".encode(), ("quotes.txt:3", "no quote", "'hope'")),
        ("quotes.txt", b": a quote without keyword\n", ("quotes.txt:1", "no keyword")),
        ("quotes.csv", b"keyword,quote\nlove,\n", ("quotes.csv:2", "no quote", "'love'")),
        ("quotes.csv", b"word,saying\nlove,a\n", ("quotes.csv:1", "'keyword' and 'quote'")),
        ("quotes.jsonl", b'{"keyword": "love"\n', ("quotes.jsonl:1", "not a JSON object")),
        ("quotes.pdf", b"%PDF-1.7", ("quotes.pdf", "PDF document", "CSV in UTF-8")),
    ],
)
def test_wrong_data(
    name: str, content: bytes | None, said: tuple[str, ...], complain: Complain, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    complain(f"--data {tmp_path / name}", *said)


def test_data_that_is_a_folder(complain: Complain, tmp_path: Path) -> None:
    complain(f"--data {tmp_path}", "is a folder", ".txt")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--model-sizes 2b", ("'2b'", "nano-0.3m", "nano-1m", "nano-4m", "125m", "1.3b", "6.7b", "30b", "120b")),
        ("--language-model smollm9", ("'smollm9'", "nano-0.3m", "smollm2-135m", "125m")),
        ("--batch-sizes 12 --micro-batch-sizes 8", ("batch_size=12", "micro_batch_size=8", "divides the batch")),
        ("--learning-rates -0.001", ("-0.001", "positive", "1e-3")),
        ("--learning-rates 1e-3 nan", ("nan", "positive")),
        ("--memory-cap 24X", ("--memory-cap", "'24X'", "GiB")),
        ("--gpu gtx7", ("--gpu", "'gtx7'", "t4")),
        ("--trials 0", ("--trials=0", "at least 1")),
        ("--trials many", ("many", "--trials", "--help")),
        ("--token-budget 10", ("--token-budget=10", "at least")),
        ("--model-sizes nano-1m --sequence-length 4096 --token-budget 1000000", ("--sequence-length=4096", "nano-1m")),
        ("--lora-targets attention", ("--lora-targets attention has no effect without --lora-rank",)),
        ("--model-sizes nano-0.3m --lora-rank 4096", ("--lora-rank=4096", "the width", "nano-0.3m", "choose 1 to")),
        ("--lora-rank -1", ("lora_rank=-1", "at least 1, or 0")),
        ("--optimizer lion", ("lion", "adamw", "adamw-8bit", "sgd")),
        ("--precision fp8", ("--precision: 'fp8' is not one of bf16, bf16-amp, fp16-amp, fp32; --help",)),
        ("--batch-sizes 8 x", ("--batch-sizes: '8', 'x' cannot be read as INT [INT ...]; --help",)),
        ("--micro-batch-sizes big", ("'big' cannot be read as INT|auto [INT|auto ...]",)),
        (
            "--learning-rates 1e-4,3e-4",
            ("--learning-rates 1e-4,3e-4: separate values by spaces, as in --learning-rates 1e-4 3e-4",),
        ),
        ("--learning_rates=[1e-4,3e-4]", ("separate values by spaces, as in --learning-rates 1e-4 3e-4",)),
        ("--batch-sizes 4, 8", ("--batch-sizes 4,: separate values by spaces",)),
        ("--micro-batch-sizes 4,8", ("--micro-batch-sizes 4 8",)),
        ("--model-sizes nano-0.3m,nano-1m", ("--model-sizes nano-0.3m nano-1m",)),
        ("--objectives style,spill_over", ("--objectives style spill_over",)),
        ("--unseen-prompts sea,night", ("--unseen-prompts sea night",)),
        ("--warm-start results/a,results/b", ("--warm-start results/a results/b",)),
        ("--epochs 0,5", ("--epochs 0 5, or write 0.5",)),
        ("--learning-rates 1e-4 --learning-rates 3e-4", ("--learning-rates is given twice", "behind one")),
        ("--micro-batch-sizes auto 4", ("auto stands alone",)),
        ("--weights best", ("best", "pretrained", "random", "--help")),
        ("--wandb sometimes", ("sometimes", "online", "offline", "disabled")),
        ("--colour blue", ("--colour", "--help")),
        ("--batch-size 8", ("--batch-size", "--batch-sizes")),
        ("stray", ("stray", "--help")),
        ("--name a/b", ("'a/b'", "letters, digits")),
        ("--name ../old", ("'../old'", "letters, digits")),
        ("--name .", ("'.'", "letters, digits")),
        ("--name old", ("'old'", "--resume", "--name")),
        ("--name old --dry-run", ("'old'", "--resume", "--name")),
        ("--resume", ("--resume", "--name")),
        ("--resume --name new", ("'new'", "old")),
        ("--resume --name old --seed 4", ("--seed", "leave it out")),
        ("--resume --name old --learning-rates 1e-3", ("--learning-rates", "leave it out")),
        ("--resume --name old --model-sizes nano-4m", ("--model-sizes", "leave it out")),
        ("--resume --name old --memory-cap 1GiB", ("--memory-cap", "leave it out")),
        ("--resume --name old --memory-cap 24X", ("--memory-cap", "'24X'", "GiB")),
        ("--resume --name old --trials 0", ("--trials=0", "at least 1")),
        ("--resume --name a/b", ("'a/b'", "letters, digits")),
    ],
)
def test_wrong_option(arguments: str, said: tuple[str, ...], complain: Complain) -> None:
    complain(arguments, *said)


def test_resuming_where_there_is_no_sweep_at_all(complain: Complain, tmp_path: Path) -> None:
    complain("--resume --name old", "'old'", "there are: none", storage=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"options": {}}', "not JSON"])
def test_resuming_a_sweep_whose_document_is_not_ours(content: str, complain: Complain, results: Path) -> None:
    (results / "old" / "sweep.json").write_text(content)
    complain("--resume --name old", "sweep.json", "start a new sweep")


def test_storage_below_a_file_is_not_writable(complain: Complain, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    complain("--model-sizes nano-1m", "file", "not writable", "--storage", storage=str(tmp_path / "file" / "results"))


def test_storage_where_nobody_can_write(complain: Complain) -> None:
    complain("--model-sizes nano-1m", "/proc", "not writable", "--storage", storage="/proc/results")


def test_storage_of_an_unknown_kind(complain: Complain) -> None:
    complain("--model-sizes nano-1m", "ftp://host/x", "s3://bucket/prefix", storage="ftp://host/x")


def test_object_storage_that_does_not_answer(complain: Complain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    nobody = "s3://bucket/prefix?scheme=http&endpoint_override=127.0.0.1:9"
    complain("--model-sizes nano-1m", "127.0.0.1:9", "--storage", storage=nobody)


def test_credentials_in_a_storage_address(complain: Complain) -> None:
    complain("--model-sizes nano-1m", "credentials", "AWS_ACCESS_KEY_ID", storage="s3://key:secret@bucket/prefix")


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed here")
def test_an_optimizer_whose_library_is_absent(complain: Complain) -> None:
    complain("--optimizer adamw-8bit", "adamw-8bit", "pip install bitsandbytes", "adamw or sgd")


def test_more_workers_than_the_machine_has(complain: Complain) -> None:
    flags = "--workers-per-trial 512 --batch-sizes 512 --micro-batch-sizes 1 --token-budget 1000000"
    complain(flags, "--workers-per-trial=512", "this machine has")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model-sizes", "owner/model"], ("'owner/model'", "hf download owner/model", "nano-1m", "--weights random")),
        (["--data", "quotes.txt"], ("quotes.txt:2", "no ':'")),
        (["--learning-rates", "-1e-3"], ("learning_rate=-0.001", "positive")),
    ],
    ids=["hub model without network", "line without colon", "negative learning rate"],
)
def test_as_a_process_of_its_own_in_another_folder(arguments: list[str], said: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "quotes.txt").write_text("love: a quote\nno colon\n")
    before = listing(tmp_path)
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path.parent / f"{tmp_path.name}-hub"), "WANDB_MODE": "disabled"}
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=tmp_path,
        env=os.environ | quiet,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    check(ended.returncode, ended.stdout, ended.stderr, said)
    assert listing(tmp_path) == before
