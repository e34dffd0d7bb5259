"""Which lines are trained on and which are held out.

The side of a line is decided by a hash of its own words and by nothing else, so that adding lines never moves one
from validation to training. Duplicates go first, because the two copies of a line could otherwise stand on both sides.
"""

import hashlib
import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data.errors import DataError
from data.quotes import Quote

SHINGLE_WORDS = 3
NEAR_DUPLICATE_SIMILARITY = 0.6
"""Jaccard similarity of word triples from which two lines count as one (assumed: it forgives one word in fifteen)."""

LINES_PER_SHINGLE = 32
"""Kept lines that one word triple leads to; a phrase in more lines than that (an attribution, a refrain) points out no
duplicate, and following it would make the time quadratic. Near duplicates are missed only if all they share is such."""


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
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kept = (character for character in folded if character not in "'’" and not _is_invisible(character))
    joined = unicodedata.normalize("NFKC", "".join(kept))  # what stood on either side of one may now be one letter
    return " ".join("".join(character if _in_word(character) else " " for character in joined).split())


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) == "Cf"  # format characters


def _in_word(character: str) -> bool:
    # Marks belong to letters: without them the words of Indic and Arabic scripts fall apart.
    return character.isalnum() or unicodedata.category(character).startswith("M")


def is_validation(text: str, fraction: float = 0.1) -> bool:
    """Whether `text` is held out: a property of its normalised words alone, on every machine and in any company."""
    digest = hashlib.blake2b(normalise(text).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < fraction


def remove_duplicates(quotes: Iterable[Quote]) -> list[Quote]:
    """The quotes without exact and near duplicates, whatever their keywords; the first of each kind stays.

    A quote goes when a kept one before it has the same normalised text or shares word triples with Jaccard similarity
    of at least `NEAR_DUPLICATE_SIMILARITY`. What comes later never changes which earlier quotes stay.
    """
    kept: list[Quote] = []
    seen_texts: set[str] = set()
    shingles_of_kept: list[frozenset[str]] = []
    kept_with_shingle: defaultdict[str, list[int]] = defaultdict(list)
    for quote in quotes:
        normalised = normalise(quote.text)
        if normalised in seen_texts:
            continue
        seen_texts.add(normalised)
        shingles = _shingles(normalised)
        candidates = {index for shingle in shingles for index in kept_with_shingle.get(shingle, ())}
        if any(_similarity(shingles, shingles_of_kept[index]) >= NEAR_DUPLICATE_SIMILARITY for index in candidates):
            continue
        for shingle in shingles:
            if len(kept_with_shingle[shingle]) < LINES_PER_SHINGLE:
                kept_with_shingle[shingle].append(len(kept))
        kept.append(quote)
        shingles_of_kept.append(shingles)
    return kept


def _shingles(normalised: str) -> frozenset[str]:
    words = normalised.split(" ")
    if len(words) < SHINGLE_WORDS:
        return frozenset([normalised])
    return frozenset(" ".join(words[start : start + SHINGLE_WORDS]) for start in range(len(words) - SHINGLE_WORDS + 1))


def _similarity(left: frozenset[str], right: frozenset[str]) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def split_quotes(quotes: Sequence[Quote], fraction: float = 0.1) -> Split:
    """The quotes that are trained on and those that are held out (about `fraction`), by the hash of each text.

    Raises: DataError if one side would be empty.
    """
    train = tuple(quote for quote in quotes if not is_validation(quote.text, fraction))
    validation = tuple(quote for quote in quotes if is_validation(quote.text, fraction))
    if not train or not validation:
        empty = "nothing to train on" if not train else "nothing to hold out"
        raise DataError(
            f"{len(quotes)} distinct quotes with a validation share of {fraction:g} leave {empty}; "
            f"add lines (100 or more are a fair start)."
        )
    return Split(train=train, validation=validation)


def fingerprint(quotes: Iterable[Quote]) -> str:
    """Sixteen hex digits that stand for the keywords and texts of `quotes`, in whatever order they come.

    A line that stands twice counts twice; sources do not count, since no model sees them.
    """
    documents = sorted(json.dumps([quote.keyword, quote.text], ensure_ascii=False) for quote in quotes)
    return hashlib.blake2b("\n".join(documents).encode(), digest_size=8).hexdigest()
