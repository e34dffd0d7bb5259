import itertools
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.near_duplicates import LineShingles

FEW = st.lists(st.lists(st.sampled_from("abcd"), max_size=12), max_size=32)


def near_duplicates(lines: list[list[str]]) -> list[bool]:
    shingles = LineShingles()
    for line in lines:
        shingles.append(line)
    return shingles.near_duplicates()


def by_comparing_all(lines: list[list[str]]) -> list[bool]:
    """The same by what it means: every line against every kept one."""
    kept: list[set[tuple[str, ...]]] = []
    found = []
    for line in lines:
        triples = set(zip(line, line[1:], line[2:], strict=False))
        close = any(triples and 5 * len(triples & other) >= 3 * len(triples | other) for other in kept)
        found.append(close)
        if not close:
            kept.append(triples)
    return found


@given(FEW)
def test_few_lines_are_told_as_by_comparing_all(lines: list[list[str]]) -> None:
    assert near_duplicates(lines) == by_comparing_all(lines)


@pytest.mark.parametrize("seed", range(2))
def test_many_lines_are_told_as_by_comparing_all(seed: int) -> None:
    rng = random.Random(seed)
    words = [f"w{number}" for number in range(400)]
    lines = [rng.choices(words, k=rng.randint(0, 20)) for _ in range(300)]
    for line in rng.choices(lines, k=700):  # the same with up to four other words
        changed = list(line)
        for _ in range(rng.randint(0, 4) if line else 0):
            changed[rng.randrange(len(line))] = rng.choice(words)
        lines.append(changed)
    expected = by_comparing_all(lines)
    assert 100 < sum(expected) < 700
    assert near_duplicates(lines) == expected


def test_line_of_three_fifths_is_close_and_of_less_is_not() -> None:
    line = ["one", "two", "three", "four", "five", "six", "seven", "eight"]  # six triples
    assert near_duplicates([line, [*line, "nine", "ten", "eleven", "twelve"]]) == [False, True]  # 6 of 10
    assert near_duplicates([line, [*line, "nine", "ten", "eleven", "twelve", "more"]]) == [False, False]  # 6 of 11


def test_lines_of_one_pattern_that_differ_in_their_last_word_are_close() -> None:
    # Each triple stands in 48 lines or more, and leads nowhere after 32; a run of eight words is the pair's alone.
    names = [f"n{number}" for number in range(24)]
    pairs = list(itertools.product(names, names))
    random.Random(0).shuffle(pairs)
    lines = [f"{a} sees {a} and so what {b} says {b} near the {end}" for a, b in pairs for end in ("hill", "lake")]
    # Another name at one place leaves 7 triples of 13 or fewer; another end leaves 9 of 11.
    assert near_duplicates([line.split() for line in lines]) == [False, True] * len(pairs)


def test_nothing_and_lines_of_no_words_are_close_to_none() -> None:
    assert near_duplicates([]) == []
    assert near_duplicates([[], ["a"], ["a", "b"], [""], []]) == [False] * 5


def test_line_as_long_as_a_book_is_taken() -> None:
    book = [f"w{number}" for number in range(200_000)]
    assert near_duplicates([book, book[1:], book[:1_000]]) == [False, True, False]


def test_progress_is_told_line_by_line() -> None:
    shingles, told = LineShingles(), []
    for line in ("a b c", "d e f", "a b c d"):
        shingles.append(line.split())
    assert shingles.near_duplicates(told.append) == [False, False, False]
    assert told == [1, 2, 3]


def test_memory_of_a_line_is_a_few_hundred_bytes() -> None:
    # 100,000 lines of 18 words, half of them near copies: in a process of its own, whose peak is this alone.
    program = """
import random, resource
from data.near_duplicates import LineShingles
rng = random.Random(0)
words = [f"w{n}" for n in range(50_000)]
shingles = LineShingles()
for n in range(50_000):
    line = rng.choices(words, k=18)
    shingles.append(line)
    shingles.append([*line[:-1], "other"])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert sum(shingles.near_duplicates()) == 50_000
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 100_000)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert float(told) < 1_500
