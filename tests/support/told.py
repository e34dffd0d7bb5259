"""What a sweep says on stderr besides what it is doing."""

from __future__ import annotations

import re

DOING = re.compile(r" *\d+:\d\d(:\d\d)?  ")


def complaint(stderr: str) -> str:
    """The lines that do not tell what the sweep is doing."""
    return "".join(line for line in stderr.splitlines(keepends=True) if not DOING.match(line))
