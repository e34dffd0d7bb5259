import pytest

from trainables.memory.cards import CARD_BYTES, card_bytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("24GiB", 25_769_803_776),
        ("24 GiB", 25_769_803_776),
        (" 512MiB\n", 536_870_912),
        ("1KiB", 1024),
        ("1.5KiB", 1536),
        ("24GB", 24_000_000_000),
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
    [
        "24X",
        "24",
        "GiB",
        "",
        "-1GiB",
        "0GiB",
        "0.0MB",
        "0.0001KiB",
        "24gib",
        "24G",
        "1e3GiB",
        "nanGiB",
        "1,5GiB",
        "2TiB",
    ],
)
def test_what_is_no_size_is_named_beside_the_units(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is looked at below
        parse_bytes(text)
    assert str(caught.value).startswith(f"{text!r} is not a memory size; ")
    assert "KiB, MiB, GiB, KB, MB, GB" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_size_with_more_digits_than_any_memory_is_still_a_number() -> None:
    assert parse_bytes("9" * 400 + "KB") == int("9" * 400) * 1000


def test_a_card_is_never_larger_than_its_name_promises() -> None:
    promised_gib = {"t4": 16, "a10": 24, "l4": 24, "l40s": 48, "rtx4090": 24, "a100-40": 40, "a100-80": 80, "h100": 80}
    promised_gib["h200"] = 141
    for name, size_gib in promised_gib.items():
        assert 0.89 * size_gib * 2**30 < card_bytes(name) <= 1.001 * size_gib * 2**30


def test_an_unknown_card_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^unknown card 'b9000'; known: t4, a10, .*, h200\.$"):
        card_bytes("b9000")


def test_every_listed_card_is_found_by_its_name() -> None:
    assert {name: card_bytes(name) for name in CARD_BYTES} == CARD_BYTES
