"""The shipped corpora are what their provenance says."""

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

CORPORA = Path(__file__).resolve().parents[2] / "data" / "corpora"


@pytest.fixture(scope="module")
def quotes() -> list[dict[str, str]]:
    return [json.loads(line) for line in (CORPORA / "quotes.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def science() -> list[str]:
    return (CORPORA / "science.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def provenance() -> str:
    return (CORPORA / "PROVENANCE.md").read_text(encoding="utf-8")


def words_of(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.casefold().replace("'", "")))


def table_of(provenance: str, title: str) -> dict[str, int]:
    body = provenance.split(f"| {title} | lines |\n|---|---|\n")[1].split("\n\n")[0]
    cells = (row.strip("| ").split(" | ") for row in body.splitlines())
    return {name: int(count) for name, count in cells}


def test_at_least_2000_quotations_over_at_least_24_keywords(quotes):
    assert len(quotes) >= 2000
    assert len({quote["keyword"] for quote in quotes}) >= 24


@pytest.mark.parametrize("keyword", ["love", "hope", "inspiration", "life", "wisdom"])
def test_the_promised_keywords_have_at_least_40_quotations(quotes, keyword):
    assert sum(quote["keyword"] == keyword for quote in quotes) >= 40


def test_no_keyword_outweighs_the_others(quotes):
    assert max(Counter(quote["keyword"] for quote in quotes).values()) <= 150


def test_a_line_has_keyword_quote_and_source_and_nothing_else(quotes):
    assert {tuple(quote) for quote in quotes} == {("keyword", "quote", "source")}
    assert all(value.strip() == value and value for quote in quotes for value in quote.values())


def test_keywords_are_plain_lower_case_words(quotes):
    assert all(re.fullmatch(r"[a-z]+", quote["keyword"]) for quote in quotes)


def test_a_source_is_a_verse_or_a_name(quotes):
    verse = re.compile(r"(?:[123] )?[A-Z][A-Za-z ]+ \d+:\d+ \(KJV\)")
    name = re.compile(r"[A-Z][A-Za-z.'-]+(?: [A-Za-z.'-]+)*")
    assert [
        quote["source"] for quote in quotes if not (verse.fullmatch(quote["source"]) or name.fullmatch(quote["source"]))
    ] == []


def test_a_quotation_is_one_sentence_like_line_of_30_to_220_characters(quotes):
    assert all(30 <= len(quote["quote"]) <= 220 for quote in quotes)
    assert [quote for quote in quotes if not re.search(r"[.!?][\"')]?$", quote["quote"])] == []
    assert [quote for quote in quotes if not re.match(r"[\"'A-Z]", quote["quote"])] == []


def test_no_two_quotations_have_the_same_words(quotes):
    assert max(Counter(words_of(quote["quote"]) for quote in quotes).values()) == 1


def test_a_known_verse_stands_word_for_word(quotes):
    sources = {quote["source"]: quote["quote"] for quote in quotes}
    assert sources["Proverbs 27:17 (KJV)"] == "Iron sharpeneth iron; so a man sharpeneth the countenance of his friend."


def test_text_is_plain_and_stays_itself_under_nfkc(quotes, science):
    for line in [*(quote["quote"] for quote in quotes), *science]:
        assert unicodedata.normalize("NFKC", line) == line
        assert line.isascii()
        assert "  " not in line


def test_at_least_6000_lines_of_science_in_the_shape_headword_definition(science):
    assert len(science) >= 6000
    assert [line for line in science if not re.fullmatch(r"\S.*?: .+\.", line)] == []


def test_a_science_line_has_40_to_300_characters(science):
    assert all(40 <= len(line) <= 300 for line in science)


def test_no_two_science_lines_or_definitions_have_the_same_words(science):
    assert max(Counter(map(words_of, science)).values()) == 1
    assert max(Counter(words_of(line.partition(": ")[2]) for line in science).values()) == 1


def test_virus_is_the_infectious_agent_in_the_science_text(science):
    assert any(line.startswith("virus: (virology) ultramicroscopic infectious agent") for line in science)


def test_provenance_counts_agree_with_the_file(quotes, science, provenance):
    assert table_of(provenance, "keyword") == Counter(quote["keyword"] for quote in quotes)
    books_and_authors = Counter(re.sub(r" \d+:\d+ ", " ", quote["source"]) for quote in quotes)
    assert table_of(provenance, "author or book") == books_and_authors
    assert f"{len(quotes)} quotations over {len({quote['keyword'] for quote in quotes})} keywords" in provenance
    assert f"{len(science)} lines `headword: definition.`" in provenance


def test_provenance_names_the_packages_and_their_versions(provenance):
    for package in ("fortunes", "bible-kjv-text", "dict-wn"):
        assert re.search(rf"`{package}` [0-9][\w.:+~-]*", provenance)


def test_wordnets_notice_ships_with_its_text():
    notice = (CORPORA / "LICENSE-WordNet.txt").read_text(encoding="utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved." in notice
    assert "Permission to use, copy, modify and distribute this software and" in notice


def test_every_author_of_a_quotation_is_on_the_list_that_was_read(quotes):
    rows = (CORPORA / "fortune_authors.txt").read_text(encoding="utf-8").splitlines()
    authors = {row.partition("=")[0] for row in rows}
    assert {quote["source"] for quote in quotes if not quote["source"].endswith("(KJV)")} <= authors
