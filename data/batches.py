"""From lines to batches: documents, rows of one length, and the order in which training reads them.

Padding is told by position alone. A mask made from ids would, wherever padding and separator share an id, hide every
closing separator from the loss, and the model would never learn to stop.
"""

import hashlib
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy
import torch

from data.documents import Documents, Places, gathered

Layout = Literal["packed", "padded"]
IGNORED_LABEL = -100
OPEN_ROWS = 32
"""Rows that still take documents while packing (assumed: enough to fill gaps, few enough to stay near-linear)."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Token rows ready to train on; not shifted, the model shifts.

    `ids` holds the real tokens of all rows end to end, int32; those of a row begin at `starts` [N] and are `lengths`
    [N], both int64. Padded with `pad_id` rows are `width` wide. `truncated_documents` lost their end, and with it their
    closing separator.
    """

    ids: torch.Tensor
    starts: torch.Tensor
    lengths: torch.Tensor
    width: int
    pad_id: int
    layout: Layout
    truncated_documents: int

    @property
    def input_ids(self) -> torch.Tensor:
        """All rows, [N, width] and int64."""
        return _padded(self, torch.arange(len(self.lengths)), self.width).input_ids_BT

    @property
    def labels(self) -> torch.Tensor:
        """The labels of all rows, [N, width] and int64: -100 on padding and nowhere else."""
        return _padded(self, torch.arange(len(self.lengths)), self.width).labels_BT


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one step reads: `input_ids_BT` and `labels_BT`, int64, labels -100 on padding."""

    input_ids_BT: torch.Tensor
    labels_BT: torch.Tensor


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
    documents = documents if isinstance(documents, Documents) else Documents.of(documents)
    order, row_of = _lay_out(documents.lengths, layout, sequence_length, seed)
    begins = numpy.diff(row_of, prepend=-1) > 0  # a document that is not the first of its row leaves its separator out
    starts = documents.starts[order] + ~begins
    lengths = numpy.minimum(documents.lengths[order], sequence_length) - ~begins
    row_lengths = numpy.bincount(row_of, weights=lengths).astype(numpy.int64)
    return Rows(
        ids=torch.from_numpy(gathered(documents.ids, starts, lengths)),
        starts=torch.from_numpy(numpy.cumsum(row_lengths) - row_lengths),
        lengths=torch.from_numpy(row_lengths),
        width=sequence_length if layout == "packed" else int(row_lengths.max()),
        pad_id=pad_id,
        layout=layout,
        truncated_documents=int((documents.lengths > sequence_length).sum()),
    )


def row_lengths(lengths: Places, *, layout: Layout, sequence_length: int, seed: int) -> Places:
    """The real tokens of each row that `make_rows` makes of documents of these lengths."""
    order, row_of = _lay_out(lengths, layout, sequence_length, seed)
    counts = numpy.bincount(row_of)
    filled = numpy.bincount(row_of, weights=numpy.minimum(lengths[order], sequence_length)).astype(numpy.int64)
    return filled - (counts - 1)  # neighbours share a separator


def _lay_out(lengths: Places, layout: Layout, sequence_length: int, seed: int) -> tuple[Places, Places]:
    """The numbers of the documents in the order in which they stand in rows, and the row of each."""
    order = list(range(len(lengths)))
    if layout == "padded":
        every = numpy.arange(len(lengths))
        return every, every
    random.Random(seed).shuffle(order)
    shuffled = numpy.array(order, dtype=numpy.int64)
    row_of = _pack(numpy.minimum(lengths[shuffled], sequence_length).tolist(), sequence_length)
    by_row = numpy.argsort(row_of, kind="stable")
    return shuffled[by_row], row_of[by_row]


def _pack(lengths: Sequence[int], sequence_length: int) -> Places:
    """The row of each document: first fit among the last `OPEN_ROWS` rows begun; a row is done when it leaves those."""
    row_of = array("q")
    rooms: list[int] = []  # of the open rows, the first of which is row `first`
    first = 0
    for length in lengths:
        needed = length - 1  # the separator in between stands once
        for place, room in enumerate(rooms):
            if room >= needed:
                rooms[place] = room - needed
                row_of.append(first + place)
                break
        else:
            rooms.append(sequence_length - length)
            row_of.append(first + len(rooms) - 1)
            if len(rooms) > OPEN_ROWS:
                del rooms[0]
                first += 1
    return numpy.frombuffer(row_of, dtype=numpy.int64)


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
    width = rows.width if rows.layout == "packed" else int(rows.lengths[indices].max())
    return _padded(rows, indices, width)


def _padded(rows: Rows, indices: torch.Tensor, width: int) -> Batch:
    lengths = rows.lengths[indices]
    input_ids_BT = torch.full((len(indices), width), rows.pad_id, dtype=torch.int64)
    for place, (start, length) in enumerate(zip(rows.starts[indices].tolist(), lengths.tolist(), strict=True)):
        input_ids_BT[place, :length] = rows.ids[start : start + length]
    is_padding_BT = torch.arange(width) >= lengths[:, None]
    return Batch(input_ids_BT=input_ids_BT, labels_BT=input_ids_BT.masked_fill(is_padding_BT, IGNORED_LABEL))
