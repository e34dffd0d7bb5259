"""Each way in which a tokenizer spoils training, built for real, and the one line that it is refused with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, DataCollatorForLanguageModeling

from data.batches import Batch, collate, make_rows
from data.contract import Finding, examine, label_fault, require_contract
from data.documents import encode_documents
from data.tokenizer import ContractError, LoadedTokenizer, load_tokenizer
from tests.support.small_tokenizers import write_galactica_style, write_gpt2_style, write_json

LINES = ["hope: hope is new.", "love: love, 1984", "time: a-b (c)"]


def findings(loaded: LoadedTokenizer, lines: list[str] = LINES, rows: int | None = None) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(loaded, lines, rows)}


def states(loaded: LoadedTokenizer, lines: list[str] = LINES, rows: int | None = None) -> dict[str, str]:
    return {check: finding.state for check, finding in findings(loaded, lines, rows).items()}


def change(file: Path, **changes: Any) -> None:
    write_json(file, json.loads(file.read_text(encoding="utf-8")) | changes)


def test_galactica_style_passes_every_check(tmp_path: Path) -> None:
    found = findings(load_tokenizer(str(write_galactica_style(tmp_path))), rows=52)
    assert {finding.state for finding in found.values()} == {"passed"}
    assert list(found) == ["separator", "specials", "roles", "labels", "embedding", "file", "text"]
    assert found["roles"].line == "eos </s> (id 2), bos <s> (id 0), pad <pad> (id 1)."


def test_gptj_style_passes_with_end_of_text_as_its_separator(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_gpt2_style(tmp_path, extra_tokens=3)))
    found = findings(loaded, rows=52)
    assert {finding.state for finding in found.values()} == {"passed"}
    assert found["roles"].line == "eos <|endoftext|> (id 48), bos <|endoftext|> (id 48), pad <|extratoken_1|> (id 49)."


def test_gpt2_style_passes_and_says_that_its_pad_is_masked_by_position(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_gpt2_style(tmp_path)))
    found = findings(loaded, rows=49)
    assert {check: finding.state for check, finding in found.items()} == dict.fromkeys(found, "passed") | {
        "roles": "noted"
    }
    assert "ours masks by position" in found["roles"].line
    assert [repair.split(":")[0] for repair in loaded.repairs] == [
        "eos_token was None",
        "bos_token was None",
        "pad_token was None",
    ]
    assert "padding is masked by its position" in loaded.repairs[-1]


def test_usual_collator_hides_every_closing_separator_when_pad_is_eos_and_ours_does_not(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_gpt2_style(tmp_path)))
    documents = encode_documents(loaded, LINES)
    lengths = torch.tensor([len(document) for document in documents])
    usual = DataCollatorForLanguageModeling(loaded.tokenizer, mlm=False)([{"input_ids": ids} for ids in documents])
    batch = Batch(input_ids_BT=usual["input_ids"], labels_BT=usual["labels"])
    assert "never learn to stop" in (label_fault(batch, lengths, 48) or "")

    rows = make_rows(documents, layout="padded", sequence_length=64, pad_id=loaded.pad_id, seed=0)
    assert label_fault(collate(rows, torch.arange(3)), rows.lengths, 48) is None


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([2, 4, 2, 1], "learn to write padding"),
        ([2, 4, -100, -100], "never learn to stop"),
        ([2, 5, 2, -100], "differ from its ids"),
        ([2, 4, 2, -100], None),
    ],
)
def test_labels_are_the_ids_to_the_closing_separator_and_nothing_after(labels: list[int], said: str | None) -> None:
    batch = Batch(input_ids_BT=torch.tensor([[2, 4, 2, 1]]), labels_BT=torch.tensor([labels]))
    fault = label_fault(batch, torch.tensor([3]), 2)
    assert fault == said if said is None else said in (fault or "")


def test_row_cut_before_its_separator_is_a_fault() -> None:
    ids = torch.tensor([[2, 4, 5, 1]])
    batch = Batch(input_ids_BT=ids, labels_BT=torch.tensor([[2, 4, 5, -100]]))
    assert "begin and end with the separator" in (label_fault(batch, torch.tensor([3]), 2) or "")


def test_declared_special_in_pieces_is_refused(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    # <pad> is in the vocabulary, but nothing keeps text from being split inside it.
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "<pad>"]
    write_json(folder / "tokenizer.json", content)
    loaded = load_tokenizer(str(folder))
    assert loaded.pad_id == 2  # so it is not taken for a pad either
    loaded.tokenizer.add_special_tokens({"pad_token": "<pad>"})
    assert states(loaded)["specials"] == "passed"  # declaring it makes it one
    loaded.tokenizer.split_special_tokens = True
    found = findings(loaded)["specials"]
    assert found.state == "failed"
    assert found.line.startswith("the special token <s> (id 0) becomes 3 tokens, so a model would learn to spell it")


def test_special_that_comes_back_otherwise_is_refused(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    change(folder / "tokenizer.json", decoder={"type": "Replace", "pattern": {"String": "pad"}, "content": "blank"})
    found = findings(load_tokenizer(str(folder)))["specials"]
    assert found.state == "failed"
    assert "<pad> (id 1) comes back as '<blank>'" in found.line


def test_id_past_the_embedding_is_refused_with_the_error_that_it_would_raise(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_galactica_style(tmp_path)))
    assert states(loaded, rows=51)["embedding"] == "failed"
    assert "/ (id 51)" in findings(loaded, rows=51)["embedding"].line
    with pytest.raises(ContractError, match=r"^nano: 1 tokens, such as .*IndexError"):
        require_contract("nano", loaded, LINES, 51)


def test_token_added_on_loading_is_refused_where_no_config_says_that_there_is_room(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "<|pad|>"},
    )
    loaded = load_tokenizer(str(folder))
    assert loaded.pad_id == 52  # one past the 52 tokens of the file
    found = findings(loaded)["embedding"]
    assert found.state == "failed"
    assert "<|pad|> (id 52) is not in tokenizer.json" in found.line
    assert states(loaded, rows=64)["embedding"] == "passed"  # a model with rows to spare, as GPT-J's


def test_end_of_text_added_to_galactica_would_stop_training_with_an_index_error(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    write_json(
        folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    )
    # The trap itself: AutoTokenizer adds it with an id that equals the number of embedding rows.
    picked = AutoTokenizer.from_pretrained(folder)
    with pytest.raises(IndexError):
        torch.nn.Embedding(52, 4)(torch.tensor(picked("<|endoftext|>", add_special_tokens=False)["input_ids"]))
    with pytest.raises(ContractError, match="set eos_token to </s>"):
        load_tokenizer(str(folder))


def test_class_that_splits_the_data_otherwise_than_its_file_is_refused(tmp_path: Path) -> None:
    # tokenizer.json keeps '--' apart, GPT-2's rules join it; the text that decides is only in the data set.
    tokens = ["a", "-", "--", ":", "Ġ", *"hope", "</s>"]
    tokenizer = Tokenizer(
        models.BPE(vocab={token: index for index, token in enumerate(dict.fromkeys(tokens))}, merges=[("-", "-")])
    )
    tokenizer.normalizer = normalizers.Replace(Regex("a--a"), "a-a")
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer", "eos_token": "</s>"})
    loaded = load_tokenizer(str(tmp_path))
    found = findings(loaded, ["hope: a--a"])["file"]
    assert found.state == "failed", found
    assert "GPT2Tokenizer splits 'hope: a--a' into" in found.line
    assert "tokenizer_class" in found.line


def test_text_that_nfkc_changes_is_noted_with_an_example(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"] |= {"âģĦ": 52, "â": 53, "ģ": 54, "Ħ": 55}  # U+2044, between the 1 and 2 of NFKC's ½
    content["model"]["merges"] += [["â", "ģ"], ["âģ", "Ħ"]]
    content["model"]["vocab"]["âģ"] = 56
    write_json(folder / "tokenizer.json", content)
    found = findings(load_tokenizer(str(folder)), [*LINES, "time: ½ an hour"])["text"]
    assert found.state == "noted"
    assert found.line == "1 of 4 lines come back NFKC-normalised (such as 'time: ½ an hour' as 'time: 1⁄2 an hour')."


def test_text_that_is_lost_is_refused_and_a_stray_sign_noted(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_galactica_style(tmp_path)))  # it knows no capital letters
    found = findings(loaded, [*LINES, "hope: Hope"])["text"]
    assert found.state == "failed"
    assert "1 of 4 lines do not come back as they went in (such as 'hope: Hope' as 'hope: ope')" in found.line
    assert "never be learnt" in found.line
    # One line in a hundred is noted, two are refused.
    assert states(loaded, ["hope: a"] * 99 + ["hope: Hope"])["text"] == "noted"
    assert states(loaded, ["hope: a"] * 98 + ["hope: Hope"] * 2)["text"] == "failed"


def test_before_a_trial_an_even_spread_of_many_lines_is_looked_at(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_galactica_style(tmp_path)))
    lines = ["hope: a"] * 9_000 + ["hope: Hope"] * 1_000
    with pytest.raises(ContractError, match="200 of 2000 lines do not come back"):
        require_contract("nano", loaded, lines, 52)


def test_what_was_repaired_or_noted_is_told(tmp_path: Path) -> None:
    told = require_contract("mine", load_tokenizer(str(write_gpt2_style(tmp_path))), LINES, 49)
    assert len(told) == 4
    assert all(line.startswith("tokenizer of mine: ") for line in told)
    assert told[0] == "tokenizer of mine: repaired, eos_token was None: set to <|endoftext|> (id 48)"
    assert told[3].startswith("tokenizer of mine: note, eos <|endoftext|>")


@pytest.mark.skipif("GALACTICA_TOKENIZER" not in os.environ, reason="GALACTICA_TOKENIZER names no folder")
def test_real_galactica_tokenizer_keeps_the_contract_and_takes_a_half_apart() -> None:
    loaded = load_tokenizer(os.environ["GALACTICA_TOKENIZER"])
    found = findings(loaded, ["hope: Hope, said 1984.", "time: ½ an hour"], rows=50_000)
    assert found["specials"].line.startswith("23 declared")
    assert {check: finding.state for check, finding in found.items()} == dict.fromkeys(found, "passed") | {
        "text": "noted"
    }
    assert "'time: 1⁄2 an hour'" in found["text"].line
    assert findings(loaded, rows=49_999)["embedding"].state == "failed"
