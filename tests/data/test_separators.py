import time

import pytest

from data.separators import separator_in, unwrap

WRAPS = [
    ("<|endoftext|>", "<|endoftext|>"),
    ("<s>", "</s>"),
    ("</s>", "</s>"),
    ("", "</s>"),
    ("<s> ", ""),
    ("<|begin_of_text|>", "<|end_of_text|>"),
    ("<|startoftext|>", " <|endoftext|>"),
    ("<bos>", "<eos>"),
    ("<BOS>", "<EOS>"),
    ("[CLS] ", " [SEP]"),
    ("[BOS]", "[EOS]"),
    ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    ("<start_of_turn>", "<end_of_turn>"),
    ("<|endoftext|><|endoftext|>", "</s> <pad><pad>"),
]


@pytest.mark.parametrize(("before", "after"), WRAPS)
def test_separators_at_the_ends_come_off(before: str, after: str) -> None:
    text, first, last = unwrap(f"{before}hope: a [b] <c> d{after}\n")
    assert text.strip() == "hope: a [b] <c> d"
    assert (bool(first), bool(last)) == (bool(before), bool(after))
    assert before.startswith(first)
    assert after.endswith(last)


@pytest.mark.parametrize(
    "text", ["hope: a", "[hope]: a", "hope: a <3", "hope: <b>a</b>", "hope: a [sic]", "", "<", "["]
)
def test_other_brackets_are_text(text: str) -> None:
    assert unwrap(text) == (text, "", "")
    assert separator_in(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a</s>b", "</s>"),
        ("a <|im_end|> b", "<|im_end|>"),
        ("a [/INST] b", "[/INST]"),
        ("a<|endof", "<|"),
        ("text|> a", "|>"),
        ("a </", "</"),
        ("a <s", "<s"),
    ],
)
def test_separator_within_is_found_and_so_is_a_piece(text: str, found: str) -> None:
    assert separator_in(text) == found


def test_line_of_separators_alone_is_nothing() -> None:
    assert unwrap(" <|endoftext|> </s>\n") == ("", "<|endoftext|>", "</s>") or unwrap(" <|endoftext|> </s>\n")[0] == ""


@pytest.mark.parametrize("text", ["<" * 2**20, "<s>" * 2**18, "a" + " " * 2**20 + "<", "[" + " " * 2**20 + "]"])
def test_long_line_takes_no_quadratic_time(text: str) -> None:
    begun = time.process_time()
    unwrap(text)
    separator_in(text)
    assert time.process_time() - begun < 20  # a second in truth; hours if it were quadratic
