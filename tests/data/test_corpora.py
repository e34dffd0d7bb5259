"""The shipped corpora are what their provenance says."""

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from data.near_duplicates import LineShingles

WEBSTER = " (Webster 1913)"
CORPORA = Path(__file__).resolve().parents[2] / "data" / "corpora"


@pytest.fixture(scope="module")
def quotes() -> list[dict[str, str]]:
    return [json.loads(line) for line in (CORPORA / "quotes.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def science() -> list[str]:
    return (CORPORA / "science.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def general() -> list[str]:
    return (CORPORA / "general.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def provenance() -> str:
    return (CORPORA / "PROVENANCE.md").read_text(encoding="utf-8")


def words_of(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.casefold().replace("'", "")))


def table_of(provenance: str, title: str) -> dict[str, int]:
    body = provenance.split(f"| {title} | lines |\n|---|---|\n")[1].split("\n\n")[0]
    cells = (row.strip("| ").split(" | ") for row in body.splitlines())
    return {name: int(count) for name, count in cells}


def test_at_least_3000_quotations_over_at_least_24_keywords(quotes):
    assert len(quotes) >= 3000
    assert len({quote["keyword"] for quote in quotes}) >= 24


@pytest.mark.parametrize("keyword", ["love", "hope", "inspiration", "life", "wisdom"])
def test_the_promised_keywords_have_at_least_40_quotations(quotes, keyword):
    assert sum(quote["keyword"] == keyword for quote in quotes) >= 40


def test_no_book_and_no_author_has_more_than_two_lines_in_five(quotes):
    bible = sum(quote["source"].endswith("(KJV)") for quote in quotes)
    people = Counter(quote["source"].removesuffix(WEBSTER) for quote in quotes)
    assert bible <= 0.4 * len(quotes)
    assert max(people.values()) <= 0.1 * len(quotes)
    assert len(people) >= 200


def test_no_keyword_outweighs_the_others(quotes):
    assert max(Counter(quote["keyword"] for quote in quotes).values()) <= 150


def test_a_line_has_keyword_quote_and_source_and_nothing_else(quotes):
    assert {tuple(quote) for quote in quotes} == {("keyword", "quote", "source")}
    assert all(value.strip() == value and value for quote in quotes for value in quote.values())


def test_keywords_are_plain_lower_case_words(quotes):
    assert all(re.fullmatch(r"[a-z]+", quote["keyword"]) for quote in quotes)


def test_a_source_is_a_verse_or_a_name(quotes):
    verse = re.compile(r"(?:[123] )?[A-Z][A-Za-z ]+ \d+:\d+ \(KJV\)")
    name = re.compile(r"[A-Z][A-Za-z.'-]+(?:,? [A-Za-z.'-]+)*(?: \(Webster 1913\))?")
    assert [
        quote["source"] for quote in quotes if not (verse.fullmatch(quote["source"]) or name.fullmatch(quote["source"]))
    ] == []


def test_a_quotation_is_one_sentence_like_line_of_30_to_220_characters(quotes):
    assert all(30 <= len(quote["quote"]) <= 220 for quote in quotes)
    assert [quote for quote in quotes if not re.search(r"[.!?][\"')]?$", quote["quote"])] == []
    assert [quote for quote in quotes if not re.match(r"[\"'A-Z]", quote["quote"])] == []


def test_no_two_quotations_have_the_same_words(quotes):
    assert max(Counter(words_of(quote["quote"]) for quote in quotes).values()) == 1


def test_known_lines_stand_word_for_word_under_their_sources(quotes):
    lines = {(quote["quote"], quote["source"]) for quote in quotes}
    verse = "A time to love, and a time to hate; a time of war, and a time of peace."
    assert (verse, "Ecclesiastes 3:8 (KJV)") in lines
    assert (
        "Experience keeps a dear school, but fools will learn in no other.",
        "Benjamin Franklin (Webster 1913)",
    ) in lines


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


def test_provenance_counts_agree_with_the_file(quotes, science, general, provenance):
    assert table_of(provenance, "keyword") == Counter(quote["keyword"] for quote in quotes)
    sources = (re.sub(r" \d+:\d+ ", " ", quote["source"]) for quote in quotes)
    books_and_authors = Counter(source.removesuffix(WEBSTER) for source in sources)
    assert table_of(provenance, "author or book") == books_and_authors
    assert f"{len(quotes)} quotations over {len({quote['keyword'] for quote in quotes})} keywords" in provenance
    assert f"{len(science)} lines `headword: definition.`" in provenance
    assert f"{len(general)} lines `Country: sentence.`" in provenance


def test_provenance_names_the_packages_and_their_versions(provenance):
    for package in ("fortunes", "dict-gcide", "bible-kjv-text", "dict-wn"):
        assert re.search(rf"`{package}` [0-9][\w.:+~-]*", provenance)


def test_wordnets_notice_ships_with_its_text():
    notice = (CORPORA / "LICENSE-WordNet.txt").read_text(encoding="utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved." in notice
    assert "Permission to use, copy, modify and distribute this software and" in notice


def test_every_author_of_a_quotation_is_on_the_list_that_was_read(quotes):
    def listed(file: str) -> set[str]:
        return {row.partition("=")[0] for row in (CORPORA / file).read_text(encoding="utf-8").splitlines()}

    people = {quote["source"] for quote in quotes if not quote["source"].endswith("(KJV)")}
    webster = {source for source in people if source.endswith(WEBSTER)}
    assert {source.removesuffix(WEBSTER) for source in webster} <= listed("webster_authors.txt")
    assert people - webster <= listed("fortune_authors.txt")


def test_what_reading_put_aside_is_not_among_the_quotations(quotes):
    dropped = (CORPORA / "webster_dropped.txt").read_text(encoding="utf-8").splitlines()
    webster = [quote["quote"] for quote in quotes if quote["source"].endswith(WEBSTER)]
    assert [text for text in webster if text.startswith(tuple(dropped))] == []


def test_no_quotation_says_nearly_what_base_text_says(quotes, science, general):
    shingles = LineShingles()
    for line in (*science, *general):
        shingles.append(words_of(line.partition(": ")[2]).split())
    for quote in quotes:
        shingles.append(words_of(quote["quote"]).split())
    assert sum(shingles.near_duplicates()[-len(quotes) :]) == 0


def test_a_general_line_is_a_sentence_on_a_country(general):
    assert len(general) >= 3000
    assert [line for line in general if not re.fullmatch(r"[A-Z][A-Za-z' -]{2,30}: [A-Z].+[.!?]", line)] == []
    assert all(60 <= len(line) <= 260 and line.isascii() for line in general)
    assert max(Counter(map(words_of, general)).values()) == 1
