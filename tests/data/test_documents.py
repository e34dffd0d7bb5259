"""Encoded lines, held end to end: the very ids that the tokenizer gives, whatever is asked of them."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.batches import make_rows, row_lengths
from data.contract import LINES_BEFORE_A_TRIAL, spread
from data.documents import CHUNK_LINES, Documents, encode_documents
from data.quotes import load_quotes, load_science
from data.replay import Mixture, draw_replay
from data.tokenizer import load_tokenizer
from tests.support.small_tokenizers import write_galactica_style, write_gpt2_style
from trainables.model.models import NANO_FOLDER

DOCUMENTS = st.lists(st.lists(st.integers(3, 60_000), max_size=9).map(lambda inner: [2, *inner, 2]), max_size=9)


@given(DOCUMENTS)
def test_documents_come_back_as_they_went_in(documents: list[list[int]]) -> None:
    held = Documents.of(documents)
    assert (len(held), list(held), held[1:3]) == (len(documents), documents, documents[1:3])
    assert held.ids.nbytes == 4 * sum(map(len, documents))


@given(DOCUMENTS.filter(bool), DOCUMENTS.filter(bool), st.lists(st.integers(0, 50), max_size=20))
def test_more_documents_follow_in_the_order_in_which_they_are_named(
    documents: list[list[int]], others: list[list[int]], numbers: list[int]
) -> None:
    picked = [number % len(others) for number in numbers]
    together = Documents.of(documents).followed_by(Documents.of(others), picked)
    assert list(together) == documents + [others[number] for number in picked]


def test_lines_are_split_as_the_tokenizer_itself_splits_them() -> None:
    loaded = load_tokenizer(str(NANO_FOLDER / "nano-0.3m"))
    lines = [quote.line for quote in load_quotes("shipped")][: 2 * CHUNK_LINES + 7]
    lines += ["größe: ½ naïve—\u200bça", "love:  two  spaces ", "", "x: " + "long " * 3_000]
    texts = [f"{loaded.separator}{line}{loaded.separator}" for line in lines]
    expected = loaded.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    assert list(encode_documents(loaded, iter(lines))) == expected


def test_quotes_and_drawn_base_text_are_the_documents_of_their_lines() -> None:
    loaded = load_tokenizer(str(NANO_FOLDER / "nano-0.3m"))
    quotes, base = [quote.line for quote in load_quotes("shipped")][:60], load_science()[:40]
    for ratio, count in ((0.0, 0), (0.5, 30), (2.0, 120)):
        expected = encode_documents(loaded, [*quotes, *draw_replay(base, count, 3)])
        assert list(Mixture(loaded, iter(quotes), base).documents(ratio, 3)) == list(expected)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=150), st.integers(2, 30), st.integers(0, 3))
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_lengths_of_rows_are_known_without_the_rows(
    layout, lengths: list[int], sequence_length: int, seed: int
) -> None:
    documents = [[2, *[5] * (length - 2), 2] for length in lengths]
    rows = make_rows(documents, layout=layout, sequence_length=sequence_length, pad_id=1, seed=seed)
    told = row_lengths(numpy.array(lengths), layout=layout, sequence_length=sequence_length, seed=seed)
    assert told.tolist() == rows.lengths.tolist()


def test_tokenizers_that_split_alike_have_one_identity(tmp_path: Path) -> None:
    small, middle = (load_tokenizer(str(NANO_FOLDER / name)).identity for name in ("nano-0.3m", "nano-1m"))
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = (
        load_tokenizer(str(write_galactica_style(tmp_path / "one"))),
        load_tokenizer(str(write_gpt2_style(tmp_path / "two"))),
    )
    assert small == middle
    assert len({small, one.identity, two.identity}) == 3


@pytest.mark.parametrize("count", [0, 1, 1_999, 2_000, 2_001, 4_001, 1_000_000])
def test_a_spread_of_lines_is_even_and_short(count: int) -> None:
    found = spread(range(count))
    assert len(found) <= LINES_BEFORE_A_TRIAL
    assert len(found) > min(count - 1, LINES_BEFORE_A_TRIAL // 2 - 1)
    assert list(found[:1]) == list(range(count))[:1]
