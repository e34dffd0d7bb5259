"""What a job's flags name of a person's files, told from the top of the checkout that goes along."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.quotes import SUFFIXES
from sweeps.cluster.carried_files import with_carried_files
from sweeps.planning.options import OptionsError


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "checkout" / "mine" / "model").mkdir(parents=True)
    return tmp_path / "checkout"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_every_kind_that_is_read_goes_along_from_wherever_one_stands(
    suffix: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "mine" / f"quotes{suffix}").write_text("x")
    there = f"mine/quotes{suffix}"
    for folder, name in (
        (checkout, there),
        (checkout / "mine", f"quotes{suffix}"),
        (checkout / "mine", f"./model/../quotes{suffix}"),
        (checkout.parent, f"checkout/{there}"),
        (checkout.parent, str(checkout / there)),
        (checkout.parent, there),  # counted from the top of the checkout, where there is none here
    ):
        monkeypatch.chdir(folder)
        assert with_carried_files(["--trials", "3", "--data", name], checkout) == ["--trials", "3", "--data", there]
        assert with_carried_files([f"--data={name}", "--smoke"], checkout) == [f"--data={there}", "--smoke"]
    monkeypatch.chdir(checkout)
    with pytest.raises(OptionsError, match=rf"^--data absent{suffix} is not in .*; copy it in there\.$"):
        with_carried_files(["--data", f"absent{suffix}"], checkout)


def test_every_flag_that_names_a_file_is_told_so(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("base.txt", "prompts.txt"):
        (checkout / "mine" / name).write_text("x")
    monkeypatch.chdir(checkout / "mine")
    flags = ["--base_text", "base.txt", "--prompts", "prompts.txt", "--model-sizes", "nano-1m", "model", "a/b"]
    expected = ["--base_text", "mine/base.txt", "--prompts", "mine/prompts.txt", "--model-sizes"]
    assert with_carried_files(flags, checkout) == [*expected, "nano-1m", "mine/model", "a/b"]


def test_what_names_no_file_stays(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    flags = [
        "--data",
        "shipped",
        "--base-text",
        "general",
        "--base-text",
        "science",
        "--name",
        "mine",
        "--storage",
        "s3://b/c",
    ]
    assert with_carried_files(flags, checkout) == flags
    assert with_carried_files(["--data", "owner/name"], checkout) == ["--data", "owner/name"]


def test_a_whole_path_out_of_the_checkout_stays_and_a_relative_one_is_refused(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared.tsv").write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    shared = str(tmp_path / "shared.tsv")
    assert with_carried_files(["--data", shared], checkout) == ["--data", shared]
    for name in ("shared.tsv", "~/shared.tsv"):
        with pytest.raises(OptionsError, match=r"is not in .*; copy it in there"):
            with_carried_files(["--data", name], checkout)
    for flags in (["--prompts", "none.txt"], ["--base-text", "none.txt"], ["--model-sizes", "./none"]):
        with pytest.raises(OptionsError, match=r"is not in .*; copy it in there"):
            with_carried_files(flags, checkout)
