"""What is taken from Webster's dictionary of 1913, on a dictionary made for the test."""

from __future__ import annotations

import gzip
from pathlib import Path

from data.webster_quotations import FEWEST_USES, clean_passage, passages, webster_authors, webster_quotations

COMMON = frozenset(["the", "of", "a", "is", "to", "in", "and", "patience", "virtue"])
ENTRIES = """\
Patience \\Pa"tience\\, n.
   1. The state or quality of being patient.

            Patience is the support
            Of weakness; impatience the ruin of strength.
                                                  --Colton.

            Patience is a plant that grows not in
            all gardens of the world.             --Bacon.

            Who had done so much in so little time of his. --Bacon.

            The virtue of patience is one that no unusualword
            can spoil for us.                     --Bacon.
"""


def dictionary(tmp_path: Path) -> Path:
    """The entries often enough that their words are known, but for one that is put in once."""
    path = tmp_path / "dictionary.dz"
    text = ENTRIES.replace("unusualword", "word") * FEWEST_USES + ENTRIES
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(text)
    return path


def test_a_passage_is_what_stands_far_in_up_to_its_signature(tmp_path: Path) -> None:
    first = next(passages(dictionary(tmp_path)))
    assert first.lines == ("Patience is the support", "Of weakness; impatience the ruin of strength.")
    assert first.signature == "Colton"


def test_whole_sayings_of_known_authors_in_known_words_are_taken(tmp_path: Path) -> None:
    assert webster_authors()["Bacon"] == "Francis Bacon"
    assert "Colton" not in webster_authors()
    found = set(webster_quotations(dictionary(tmp_path)))
    assert found == {
        ("Patience is a plant that grows not in all gardens of the world.", "Francis Bacon (Webster 1913)"),
        ("The virtue of patience is one that no word can spoil for us.", "Francis Bacon (Webster 1913)"),
    }


def test_a_line_of_verse_gives_up_its_capital_where_the_sentence_goes_on() -> None:
    lines = ("Virtue is to the patience", "Of a virtue and the patience of a virtue.")
    assert clean_passage(lines, COMMON) == "Virtue is to the patience of a virtue and the patience of a virtue."


def test_what_leans_on_its_book_is_left_out() -> None:
    for text in (
        "He was the patience of a virtue and the patience of virtue.",  # a story's tense
        "Which is the patience of a virtue and the patience of virtue.",  # the rest of another sentence
        "The patience of a virtue and the patience in the virtue.",  # no verb
        "The patience of Ulysses is a virtue and the patience of virtue.",  # a name
        "The patience of a virtue is",  # no end
    ):
        assert clean_passage((text,), COMMON) is None
