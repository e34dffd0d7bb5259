"""The checker as a person runs it: exit codes, one line a fault, and JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from data.check_tokenizer import main
from tests.support.small_tokenizers import write_galactica_style, write_gpt2_style, write_json
from tests.support.waiting import PATIENCE_SECONDS

SCRIPT = Path(__file__).resolve().parents[2] / "data" / "check_tokenizer.py"


@pytest.fixture
def quotes(tmp_path: Path) -> str:
    file = tmp_path / "quotes.txt"
    file.write_text("hope: hope is new.\nlove: love, 1984\n")
    return str(file)


def test_shipped_model_keeps_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nano-0.3m"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.endswith("nano-0.3m keeps the contract.\n")
    assert out.count("\n") == 8  # seven checks, nothing repaired
    assert "2048 embedding rows" in out


def test_json_holds_every_finding(tmp_path: Path, quotes: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_galactica_style(tmp_path / "model")
    assert main([str(folder), "--data", quotes, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["kept"], document["separator"], document["separator_id"], document["pad_id"]) == (
        True,
        "</s>",
        2,
        1,
    )
    assert (document["vocabulary_size"], document["embedding_rows"]) == (52, None)
    assert len(document["repairs"]) == 4
    assert [finding["state"] for finding in document["findings"]].count("passed") == 6
    assert document["findings"][4]["state"] == "noted"  # there is no config.json


def test_columns_of_other_names_are_mapped_and_what_was_taken_for_what_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("tag;body\nhope;hope is new\nlove;love, 1984\n")
    assert main(["nano-0.3m", "--data", str(file)]) == 2
    assert "--columns keyword=tag,quote=body" in capsys.readouterr().err
    assert main(["nano-0.3m", "--data", str(file), "--columns", "keyword=tag,quote=body"]) == 0
    assert "note     data      mine.csv: read as a table with ';' between values" in capsys.readouterr().out


def test_broken_contract_is_exit_code_one(tmp_path: Path, quotes: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_galactica_style(tmp_path / "model")
    write_json(
        folder / "tokenizer_config.json", {"eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    )
    assert main([str(folder), "--data", quotes]) == 1
    out = capsys.readouterr().out
    assert out.startswith("FAILED   separator ")
    assert "set eos_token to </s>" in out
    assert out.endswith("breaks the contract; nothing should be trained with it.\n")
    assert main([str(folder), "--data", quotes, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["kept"] is False


def test_embedding_of_the_model_beside_it_counts(
    tmp_path: Path, quotes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_gpt2_style(tmp_path / "model", extra_tokens=3)
    write_json(folder / "config.json", {"model_type": "gptj", "vocab_size": 52})
    assert main([str(folder), "--data", quotes]) == 0
    write_json(folder / "config.json", {"model_type": "gptj", "vocab_size": 50})
    assert main([str(folder), "--data", quotes]) == 1
    assert "<|extratoken_2|> (id 50)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["no/such/folder", "/nowhere", "./nowhere", "owner/model"])
def test_name_of_nothing_is_one_line_and_exit_code_two(
    name: str, quotes: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main([name, "--data", quotes]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_data_that_is_not_there_is_exit_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nano-1m", "--data", "nothing.txt"]) == 2
    assert "nothing.txt" in capsys.readouterr().err


def test_help_tells_the_exit_codes() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0
    assert "1: it is broken" in done.stdout
    assert "2: there is no such tokenizer" in " ".join(done.stdout.split())
