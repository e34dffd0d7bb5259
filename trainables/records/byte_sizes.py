"""Memory sizes as people write them, and as they read them: the one place for both. Bytes are ints everywhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from data.errors import UserError

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40
UNITS = {"KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
SHORT_UNITS = {"K": KIB, "M": MIB, "G": GIB, "T": TIB}  # as `docker`, `ulimit` and Java mean them
_FACTORS = {unit.lower(): size for unit, size in (UNITS | SHORT_UNITS).items()}


def parse_bytes(text: str) -> int:
    """Bytes in a size such as "24GiB", "512 MiB", "16GB" (10**9 each) or "24G" (2**30 each), in either case.

    Raises: UserError for anything else, and for less than one byte.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt](?:i?b)?)", text.strip(), re.IGNORECASE | re.ASCII)
    size_bytes = 0 if match is None else int(Fraction(match[1]) * _FACTORS[match[2].lower()])
    if size_bytes < 1:
        units = ", ".join([*UNITS, *SHORT_UNITS])
        raise UserError(f"{text!r} is not a memory size; write a positive number and a unit: {units}.")
    return size_bytes


@dataclass(frozen=True)
class MemoryUnit:
    """The unit in which a column or axis shows memory: its name and how many bytes it has."""

    name: str
    size_bytes: int

    def text(self, size_bytes: int) -> str:
        """`size_bytes` in this unit without its name, to three significant digits or to the whole unit."""
        value = size_bytes / self.size_bytes
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def memory_unit(sizes_bytes: Iterable[int | None]) -> MemoryUnit:
    """GiB when the largest size has one at least, else MiB."""
    largest = max((size for size in sizes_bytes if size is not None), default=0)
    return MemoryUnit("GiB", GIB) if largest >= GIB else MemoryUnit("MiB", MIB)


def memory_text(size_bytes: int) -> str:
    """`size_bytes` in GiB or MiB, whichever suits it, with the unit's name."""
    unit = memory_unit([size_bytes])
    return f"{unit.text(size_bytes)} {unit.name}"
