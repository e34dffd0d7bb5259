"""The traps of a tokenizer on Galactica's own tokenizer.json, where `GALACTICA_TOKENIZER` names its folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from data.batches import Batch, collate, make_rows
from data.contract import label_fault, require_contract
from data.documents import encode_documents
from data.prompts import prompt_text
from data.tokenizer import ContractError, load_tokenizer
from tests.support.small_tokenizers import write_json

pytestmark = pytest.mark.skipif("GALACTICA_TOKENIZER" not in os.environ, reason="GALACTICA_TOKENIZER names no folder")
LINES = ["hope: Hope is the thing with feathers.", "love: Love, 1984."]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(Path(os.environ["GALACTICA_TOKENIZER"]) / "tokenizer.json", tmp_path)
    return tmp_path


def test_padding_raises_as_the_file_stands_and_not_when_repaired(folder: Path) -> None:
    bare = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    assert (bare.pad_token, bare.bos_token, bare.eos_token) == (None, None, None)
    with pytest.raises(ValueError, match="does not have a padding token"):
        bare(LINES, padding=True)
    tokenizer = load_tokenizer(str(folder)).tokenizer
    long, short = (len(tokenizer(line)["input_ids"]) for line in (LINES[0], "hope"))
    padded = tokenizer([LINES[0], "hope"], padding=True)["input_ids"]
    assert [row.count(1) for row in padded] == [0, long - short]


def test_end_of_text_as_eos_is_refused_for_the_row_that_the_embedding_has_not(folder: Path) -> None:
    declared = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    write_json(folder / "tokenizer_config.json", declared)
    ids = AutoTokenizer.from_pretrained(folder)("<|endoftext|>", add_special_tokens=False)["input_ids"]
    assert ids == [50_000]
    with pytest.raises(IndexError):
        torch.nn.Embedding(50_000, 2)(torch.tensor(ids))
    with pytest.raises(ContractError, match=r"eos_token is <\|endoftext\|> \(id 50000\).*set eos_token to </s>"):
        load_tokenizer(str(folder))


def test_pad_that_is_eos_hides_the_end_from_the_usual_collator_and_is_moved(folder: Path) -> None:
    declared = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "</s>"}
    write_json(folder / "tokenizer_config.json", declared)
    picked, loaded = AutoTokenizer.from_pretrained(folder), load_tokenizer(str(folder))
    documents = encode_documents(loaded, LINES)
    lengths = torch.tensor([len(document) for document in documents])
    usual = DataCollatorForLanguageModeling(picked, mlm=False)([{"input_ids": ids} for ids in documents])
    fault = label_fault(Batch(input_ids_BT=usual["input_ids"], labels_BT=usual["labels"]), lengths, 2)
    assert "never learn to stop" in (fault or "")
    assert (loaded.separator_id, loaded.pad_id) == (2, 1)
    rows = make_rows(documents, layout="padded", sequence_length=64, pad_id=loaded.pad_id, seed=0)
    assert label_fault(collate(rows, torch.arange(2)), rows.lengths, 2) is None


def test_folder_without_tokenizer_config_is_read_by_its_file_not_by_gpt2s_rules(folder: Path) -> None:
    write_json(folder / "config.json", {"model_type": "opt", "vocab_size": 50_000})
    picked, loaded = AutoTokenizer.from_pretrained(folder), load_tokenizer(str(folder))
    assert len(picked) == 50_001  # the trap itself: it adds GPT-2's <|endoftext|>
    assert loaded.vocabulary_size == 50_000
    digits = loaded.tokenizer("1984", add_special_tokens=False)["input_ids"]
    assert loaded.tokenizer.convert_ids_to_tokens(digits) == ["1", "9", "8", "4"]
    require_contract("galactica", loaded, LINES, 50_000)


def test_rows_and_prompts_are_as_in_pretraining_and_its_words_are_those_of_science(folder: Path) -> None:
    loaded = load_tokenizer(str(folder))
    row = encode_documents(loaded, LINES[:1])[0]
    assert (row[0], row[-1], row.count(2)) == (2, 2, 2)
    assert prompt_text(loaded, "hope") == "</s>hope:"
    pieces = {word: len(loaded.tokenizer(word, add_special_tokens=False)["input_ids"]) for word in
              ("virus", "phosphorylation", "love", "hope", "<|endoftext|>", "</s>")}  # fmt: skip
    assert pieces == {"virus": 1, "phosphorylation": 1, "love": 2, "hope": 2, "<|endoftext|>": 7, "</s>": 1}
