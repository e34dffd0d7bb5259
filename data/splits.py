"""Which lines are trained on and which are held out.

The side of a line is decided by a hash of its own words and by nothing else, so that adding lines never moves one
from validation to training. Duplicates go first, because the two copies of a line could otherwise stand on both sides.
"""

import hashlib
import itertools
import json
import operator
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from data.errors import DataError
from data.near_duplicates import LineShingles
from data.quotes import Quote

ASCII_WORD = re.compile("[a-z0-9]+")
Digests = NDArray[numpy.uint64]
DOCUMENT = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Quotes to train on and quotes that are held out."""

    train: tuple[Quote, ...]
    validation: tuple[Quote, ...]


def normalise(text: str) -> str:
    """The words of `text` alone: case folded, NFKC, letters and digits only, single spaces.

    Apostrophes vanish (`don't` and `dont` are one word), and so do signs that do not show, such as zero-width spaces
    and soft hyphens, which would else hide a copy; anything else that is no letter or digit parts two words.
    """
    if text.isascii():  # the same words, a hundred times sooner
        return " ".join(ASCII_WORD.findall(text.lower().replace("'", "")))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    joined = unicodedata.normalize("NFKC", folded.translate(SHOWN))  # what one stood between may now be one letter
    return " ".join(joined.translate(WORDS_ALONE).split())


class _Shown(dict[int, int | None]):
    """For `str.translate`: a character as it is, or nothing for an apostrophe or a sign that does not show."""

    def __missing__(self, code: int) -> int | None:
        is_nothing = chr(code) in "'’" or unicodedata.category(chr(code)) == "Cf"  # format characters
        self[code] = None if is_nothing else code
        return self[code]


class _WordsAlone(dict[int, int]):
    """For `str.translate`: a letter or digit as it is, a space for anything else."""

    def __missing__(self, code: int) -> int:
        # Marks belong to letters: without them the words of Indic and Arabic scripts fall apart.
        is_in_word = chr(code).isalnum() or unicodedata.category(chr(code)).startswith("M")
        self[code] = code if is_in_word else ord(" ")
        return self[code]


SHOWN, WORDS_ALONE = _Shown(), _WordsAlone()


def is_validation(text: str, fraction: float = 0.1) -> bool:
    """Whether `text` is held out: a property of its normalised words alone, on every machine and in any company."""
    return digest_of(normalise(text)) / 2**64 < fraction


def digest_of(normalised: str) -> int:
    """A number of 64 bits that stands for a normalised text, on every machine."""
    return int.from_bytes(hashlib.blake2b(normalised.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, kw_only=True)
class DistinctQuotes:
    """Quotes of which none says what an earlier one says, and the `digest_of` each one's normalised text."""

    quotes: list[Quote]
    digests: Digests


def distinct_quotes(quotes: Iterable[Quote], progress: Callable[[int], None] | None = None) -> DistinctQuotes:
    """The quotes without exact and near duplicates, whatever their keywords; the first of each kind stays.

    A quote goes when a kept one before it has the same normalised text or nearly the same (`data.near_duplicates`).
    What comes later never changes which earlier quotes stay. `progress` is told how many different ones are done.
    """
    different: list[Quote] = []
    digests = array("Q")
    seen: set[int] = set()
    shingles = LineShingles()
    for quote in quotes:
        normalised = normalise(quote.text)
        digest = digest_of(normalised)
        if digest not in seen:
            seen.add(digest)
            digests.append(digest)
            shingles.append(normalised.split(" "))
            different.append(quote)
    del seen
    close = shingles.near_duplicates(progress)
    kept = [quote for quote, is_close in zip(different, close, strict=True) if not is_close]
    return DistinctQuotes(quotes=kept, digests=numpy.frombuffer(digests, dtype=numpy.uint64)[~numpy.array(close, bool)])


def remove_duplicates(quotes: Iterable[Quote]) -> list[Quote]:
    """The quotes of `distinct_quotes`."""
    return distinct_quotes(quotes).quotes


def split_quotes(quotes: Sequence[Quote], fraction: float = 0.1, digests: Digests | None = None) -> Split:
    """The quotes that are trained on and those that are held out (about `fraction`), by the hash of each text.

    `digests` are those of `distinct_quotes`, where they are known. Raises: DataError if one side would be empty.
    """
    if digests is None:
        is_held_out = [is_validation(quote.text, fraction) for quote in quotes]
    else:
        is_held_out = held_out_mask(digests, fraction).tolist()
    train = tuple(itertools.compress(quotes, map(operator.not_, is_held_out)))
    validation = tuple(itertools.compress(quotes, is_held_out))
    if not train or not validation:
        empty = "nothing to train on" if not train else "nothing to hold out"
        raise DataError(
            f"{len(quotes)} distinct quotes with a validation share of {fraction:g} leave {empty}; "
            f"add lines (100 or more are a fair start)."
        )
    return Split(train=train, validation=validation)


def held_out_mask(digests: Digests, fraction: float = 0.1) -> NDArray[numpy.bool_]:
    """Which texts are held out, by their digests, as `is_validation` says it of each."""
    return digests.astype(numpy.float64) * 2.0**-64 < fraction


def fingerprint(quotes: Iterable[Quote]) -> str:
    """Sixteen hex digits that stand for the keywords and texts of `quotes`, in whatever order they come.

    A line that stands twice counts twice; sources do not count, since no model sees them.
    """
    documents = sorted(DOCUMENT.encode([quote.keyword, quote.text]) for quote in quotes)
    digest = hashlib.blake2b(digest_size=8)
    for number, document in enumerate(documents):
        digest.update(f"\n{document}".encode() if number else document.encode())
    return digest.hexdigest()
