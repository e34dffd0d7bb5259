"""Texts as words, and words as numbers: what fluency, novelty and diversity are all counted over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy
from numpy.typing import NDArray

from data.splits import normalise

Integers = NDArray[numpy.int64]
ASCII_WORD = re.compile("[a-z0-9]+")
LOG_UNIT = 2.0**-20
"""Logarithms are whole multiples of this: sums of them are exact, and the last bit of a machine's own logarithm, in
which machines differ, is rounded away."""


def words_of(text: str) -> list[str]:
    """The words of `text`: case folded, letters and digits only. Punctuation is no word."""
    if text.isascii():  # the same words, a hundred times sooner
        return ASCII_WORD.findall(text.lower().replace("'", ""))
    return normalise(text).split()


def exact_log(values: NDArray[numpy.float64]) -> Integers:
    """Natural logarithms of `values`, in whole `LOG_UNIT`s."""
    return numpy.rint(numpy.log(values) / LOG_UNIT).astype(numpy.int64)


def pack(columns: Sequence[Integers], size: int) -> Integers:
    """One number for each row of `columns`, whose entries lie below `size`; equal rows alone have equal numbers.

    Raises: OverflowError when they do not fit in 63 bits.
    """
    if size ** len(columns) >= 2**63:
        raise OverflowError(f"{len(columns)} columns of {size} values do not fit in 63 bits.")
    packed = numpy.zeros_like(columns[0])
    for column in columns:
        packed = packed * size + column
    return packed


def lookup(keys: Integers, values: Integers, wanted: Integers) -> Integers:
    """`values` where the sorted `keys` hold what is wanted, 0 elsewhere."""
    if not len(keys):
        return numpy.zeros(len(wanted), dtype=numpy.int64)
    places = numpy.minimum(numpy.searchsorted(keys, wanted), len(keys) - 1)
    return numpy.where(keys[places] == wanted, values[places], 0)


def joined(rows: Iterable[Sequence[int]]) -> tuple[Integers, Integers]:
    """All rows end to end, and the number of the row that each entry comes from."""
    rows = list(rows)
    flat = numpy.array([entry for row in rows for entry in row], dtype=numpy.int64)
    return flat, numpy.repeat(numpy.arange(len(rows)), [len(row) for row in rows])
