"""From lines to batches: documents, rows of one length, and the order in which training reads them.

Padding is told by position alone. A mask made from ids would, wherever padding and separator share an id, hide every
closing separator from the loss, and the model would never learn to stop.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from data.errors import DataError
from data.tokenizer import LoadedTokenizer

Layout = Literal["packed", "padded"]
IGNORED_LABEL = -100
OPEN_ROWS = 32
"""Rows that still take documents while packing (assumed: enough to fill gaps, few enough to stay near-linear)."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Token rows ready to train on; not shifted, the model shifts.

    `input_ids` and `labels` are [N, T] and int64; labels are -100 on padding and nowhere else. `lengths` [N] counts the
    real tokens of each row. `truncated_documents` lost their end, and with it their closing separator.
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    lengths: torch.Tensor
    layout: Layout
    truncated_documents: int


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one step reads: `input_ids_BT` and `labels_BT`, int64, labels -100 on padding."""

    input_ids_BT: torch.Tensor
    labels_BT: torch.Tensor


def encode_documents(loaded: LoadedTokenizer, lines: Sequence[str]) -> list[list[int]]:
    """The ids of `separator + line + separator` for each line, however long.

    Raises: DataError if a line has the separator in it, which would end the document early.
    """
    if not lines:
        return []
    texts = [f"{loaded.separator}{line}{loaded.separator}" for line in lines]
    documents: list[list[int]] = loaded.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    for line, document in zip(lines, documents, strict=True):
        if document.count(loaded.separator_id) != 2:
            raise DataError(f"the line {line[:60]!r} has the separator {loaded.separator} in it; remove it.")
    return documents


def make_rows(
    documents: Sequence[Sequence[int]], *, layout: Layout, sequence_length: int, pad_id: int, seed: int
) -> Rows:
    """Lays documents out in rows of at most `sequence_length` tokens.

    padded: one document a row, in order; T is the longest row. packed: documents shuffled by `seed` and whole documents
    joined, neighbours sharing the separator between them (`</s>a</s>b</s>`); T is `sequence_length`.
    Raises: ValueError for an unknown layout, no documents, or rows too short for a separator and one token.
    """
    if layout not in get_args(Layout):
        raise ValueError(f"layout={layout!r} is unknown; known: {', '.join(get_args(Layout))}.")
    if sequence_length < 2:
        raise ValueError(f"sequence_length={sequence_length} is too short; give 2 or more.")
    if not documents:
        raise ValueError("there are no documents to lay out; give one or more.")
    rows: list[Sequence[int]] = [document[:sequence_length] for document in documents]
    truncated = sum(len(document) > sequence_length for document in documents)
    if layout == "packed":
        random.Random(seed).shuffle(rows)
        rows = _pack(rows, sequence_length)
    width = sequence_length if layout == "packed" else max(len(row) for row in rows)
    input_ids = torch.full((len(rows), width), pad_id, dtype=torch.int64)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = torch.tensor(row, dtype=torch.int64)
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    is_padding = torch.arange(width) >= lengths[:, None]
    labels = input_ids.masked_fill(is_padding, IGNORED_LABEL)
    return Rows(input_ids=input_ids, labels=labels, lengths=lengths, layout=layout, truncated_documents=truncated)


def _pack(documents: Sequence[Sequence[int]], sequence_length: int) -> list[Sequence[int]]:
    """First fit among the last `OPEN_ROWS` rows begun; a row is done when it leaves that window."""
    done: list[Sequence[int]] = []
    open_rows: list[list[int]] = []
    for document in documents:
        room = sequence_length + 1 - len(document)  # + 1: the separator in between stands once
        row = next((row for row in open_rows if len(row) <= room), None)
        if row is None:
            open_rows.append(list(document))
            if len(open_rows) > OPEN_ROWS:
                done.append(open_rows.pop(0))
        else:
            assert row[-1] == document[0], "a document must start with the separator that the one before it ended with"
            row.extend(document[1:])
    return done + open_rows


class StepPlan:
    """The order in which training reads rows, open at every step, so that a data position is just a step number.

    Every epoch is a permutation of its own, made from seed and epoch alone. A batch that reaches the end of an epoch
    goes on in the next: no row is dropped, and none is read twice within an epoch.
    """

    def __init__(self, lengths: torch.Tensor, batch_size: int, seed: int) -> None:
        """`lengths` [N]: the real tokens of each row. Raises: ValueError without rows or with an empty batch."""
        if len(lengths) == 0:
            raise ValueError("there are no rows to train on; give one or more.")
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} is no batch; give 1 or more.")
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def indices(self, step: int) -> torch.Tensor:
        """The rows of step `step` (from 0): int64 [batch_size]."""
        if step < 0:
            raise ValueError(f"step={step} is negative; steps count from 0.")
        rows = len(self.lengths)
        position, end = step * self.batch_size, (step + 1) * self.batch_size
        parts = []
        while position < end:
            epoch, start = divmod(position, rows)
            part = self._epoch_order(epoch)[start : start + end - position]
            parts.append(part)
            position += len(part)
        return torch.cat(parts)

    def tokens(self, step: int) -> int:
        """The real tokens that step `step` reads."""
        return int(self.lengths[self.indices(step)].sum())

    def steps_for(self, token_budget: int) -> int:
        """The smallest number of steps that together read at least `token_budget` real tokens."""
        if token_budget < 1:
            raise ValueError(f"token_budget={token_budget} buys no step; give 1 or more.")
        whole_epochs, rest = divmod(token_budget - 1, int(self.lengths.sum()))
        read_in_epoch = self.lengths[self._epoch_order(whole_epochs)].cumsum(0)
        rows = whole_epochs * len(self.lengths) + int(torch.searchsorted(read_in_epoch, rest + 1)) + 1
        return -(-rows // self.batch_size)

    def _epoch_order(self, epoch: int) -> torch.Tensor:
        if epoch != self._epoch:
            # A hash, not a sum: with seed + epoch, the second epoch of one seed would be the first of the next.
            digest = hashlib.blake2b(f"{self.seed}/{epoch}".encode(), digest_size=7).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
            self._order = torch.randperm(len(self.lengths), generator=generator)
            self._epoch = epoch
        return self._order


def collate(rows: Rows, indices: torch.Tensor) -> Batch:
    """The rows of a batch as tensors of their own: packed rows whole, padded rows cut to the longest of them."""
    width = rows.input_ids.shape[1]
    if rows.layout == "padded":
        width = int(rows.lengths[indices].max())
    return Batch(input_ids_BT=rows.input_ids[indices, :width], labels_BT=rows.labels[indices, :width])
