"""Cards: what a step's memory is compared with, found by name or by size."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from data.errors import UserError
from trainables.memory.constants import ASSUMED, Constants, constants_for
from trainables.records.byte_sizes import KIB, MIB, UNITS, memory_text, parse_bytes

# What cuBLAS keeps for a thread on Hopper and Blackwell; elsewhere it is what a trace has.
# Source: parseChosenWorkspaceSize, ATen/cuda/CublasHandlePool.cpp, torch 2.13.
LARGE_WORKSPACE_BYTES = 8 * 4096 * KIB
LARGE_WORKSPACE_FROM = 9  # the major compute capability


@dataclass(frozen=True, kw_only=True)
class Card:
    """A GPU, or without CUDA a CPU whose live tensors may take `capacity_bytes` (None: no bound).

    `name` is one that `find_card` gives, or says in words which GPU it is; None for a CPU, and for a GPU without a
    name.
    `fit` stands in for the constants that were fitted to a card of this name.
    """

    name: str | None = None
    capacity_bytes: int | None = None
    on_cuda: bool = True
    fit: Constants | None = None

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """The kind of device that a step is traced for."""
        return "cuda" if self.on_cuda else "cpu"

    @property
    def constants(self) -> Constants:
        """What the card takes beside what a trace sees; on a CPU, which takes nothing, the assumed ones."""
        return self.fit or (constants_for(self.name) if self.on_cuda else ASSUMED)

    @property
    def workspace_bytes(self) -> int | None:
        """What the matrix library keeps for a thread on this card; None: as much as in the trace."""
        fitted = self.constants.workspace_bytes
        if fitted is not None or self.name not in KNOWN_CARDS:
            return fitted
        is_large = KNOWN_CARDS[self.name].capability >= LARGE_WORKSPACE_FROM
        return LARGE_WORKSPACE_BYTES if is_large else None

    def holds(self, size_bytes: int) -> bool:
        """Whether there is room for so much, the context included where it is a GPU."""
        return self.capacity_bytes is None or size_bytes <= self.capacity_bytes

    def capped(self, cap_bytes: int | None) -> Card:
        """The same card made to behave like a smaller one; None caps nothing."""
        least = min((size for size in (self.capacity_bytes, cap_bytes) if size is not None), default=None)
        return dataclasses.replace(self, capacity_bytes=least)


UNNAMED_GPU = Card()


class KnownCard(NamedTuple):
    """Memory that the driver reports in MiB, the gigabytes that a card is sold with, major compute capability."""

    mib: int
    sold_gb: int
    capability: int
    other_names: tuple[str, ...] = ()


# Assumed: from vendors' data sheets and `nvidia-smi` outputs that people published, none of it measured here.
KNOWN_CARDS = {
    "t4": KnownCard(15_360, 16, 7),
    "a10": KnownCard(23_028, 24, 8, ("a10g",)),
    "l4": KnownCard(23_034, 24, 8),
    "l40s": KnownCard(46_068, 48, 8),
    "rtx4090": KnownCard(24_564, 24, 8),
    "a100-40": KnownCard(40_960, 40, 8),
    "a100-80": KnownCard(81_920, 80, 8),
    "h100": KnownCard(81_559, 80, 9),
    "h200": KnownCard(143_771, 141, 9),
    "b200": KnownCard(183_359, 180, 10, ("b200-192",)),
    "gh200": KnownCard(97_871, 96, 9, ("gh200-480",)),  # 480 GB are the CPU's
    "h100-nvl": KnownCard(95_830, 94, 9),
    "h20": KnownCard(97_871, 96, 9),
    "v100-16": KnownCard(16_384, 16, 7),
    "v100-32": KnownCard(32_768, 32, 7),
    "p100": KnownCard(16_384, 16, 6),
    "a40": KnownCard(46_068, 48, 8),
    "l20": KnownCard(46_068, 48, 8),
    "a4000": KnownCard(16_376, 16, 8),
    "a5000": KnownCard(24_564, 24, 8),
    "a6000": KnownCard(49_140, 48, 8),
    "rtx-pro-6000": KnownCard(97_887, 96, 12),
    "gtx1080ti": KnownCard(11_264, 11, 6),
    "rtx2080ti": KnownCard(11_264, 11, 7),
    "rtx3060": KnownCard(12_288, 12, 8),
    "rtx3080": KnownCard(10_240, 10, 8),
    "rtx3090": KnownCard(24_576, 24, 8),
    "rtx3090ti": KnownCard(24_564, 24, 8),
    "rtx4060": KnownCard(8_188, 8, 8),
    "rtx4060ti-8": KnownCard(8_188, 8, 8),
    "rtx4060ti-16": KnownCard(16_380, 16, 8),
    "rtx4070": KnownCard(12_282, 12, 8),
    "rtx4070ti": KnownCard(12_282, 12, 8),
    "rtx4070ti-super": KnownCard(16_376, 16, 8),
    "rtx4080": KnownCard(16_376, 16, 8),
    "rtx5070ti": KnownCard(16_303, 16, 12),
    "rtx5080": KnownCard(16_303, 16, 12),
    "rtx5090": KnownCard(32_607, 32, 12),
}
# The cards that answers list when none was named: those that clouds rent out, and one desktop card.
LISTED_CARDS = ("t4", "a10", "l4", "l40s", "rtx4090", "a100-40", "a100-80", "h100", "h200")

# Words of a full name that do not tell one card from another.
_IDLE_WORDS = re.compile(
    r"nvidia|geforce|tesla|[rg]tx|gpu|pcie?|sxm\d*|hbm\d*e?|nvlink|blackwell|server|workstation|edition|generation"
)


def find_card(text: str) -> Card:
    """The card that a person means: a name as people or `nvidia-smi` write it, or its memory, such as "24GiB".

    Raises: UserError for an unknown one and for one that comes in several sizes, listing what is known.
    """
    found = _NAMES.get(_spelling(text))
    if found is not None:
        return Card(name=found, capacity_bytes=KNOWN_CARDS[found].mib * MIB)
    if sizes := _sizes_of(text):
        raise UserError(f"card {text!r} comes in several sizes; write {' or '.join(sizes)}.")
    try:
        capacity_bytes = parse_bytes(text)
    except UserError:
        units = ", ".join(UNITS)
        raise UserError(
            f"unknown card {text!r}; known: {', '.join(KNOWN_CARDS)}; or give its memory, such as 24GiB ({units})."
        ) from None
    return Card(name=f"{memory_text(capacity_bytes)} card", capacity_bytes=capacity_bytes)


def card_of_driver(full_name: str, capacity_bytes: int | None) -> Card:
    """The card that a driver calls `full_name`, such as "NVIDIA H100 80GB HBM3", with the memory that it has of it.

    A name that leaves a card's size open is taken for the nearest; one that is not known, such as a part of a card
    (MIG), stays as the driver gives it, since constants may have been fitted under it.
    """
    found = _NAMES.get(_spelling(full_name))
    sizes = _sizes_of(full_name)
    if found is None and sizes and capacity_bytes is not None:
        found = min(sizes, key=lambda name: abs(KNOWN_CARDS[name].mib * MIB - capacity_bytes))
    return Card(name=found or full_name, capacity_bytes=capacity_bytes)


def listed_cards() -> list[Card]:
    """The cards that answers list, in their order."""
    return [find_card(name) for name in LISTED_CARDS]


def _spelling(name: str) -> str:
    """A name without case, marks and idle words: "NVIDIA A100-SXM4-40GB" and "a100-40" are both "a10040"."""
    words = re.findall(r"[a-z0-9.]+", name.lower())
    kept = [re.sub(r"^(\d+)(g|gb|gib)$", r"\1", word) for word in words if not _IDLE_WORDS.fullmatch(word)]
    return re.sub(r"^[rg]tx", "", "".join(kept))


def _sizes_of(text: str) -> list[str]:
    """The known cards of a name that leaves the size open."""
    wanted = _spelling(text)
    return [name for name in KNOWN_CARDS if wanted and _spelling(name.rpartition("-")[0]) == wanted]


def _all_names() -> dict[str, str]:
    """Every spelling that names one card, its size after it or not."""
    names: dict[str, str] = {}
    for name, card in KNOWN_CARDS.items():
        for known in (name, *card.other_names):
            names |= {_spelling(known): name, _spelling(f"{known}-{card.sold_gb}"): name}
    return names


_NAMES = _all_names()
