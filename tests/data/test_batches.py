from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data.batches import Rows, StepPlan, collate, make_rows
from data.documents import encode_documents
from data.errors import DataError
from data.tokenizer import load_tokenizer
from tests.support.small_tokenizers import write_galactica_style, write_gpt2_style, write_json

SEPARATOR, PAD = 2, 1
# Documents as the tokenizer makes them: the separator at both ends and nowhere between.
DOCUMENTS = st.lists(
    st.lists(st.integers(4, 9), min_size=1, max_size=10).map(lambda inner: [SEPARATOR, *inner, SEPARATOR]), min_size=1
)


def padded(documents: list[list[int]], sequence_length: int) -> Rows:
    return make_rows(documents, layout="padded", sequence_length=sequence_length, pad_id=PAD, seed=0)


def packed(documents: list[list[int]], sequence_length: int, seed: int = 0) -> Rows:
    return make_rows(documents, layout="packed", sequence_length=sequence_length, pad_id=PAD, seed=seed)


def real_tokens(rows: Rows) -> list[list[int]]:
    lengths = rows.lengths.tolist()
    return [row[:length] for row, length in zip(rows.input_ids.tolist(), lengths, strict=True)]


def documents_in(row: list[int]) -> list[tuple[int, ...]]:
    ends = [place for place, token in enumerate(row) if token == SEPARATOR]
    return [tuple(row[start : end + 1]) for start, end in pairwise(ends)]


def test_galactica_style_document_stands_between_separators(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_galactica_style(tmp_path)))
    # </s> 2; h o p e are the 8th, 15th, 16th and 5th letter from id 4; colon 30; space 31; digits from 32.
    assert list(encode_documents(loaded, ["hope: a", "b19"])) == [[2, 11, 18, 19, 8, 30, 31, 4, 2], [2, 5, 33, 41, 2]]


def test_gpt2_style_document_stands_between_separators(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_gpt2_style(tmp_path)))
    assert list(encode_documents(loaded, ["b: a"])) == [[48, 1, 26, 27, 0, 48]]


@pytest.mark.parametrize("config", [None, {"tokenizer_class": "PreTrainedTokenizerFast"}])
def test_truncation_and_padding_saved_with_a_tokenizer_are_ignored(tmp_path: Path, config: dict | None) -> None:
    folder = write_galactica_style(tmp_path)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=20)
    tokenizer.save(str(folder / "tokenizer.json"))
    if config is not None:
        write_json(folder / "tokenizer_config.json", config)
    loaded = load_tokenizer(str(folder))
    assert list(encode_documents(loaded, ["abcd"])) == [[2, 4, 5, 6, 7, 2]]
    assert not any("tokenizer.json" in repair for repair in loaded.repairs)


def test_no_lines_are_no_documents(tmp_path: Path) -> None:
    assert list(encode_documents(load_tokenizer(str(write_gpt2_style(tmp_path))), [])) == []


def test_line_with_the_separator_in_it_is_refused(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_galactica_style(tmp_path)))
    with pytest.raises(DataError, match="has the separator </s> in it"):
        encode_documents(loaded, ["fine", "hope: a</s>b"])


def test_foreign_separator_is_spelt_out_by_galactica(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_galactica_style(tmp_path)))
    # '<|endoftext|>' is 13 characters, and this tokenizer knows no words.
    assert len(encode_documents(loaded, ["<|endoftext|>"])[0]) == 2 + 13


def test_padded_rows_hold_a_document_each() -> None:
    rows = padded([[2, 5, 2], [2, 6, 7, 8, 2]], sequence_length=8)
    assert rows.input_ids.tolist() == [[2, 5, 2, 1, 1], [2, 6, 7, 8, 2]]
    assert rows.labels.tolist() == [[2, 5, 2, -100, -100], [2, 6, 7, 8, 2]]
    assert rows.lengths.tolist() == [3, 5]
    assert (rows.layout, rows.truncated_documents) == ("padded", 0)


