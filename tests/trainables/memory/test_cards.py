"""A card is found by whatever people call it, and holds what it holds."""

from __future__ import annotations

import pytest

from data.errors import UserError
from trainables.memory.cards import (
    KNOWN_CARDS,
    LISTED_CARDS,
    UNNAMED_GPU,
    Card,
    card_of_driver,
    find_card,
    listed_cards,
)

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a10", "a10"),
        ("NVIDIA A10G", "a10"),
        ("A10G 24GB", "a10"),
        ("Tesla T4", "t4"),
        ("4090", "rtx4090"),
        ("RTX 4090", "rtx4090"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("rtx3060", "rtx3060"),
        ("RTX 3060", "rtx3060"),
        ("NVIDIA GeForce RTX 3060", "rtx3060"),
        ("RTX 3060 12GB", "rtx3060"),
        ("NVIDIA GeForce RTX 2080 Ti", "rtx2080ti"),
        ("2080ti", "rtx2080ti"),
        ("RTX 4070 Ti SUPER", "rtx4070ti-super"),
        ("4060 Ti 16GB", "rtx4060ti-16"),
        ("NVIDIA RTX A6000", "a6000"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000"),
        ("Tesla V100-SXM2-16GB", "v100-16"),
        ("v100_32gb", "v100-32"),
        ("Tesla P100-PCIE-16GB", "p100"),
        ("NVIDIA A100-SXM4-40GB", "a100-40"),
        ("NVIDIA A100 80GB PCIe", "a100-80"),
        ("A100-80G", "a100-80"),
        ("a100_80gb", "a100-80"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100"),
        ("NVIDIA H100 NVL", "h100-nvl"),
        ("NVIDIA GH200 480GB", "gh200"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA L40S", "l40s"),
    ],
)
def test_a_card_is_found_as_people_and_nvidia_smi_name_it(text: str, name: str) -> None:
    assert find_card(text).name == name


@pytest.mark.parametrize(
    ("text", "capacity_bytes"), [("24GiB", 24 * GIB), ("24 gib", 24 * GIB), ("24G", 24 * GIB), ("16GB", 16 * 10**9)]
)
def test_a_card_can_be_named_by_its_memory(text: str, capacity_bytes: int) -> None:
    card = find_card(text)
    assert card.capacity_bytes == capacity_bytes
    assert card.name in ("24.0 GiB card", "14.9 GiB card")
    assert card.on_cuda


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("a100", "a100-40 or a100-80"), ("Tesla V100", "v100-16 or v100-32"), ("4060 Ti", "rtx4060ti-8 or rtx4060ti-16")],
)
def test_a_card_that_comes_in_several_sizes_must_be_told_apart(text: str, sizes: str) -> None:
    with pytest.raises(UserError, match=rf"^card '{text}' comes in several sizes; write {sizes}\.$"):
        find_card(text)


@pytest.mark.parametrize("text", ["b9000", "RTX 4090 Laptop GPU", "nvidia", "rtx", "", "10", "a100-60", "0GiB"])
def test_an_unknown_card_lists_the_known_ones_and_offers_a_size(text: str) -> None:
    with pytest.raises(UserError) as caught:
        find_card(text)
    message = str(caught.value)
    assert message.startswith(f"unknown card {text!r}; known: t4, a10, ")
    assert "h200, " in message
    assert "or give its memory, such as 24GiB" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("full_name", "mib", "name"),
    [
        ("NVIDIA H200", 143_771, "h200"),
        ("NVIDIA H100 PCIe", 81_559, "h100"),
        ("NVIDIA GeForce RTX 4070 Ti", 12_282, "rtx4070ti"),
        ("NVIDIA GeForce RTX 4060 Ti", 16_380, "rtx4060ti-16"),  # its name says no size
        ("NVIDIA GeForce RTX 4060 Ti", 8_188, "rtx4060ti-8"),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", 9_856, "NVIDIA A100-SXM4-80GB MIG 1g.10gb"),
        ("NVIDIA Imaginary 9000", 24_576, "NVIDIA Imaginary 9000"),
    ],
)
def test_a_card_is_named_as_its_driver_names_it_and_has_the_memory_that_is_there(
    full_name: str, mib: int, name: str
) -> None:
    assert card_of_driver(full_name, mib * 2**20) == Card(name=name, capacity_bytes=mib * 2**20)


def test_every_known_card_is_found_by_its_own_name_and_by_no_other_cards() -> None:
    assert [find_card(name).name for name in KNOWN_CARDS] == list(KNOWN_CARDS)
    assert [card.name for card in listed_cards()] == list(LISTED_CARDS)


def test_a_card_is_never_larger_than_it_is_sold_as() -> None:
    for name, known in KNOWN_CARDS.items():
        assert 0.89 * known.sold_gb * GIB < (find_card(name).capacity_bytes or 0) <= 1.001 * known.sold_gb * GIB


def test_hopper_and_blackwell_keep_32_mib_for_a_thread_and_the_others_what_is_traced() -> None:
    # torch: 4096 * 8 KiB from compute capability 9.0 on
    large = {name for name in KNOWN_CARDS if find_card(name).workspace_bytes == 32 * 2**20}
    assert {"h100", "h200", "gh200", "b200", "rtx5090"} <= large
    assert not large & {"t4", "a10", "a100-80", "rtx4090", "l40s", "v100-16"}
    assert UNNAMED_GPU.workspace_bytes is None


def test_a_card_holds_as_much_as_it_has_and_a_cap_makes_it_smaller() -> None:
    card = Card(name="a10", capacity_bytes=100)
    assert (card.holds(100), card.holds(101)) == (True, False)
    assert UNNAMED_GPU.holds(10**18)
    assert card.capped(40).capacity_bytes == 40
    assert card.capped(400) == card.capped(None) == card
    assert UNNAMED_GPU.capped(40).capacity_bytes == 40


def test_a_cpu_is_traced_as_one() -> None:
    assert (Card(on_cuda=False).device, UNNAMED_GPU.device) == ("cpu", "cuda")
