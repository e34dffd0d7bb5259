import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import DataError
from data.quotes import Quote
from data.splits import Split, fingerprint, is_validation, normalise, remove_duplicates, split_quotes

WORDS = [f"{first}{second}" for first in "bdfghklmnprstvz" for second in ("an", "el", "ior", "ust", "arrow", "ink")]
# Drawn from few words, so that near duplicates do occur.
TEXTS = st.lists(st.sampled_from(["sea", "sky", "sun", "moon"]), min_size=1, max_size=8).map(" ".join)


def quote(text: str, keyword: str = "hope") -> Quote:
    return Quote(keyword=keyword, text=text)


def random_quotes(count: int, seed: int = 0) -> list[Quote]:
    words = random.Random(seed)
    return [quote(" ".join(words.choices(WORDS, k=12))) for _ in range(count)]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  Hope,  is—the THING! ", "hope is the thing"),
        ("Don’t don't", "dont dont"),
        ("Straße ﬁnal ２", "strasse final 2"),  # sharp s, fi ligature, full-width digit
        ("naïve", "naïve"),
        ("snake_case", "snake case"),
        ("…", ""),
        ("हिन्दी", "हिन्दी"),
        ("ho\u200bpe, spring\u00ads e\u2060ternal\ufeff", "hope springs eternal"),  # signs that do not show
    ],
)
def test_normalise_keeps_letters_and_digits(text: str, normal: str) -> None:
    assert normalise(text) == normal


@given(st.text())
def test_normalise_twice_is_normalise_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_side_of_a_line_is_its_hash() -> None:
    # printf 'hope is the thing with feathers' | b2sum -l 64 prints 035a1e4c7c9ca10b, and 0x035a1e / 2**24 is 0.013094.
    assert is_validation("Hope is the thing with feathers.", 0.0131)
    assert not is_validation("Hope is the thing with feathers.", 0.0130)


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_larger_share_holds_out_all_that_a_smaller_one_does(text: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert is_validation(text, large) or not is_validation(text, small)


def test_share_held_out_is_about_the_fraction() -> None:
    held_out = sum(is_validation(f"line {number}", 0.1) for number in range(10_000))
    assert abs(held_out - 1_000) < 5 * 30  # five standard deviations of a binomial with n = 10,000 and p = 0.1


def test_punctuation_and_case_do_not_move_a_line() -> None:
    assert all(is_validation(f"line {n}") == is_validation(f"«LINE, {n}!»") for n in range(200))


@given(st.lists(TEXTS), st.lists(TEXTS))
def test_adding_lines_moves_none(first: list[str], more: list[str]) -> None:
    before = [is_validation(text) for text in first]
    assert [is_validation(text) for text in first + more][: len(first)] == before


def test_exact_duplicate_goes_even_under_another_keyword() -> None:
    first = quote("Hope is the thing with feathers.")
    again = quote("hope is the thing, with FEATHERS", keyword="poetry")
    assert remove_duplicates([first, again, first]) == [first]


def test_near_duplicate_goes_and_the_first_stays() -> None:
    # 15 words are 13 triples; another word in the middle changes 3: 10 of 16 are shared, 0.625.
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    near, first = quote(text.replace("eight", "ocho")), quote(text)
    assert remove_duplicates([first, near]) == [first]
    assert remove_duplicates([near, first]) == [near]


def test_line_that_only_resembles_stays() -> None:
    # 12 words are 10 triples; another word in the middle leaves 7 of 13 shared, 0.54.
    text = "one two three four five six seven eight nine ten eleven twelve"
    quotes = [quote(text), quote(text.replace("six", "seis"))]
    assert remove_duplicates(quotes) == quotes


def test_short_lines_are_compared_whole() -> None:
    quotes = [quote("Dare."), quote("Dare!"), quote("Live."), quote("Live well."), quote("live, well")]
    assert remove_duplicates(quotes) == [quotes[0], quotes[2], quotes[3]]


@given(st.lists(TEXTS), st.lists(TEXTS))
def test_later_lines_never_change_which_earlier_ones_stay(first: list[str], more: list[str]) -> None:
    alone = remove_duplicates(map(quote, first))
    assert remove_duplicates(map(quote, first + more))[: len(alone)] == alone


def test_no_pair_that_stays_is_alike() -> None:
    rng = random.Random(1)
    lines = [rng.choices(WORDS, k=16) for _ in range(40)]
    for line in lines[:40] * 5:  # the same with one or two other words
        changed = list(line)
        for place in rng.sample(range(16), k=rng.randint(1, 2)):
            changed[place] = rng.choice(WORDS)
        lines.append(changed)
    kept = remove_duplicates(quote(" ".join(line)) for line in lines)
    triples = [{tuple(q.text.split()[start : start + 3]) for start in range(14)} for q in kept]
    pairs = [(a, b) for index, a in enumerate(triples) for b in triples[:index]]
    assert max(len(a & b) / len(a | b) for a, b in pairs) < 0.6
    assert 40 <= len(kept) < 240


def test_refrain_in_every_line_costs_no_quadratic_time() -> None:
    # 20,000 lines with eight words in common are 200 million pairs: minutes if all were compared, a second if not.
    quotes = [quote(f"u{n} v{n} w{n} said the old man of the western sea") for n in range(20_000)]
    assert remove_duplicates(quotes) == quotes


def test_split_holds_every_quote_once_and_is_decided_without_the_keyword() -> None:
    quotes = random_quotes(500)
    split = split_quotes(quotes)
    assert isinstance(split, Split)
    assert sorted(split.train + split.validation, key=quotes.index) == quotes
    renamed = split_quotes([Quote(keyword="other", text=q.text) for q in quotes])
    assert [q.text for q in renamed.validation] == [q.text for q in split.validation]


def test_split_with_more_lines_keeps_every_line_on_its_side() -> None:
    quotes = random_quotes(500)
    few, many = split_quotes(quotes[:200]), split_quotes(quotes)
    assert set(few.train) <= set(many.train)
    assert set(few.validation) <= set(many.validation)


@pytest.mark.parametrize(("fraction", "reason"), [(0.0, "nothing to hold out"), (1.0, "nothing to train on")])
def test_split_with_an_empty_side_is_refused(fraction: float, reason: str) -> None:
    with pytest.raises(DataError, match=f"^3 distinct quotes .* {reason}; add lines"):
        split_quotes(random_quotes(3), fraction)


def test_split_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match=r"^0 distinct quotes"):
        split_quotes([])


@given(st.permutations(random_quotes(6)))
def test_fingerprint_does_not_depend_on_order(quotes: list[Quote]) -> None:
    assert fingerprint(quotes) == fingerprint(random_quotes(6))


def test_fingerprint_depends_on_content_and_not_on_sources() -> None:
    plain = fingerprint([quote("a b")])
    assert len(plain) == 16
    assert int(plain, 16) >= 0
    assert fingerprint([Quote(keyword="hope", text="a b", source="a book")]) == plain
    others = [[quote("a c")], [quote("a b", keyword="love")], [quote("a b"), quote("a b")], []]
    assert len({plain, *(fingerprint(other) for other in others)}) == 5