@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_document_that_is_too_long_loses_its_end_and_is_counted(layout) -> None:
    rows = make_rows([[2, 5, 6, 7, 2], [2, 5, 6, 2]], layout=layout, sequence_length=4, pad_id=PAD, seed=0)
    assert sorted(rows.labels.tolist()) == [[2, 5, 6, 2], [2, 5, 6, 7]]
    assert rows.truncated_documents == 1


def test_packed_neighbours_share_their_separator() -> None:
    rows = packed([[2, 5, 2], [2, 5, 2], [2, 5, 2]], sequence_length=8)
    assert rows.input_ids.tolist() == [[2, 5, 2, 5, 2, 5, 2, 1]]
    assert rows.labels.tolist() == [[2, 5, 2, 5, 2, 5, 2, -100]]
    assert rows.lengths.tolist() == [7]


def test_packed_document_that_does_not_fit_begins_a_row() -> None:
    rows = packed([[2, 5, 5, 2], [2, 5, 5, 2]], sequence_length=6)
    assert rows.input_ids.tolist() == [[2, 5, 5, 2, 1, 1], [2, 5, 5, 2, 1, 1]]


def test_closing_separator_is_learned_where_padding_has_its_id(tmp_path: Path) -> None:
    loaded = load_tokenizer(str(write_gpt2_style(tmp_path)))
    assert loaded.pad_id == loaded.separator_id == 48
    documents = encode_documents(loaded, ["a", "abc"])
    rows = make_rows(documents, layout="padded", sequence_length=8, pad_id=loaded.pad_id, seed=0)
    assert rows.input_ids.tolist() == [[48, 0, 48, 48, 48], [48, 0, 1, 2, 48]]
    assert rows.labels.tolist() == [[48, 0, 48, -100, -100], [48, 0, 1, 2, 48]]


@given(DOCUMENTS, st.integers(12, 40), st.integers(0, 3))
def test_packing_keeps_every_document_once(documents: list[list[int]], sequence_length: int, seed: int) -> None:
    rows = packed(documents, sequence_length, seed)
    held = Counter(document for row in real_tokens(rows) for document in documents_in(row))
    assert held == Counter(map(tuple, documents))
    assert rows.truncated_documents == 0


@given(DOCUMENTS, st.integers(2, 40), st.sampled_from(["padded", "packed"]))
def test_labels_are_hidden_on_padding_and_nowhere_else(documents, sequence_length, layout) -> None:
    # Padding has the separator's id here, the case in which a mask by id would go wrong.
    rows = make_rows(documents, layout=layout, sequence_length=sequence_length, pad_id=SEPARATOR, seed=0)
    for input_ids, labels, length in zip(rows.input_ids, rows.labels, rows.lengths.tolist(), strict=True):
        assert labels[:length].tolist() == input_ids[:length].tolist()
        assert set(labels[length:].tolist()) <= {-100}
        assert set(input_ids[length:].tolist()) <= {SEPARATOR}
    assert rows.input_ids.shape[1] <= sequence_length


def test_packing_wastes_little() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(5, 60, (3_000,), generator=generator).tolist()
    rows = packed([[2, *[5] * size, 2] for size in sizes], sequence_length=256)
    assert rows.lengths.sum() / rows.input_ids.numel() > 0.95


def test_packing_depends_on_the_seed_alone() -> None:
    documents = [[2, token, 2] for token in range(4, 40)]
    once, again, other = packed(documents, 16, 1), packed(documents, 16, 1), packed(documents, 16, 2)
    assert torch.equal(once.input_ids, again.input_ids)
    assert not torch.equal(once.input_ids, other.input_ids)


