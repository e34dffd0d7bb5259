import json
import os
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from data.tokenizer import TokenizerError, check_embedding, load_tokenizer
from tests.support.small_tokenizers import GALACTICA_SPECIALS, write_galactica_style, write_gpt2_style, write_json


def test_galactica_style_is_repaired_to_its_real_ids(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_galactica_style(tmp_path)))
    assert (loaded.separator, loaded.separator_id, loaded.pad_id) == ("</s>", 2, 1)
    assert (loaded.tokenizer.bos_token_id, loaded.tokenizer.unk_token_id) == (0, 3)
    assert loaded.vocabulary_size == 52  # 4 specials, 26 letters, colon, space, 10 digits, '19', 9 signs
    assert len(loaded.repairs) == 4
    assert any("pad_token" in repair and "<pad> (id 1)" in repair for repair in loaded.repairs)


def test_repair_adds_no_token(tmp_path: Path) -> None:
    folder = str(write_galactica_style(tmp_path))
    assert len(load_tokenizer(folder).tokenizer) == 52


def test_repaired_tokenizer_pads(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    # The trap itself: as it stands in the file, it declares no pad.
    as_written = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    with pytest.raises(ValueError, match="does not have a padding token"):
        as_written(["a", "abc"], padding=True)
    tokenizer = load_tokenizer(str(write_galactica_style(tmp_path))).tokenizer
    assert tokenizer(["a", "abc"], padding=True)["input_ids"] == [[4, 1, 1], [4, 5, 6]]


def test_gpt2_style_keeps_its_own_separator_and_needs_no_pad(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_gpt2_style(tmp_path)))
    assert (loaded.separator, loaded.separator_id) == ("<|endoftext|>", 48)
    assert loaded.pad_id == 48  # no token to spare: padding is told by position


def test_gptj_style_pads_with_a_token_that_no_text_uses(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_gpt2_style(tmp_path, extra_tokens=3)))
    assert (loaded.separator_id, loaded.pad_id, loaded.vocabulary_size) == (48, 49, 52)


def test_pad_that_is_the_separator_is_moved_where_there_is_another(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "</s>"},
    )
    loaded = load_tokenizer(str(folder))
    assert (loaded.separator_id, loaded.pad_id) == (2, 1)
    assert any(repair.startswith("pad_token was </s>") for repair in loaded.repairs)


def test_folder_without_tokenizer_config_is_not_taken_for_gpt2(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    write_json(folder / "config.json", {"model_type": "opt", "architectures": ["OPTForCausalLM"]})
    # The trap itself: by model type AutoTokenizer takes GPT-2's rules, which keep '19' together, and adds a token.
    picked = AutoTokenizer.from_pretrained(folder)
    assert picked("19", add_special_tokens=False)["input_ids"] == [42]
    assert len(picked) == 53
    loaded = load_tokenizer(str(folder))
    assert loaded.tokenizer("19", add_special_tokens=False)["input_ids"] == [33, 41]
    assert len(loaded.tokenizer) == 52


def test_class_named_wrongly_in_tokenizer_config_is_replaced_by_what_tokenizer_json_says(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer"})
    loaded = load_tokenizer(str(folder))
    assert loaded.tokenizer("19", add_special_tokens=False)["input_ids"] == [33, 41]
    assert loaded.separator_id == 2
    assert any("tokenizer.json" in repair for repair in loaded.repairs)


def test_end_of_text_added_to_galactica_is_refused(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"},
    )
    with pytest.raises(TokenizerError, match=r"eos_token is <\|endoftext\|> \(id 52\).*set eos_token to </s>"):
        load_tokenizer(str(folder))


def test_token_added_past_the_embedding_is_refused(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_galactica_style(tmp_path)))
    check_embedding(loaded, 52)
    loaded.tokenizer.add_special_tokens({"eos_token": "<|endoftext|>"})
    loaded.tokenizer.save_pretrained(tmp_path / "grown")
    write_json(tmp_path / "grown" / "tokenizer_config.json", {"eos_token": "</s>"})
    grown = load_tokenizer(str(tmp_path / "grown"))
    assert grown.vocabulary_size == 53
    with pytest.raises(TokenizerError, match=r"<\|endoftext\|> \(id 52\).*52 embedding rows.*IndexError"):
        check_embedding(grown, 52)


def test_tokenizer_without_an_end_of_text_is_refused(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path, specials=("<s>", "<pad>"))
    with pytest.raises(TokenizerError, match=r"no end-of-text token.*declare eos_token"):
        load_tokenizer(str(folder))


def test_separator_in_pieces_is_refused(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "split_special_tokens": True},
    )
    with pytest.raises(TokenizerError, match="separator </s> becomes 4 tokens"):
        load_tokenizer(str(folder))


def test_separator_that_is_lost_beside_a_word_is_refused(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["added_tokens"][2]["single_word"] = True
    write_json(folder / "tokenizer.json", content)
    with pytest.raises(TokenizerError, match="at both ends"):
        load_tokenizer(str(folder))


def test_separator_that_comes_back_otherwise_is_refused(tmp_path: Path) -> None:
    folder = write_galactica_style(tmp_path)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["decoder"] = {"type": "Replace", "pattern": {"String": "/"}, "content": ""}
    write_json(folder / "tokenizer.json", content)
    with pytest.raises(TokenizerError, match="comes back as '<s>'"):
        load_tokenizer(str(folder))


def test_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "opt"})
    with pytest.raises(TokenizerError, match=r"no tokenizer\.json in this folder"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"model": {"type": "Unknown"}}'])
def test_broken_tokenizer_file_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(TokenizerError) as refusal:
        load_tokenizer(str(tmp_path))
    assert "\n" not in str(refusal.value)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="no such folder"):
        load_tokenizer(str(tmp_path / "nowhere"))


def test_hub_name_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TokenizerError, match=r"nobody/nothing: .*where there is a network, or give a folder"):
        load_tokenizer("nobody/nothing")


@pytest.mark.skipif("GALACTICA_TOKENIZER" not in os.environ, reason="GALACTICA_TOKENIZER names no folder")
def test_real_galactica_tokenizer_is_repaired() -> None:
    loaded = load_tokenizer(os.environ["GALACTICA_TOKENIZER"])
    assert (loaded.separator, loaded.separator_id, loaded.pad_id, loaded.vocabulary_size) == ("</s>", 2, 1, 50_000)
    assert loaded.tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == list(GALACTICA_SPECIALS)
    assert len(loaded.tokenizer("<|endoftext|>", add_special_tokens=False)["input_ids"]) == 7
    check_embedding(loaded, 50_000)
