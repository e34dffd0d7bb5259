"""Sizes as people write them are read to the byte, and shown in the unit that suits them."""

from __future__ import annotations

import pytest

from data.errors import UserError
from trainables.records.byte_sizes import memory_text, memory_unit, parse_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("24GiB", 25_769_803_776),
        ("24 GiB", 25_769_803_776),
        ("24gib", 25_769_803_776),
        ("24G", 25_769_803_776),  # without a B they are powers of two, as for `docker` and Java
        ("24g", 25_769_803_776),
        (" 512MiB\n", 536_870_912),
        ("1KiB", 1024),
        ("1.5KiB", 1536),
        ("2TiB", 2_199_023_255_552),
        ("24GB", 24_000_000_000),
        ("24gb", 24_000_000_000),
        ("0.3MB", 300_000),
        ("1KB", 1000),
        ("0.001KB", 1),
        ("9007199254740993KiB", 9_223_372_036_854_776_832),  # 2**53 + 1: a float would lose the one
    ],
)
def test_a_size_with_its_unit_is_read_to_the_byte(text: str, size_bytes: int) -> None:
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    ["24X", "24", "GiB", "", "-1GiB", "0GiB", "0.0MB", "0.0001KiB", "24Gi", "1e3GiB", "nanGiB", "1,5GiB", "٢GiB"],
)
def test_what_is_no_size_is_named_beside_the_units(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_bytes(text)
    assert str(caught.value).startswith(f"{text!r} is not a memory size; ")
    assert "KiB, MiB, GiB, TiB, KB, MB, GB, TB, K, M, G, T" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_size_with_more_digits_than_any_memory_is_still_a_number() -> None:
    assert parse_bytes("9" * 400 + "KB") == int("9" * 400) * 1000


def test_a_size_is_shown_in_the_unit_that_suits_it_to_three_digits() -> None:
    sizes = (2**19, 45 * 2**20, 1023 * 2**20, 2**30, 3 * 2**29, 24 * 2**30, 1500 * 2**30)
    assert [memory_text(size) for size in sizes] == [
        "0.50 MiB",
        "45.0 MiB",
        "1,023 MiB",
        "1.00 GiB",
        "1.50 GiB",
        "24.0 GiB",
        "1,500 GiB",
    ]


def test_sizes_that_stand_together_share_the_unit_of_the_largest() -> None:
    assert memory_unit([2**20, None, 2**30]).text(2**29) == "0.50"
    assert memory_unit([]).name == "MiB"