@pytest.mark.parametrize(
    ("documents", "layout", "length", "reason"),
    [
        ([], "packed", 8, "no documents"),
        ([[2, 5, 2]], "packed", 1, "sequence_length=1"),
        ([[2, 5, 2]], "stacked", 8, "layout='stacked' is unknown; known: packed, padded"),
    ],
)
def test_rows_that_cannot_be_made_are_refused(documents, layout, length: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make_rows(documents, layout=layout, sequence_length=length, pad_id=PAD, seed=0)


def test_padded_batch_is_cut_to_its_longest_row() -> None:
    rows = padded([[2, 5, 2], [2, 6, 6, 2], [2, 7, 7, 7, 7, 2]], sequence_length=8)
    batch = collate(rows, torch.tensor([1, 0]))
    assert batch.input_ids_BT.tolist() == [[2, 6, 6, 2], [2, 5, 2, 1]]
    assert batch.labels_BT.tolist() == [[2, 6, 6, 2], [2, 5, 2, -100]]


def test_packed_batch_keeps_its_length() -> None:
    batch = collate(packed([[2, 5, 2]], sequence_length=6), torch.tensor([0, 0]))
    assert batch.input_ids_BT.tolist() == [[2, 5, 2, 1, 1, 1]] * 2
    assert batch.labels_BT.tolist() == [[2, 5, 2, -100, -100, -100]] * 2


def test_batch_does_not_share_memory_with_the_rows() -> None:
    rows = packed([[2, 5, 2]], sequence_length=3)
    collate(rows, torch.tensor([0])).input_ids_BT.fill_(0)
    assert rows.input_ids.tolist() == [[2, 5, 2]]


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 5))
def test_every_epoch_reads_every_row_once(rows: int, batch_size: int, seed: int) -> None:
    plan = StepPlan(torch.ones(rows, dtype=torch.int64), batch_size, seed)
    order = torch.cat([plan.indices(step) for step in range(-(-3 * rows // batch_size))]).tolist()
    for epoch in range(3):
        assert sorted(order[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


@given(st.integers(1, 12), st.integers(1, 30), st.lists(st.integers(0, 20), min_size=1))
def test_step_is_the_same_in_whatever_order_steps_are_asked_for(rows: int, batch_size: int, steps: list[int]) -> None:
    plan = StepPlan(torch.ones(rows, dtype=torch.int64), batch_size, 7)
    for step in steps:
        fresh = StepPlan(torch.ones(rows, dtype=torch.int64), batch_size, 7)
        assert plan.indices(step).tolist() == fresh.indices(step).tolist()


def test_epochs_and_seeds_differ_from_one_another() -> None:
    plans = [StepPlan(torch.ones(50, dtype=torch.int64), 50, seed) for seed in range(3)]
    orders = {tuple(plan.indices(step).tolist()) for plan in plans for step in range(3)}
    assert len(orders) == 9  # with seed + epoch for a seed there would be 5


def test_tokens_of_a_step_are_the_real_ones_of_its_rows() -> None:
    plan = StepPlan(torch.tensor([3, 5, 7]), 3, 0)
    assert [plan.tokens(step) for step in range(3)] == [15, 15, 15]


@pytest.mark.parametrize(
    ("batch_size", "token_budget", "steps"),
    [
        (1, 1, 1),
        (1, 4, 1),
        (1, 5, 2),
        (2, 8, 1),
        (2, 9, 2),
        (3, 12, 1),
        (3, 13, 2),
        (8, 33, 2),
        (8, 32, 1),
        (100, 1, 1),
    ],
)
def test_steps_for_a_budget_of_equal_rows(batch_size: int, token_budget: int, steps: int) -> None:
    assert StepPlan(torch.tensor([4] * 5), batch_size, 0).steps_for(token_budget) == steps


@given(st.lists(st.integers(1, 9), min_size=1, max_size=10), st.integers(1, 12), st.integers(1, 200), st.integers(0, 3))
def test_steps_for_is_the_first_step_that_reaches_the_budget(lengths, batch_size, token_budget, seed) -> None:
    plan = StepPlan(torch.tensor(lengths), batch_size, seed)
    steps, read = 0, 0
    while read < token_budget:
        read += plan.tokens(steps)
        steps += 1
    assert plan.steps_for(token_budget) == steps


def test_plan_that_makes_no_sense_is_refused() -> None:
    one_row = torch.tensor([4])
    with pytest.raises(ValueError, match="no rows"):
        StepPlan(torch.tensor([], dtype=torch.int64), 1, 0)
    with pytest.raises(ValueError, match="batch_size=0"):
        StepPlan(one_row, 0, 0)
    with pytest.raises(ValueError, match="token_budget=0"):
        StepPlan(one_row, 1, 0).steps_for(0)
    with pytest.raises(ValueError, match="step=-1"):
        StepPlan(one_row, 1, 0).indices(-1)
