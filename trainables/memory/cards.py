"""Cards by name, and memory sizes as people write them."""

from __future__ import annotations

import re
from fractions import Fraction

# Device memory as the driver reports it; assumed from figures that people published, not measured here.
CARD_BYTES = {
    "t4": 15_360 * 2**20,
    "a10": 23_028 * 2**20,
    "l4": 23_034 * 2**20,
    "l40s": 46_068 * 2**20,
    "rtx4090": 24_564 * 2**20,
    "a100-40": 40_960 * 2**20,
    "a100-80": 81_920 * 2**20,
    "h100": 81_559 * 2**20,
    "h200": 143_771 * 2**20,
}

_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def card_bytes(name: str) -> int:
    """Device memory of a card. Raises: ValueError for an unknown one, listing those known."""
    try:
        return CARD_BYTES[name]
    except KeyError:
        raise ValueError(f"unknown card {name!r}; known: {', '.join(CARD_BYTES)}.") from None


def parse_bytes(text: str) -> int:
    """Bytes in a size such as "24GiB" or "512MiB". Raises: ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]i?B)", text.strip())
    size_bytes = 0 if match is None else int(Fraction(match[1]) * _UNITS[match[2]])
    if size_bytes < 1:
        raise ValueError(f"{text!r} is not a memory size; write a positive number and a unit: {', '.join(_UNITS)}.")
    return size_bytes
