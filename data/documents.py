"""Encoded lines end to end: four bytes a token and eight a document, however many there are."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

import numpy
from numpy.typing import NDArray

from data.errors import DataError

if TYPE_CHECKING:
    from data.tokenizer import LoadedTokenizer  # only named: it brings transformers along

CHUNK_LINES = 1_000  # that are encoded at once: enough for the library's threads, few enough to hold

Places = NDArray[numpy.int64]


class Documents(Sequence[list[int]]):
    """Token ids of documents: `ids` [all tokens], end to end, and `lengths` [N] of each."""

    def __init__(self, ids: NDArray[numpy.int32], lengths: Places) -> None:
        self.ids, self.lengths = ids, lengths
        self.starts: Places = numpy.cumsum(lengths) - lengths

    @staticmethod
    def of(documents: Iterable[Sequence[int]]) -> Documents:
        """`documents` end to end."""
        ids, lengths = array("i"), array("q")
        for document in documents:
            ids.extend(document)
            lengths.append(len(document))
        return Documents(numpy.frombuffer(ids, dtype=numpy.int32), numpy.frombuffer(lengths, dtype=numpy.int64))

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.lengths)

    @overload
    def __getitem__(self, number: int) -> list[int]: ...
    @overload
    def __getitem__(self, number: slice) -> list[list[int]]: ...
    def __getitem__(self, number: int | slice) -> list[int] | list[list[int]]:
        """The ids of one document, or of several."""
        if isinstance(number, slice):
            return [self[place] for place in range(*number.indices(len(self)))]
        start = self.starts[number]
        return self.ids[start : start + self.lengths[number]].tolist()

    def followed_by(self, others: Documents, numbers: Sequence[int]) -> Documents:
        """These documents, then those of `others` with these numbers, each as often as it is named."""
        picked = numpy.array(numbers, dtype=numpy.int64)
        lengths = others.lengths[picked]
        more = gathered(others.ids, others.starts[picked], lengths)
        return Documents(numpy.concatenate([self.ids, more]), numpy.concatenate([self.lengths, lengths]))


def gathered(ids: NDArray[numpy.int32], starts: Places, lengths: Places) -> NDArray[numpy.int32]:
    """The stretches of `ids` that begin at `starts`, end to end."""
    found = numpy.empty(int(lengths.sum()), dtype=numpy.int32)
    filled = 0
    for first in range(0, len(starts), 64 * CHUNK_LINES):
        some = slice(first, first + 64 * CHUNK_LINES)
        begins, sizes = starts[some], lengths[some]
        at = numpy.repeat(begins - (numpy.cumsum(sizes) - sizes), sizes)
        at += numpy.arange(len(at))
        found[filled : filled + len(at)] = ids[at]
        filled += len(at)
    return found


def encode_documents(loaded: LoadedTokenizer, lines: Iterable[str]) -> Documents:
    """The ids of `separator + line + separator` for each line, however long.

    Raises: DataError if a line has the separator in it, which would end the document early.
    """
    return Documents.of(_encoded(loaded, iter(lines)))


def _encoded(loaded: LoadedTokenizer, lines: Iterator[str]) -> Iterator[list[int]]:
    while chunk := list(itertools.islice(lines, CHUNK_LINES)):
        texts = [f"{loaded.separator}{line}{loaded.separator}" for line in chunk]
        for line, document in zip(chunk, _ids(loaded, texts), strict=True):
            if document.count(loaded.separator_id) != 2:
                raise DataError(f"the line {line[:60]!r} has the separator {loaded.separator} in it; remove it.")
            yield document


def _ids(loaded: LoadedTokenizer, texts: list[str]) -> Iterator[list[int]]:
    tokenizer = loaded.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:  # a tokenizer in Python
        yield from tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return
    backend.no_truncation()  # a tokenizer's file may ask for either
    backend.no_padding()
    for encoding in backend.encode_batch_fast(texts, add_special_tokens=False):  # no offsets, masks and words beside
        yield encoding.ids
