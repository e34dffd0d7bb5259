"""Where a worker's seconds go: each part of its work by name, and what it is doing now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

PARTS = (
    "data",
    "model_load",
    "base_figures",
    "rehearsal",
    "steps",
    "saving",
    "evaluation",
    "sampling",
    "scoring",
)


class TimeSplit:
    """Wall seconds by part; a part within another counts for itself alone, so that the parts add up.

    `on_part(name)` hears which part begins.
    """

    def __init__(self, on_part: Callable[[str], None] | None = None) -> None:
        self._on_part = on_part
        self._seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since = time.monotonic()

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the enclosed work as `name`, one of `PARTS`."""
        assert name in PARTS, name
        self._turn()
        self._open.append(name)
        if self._on_part:
            self._on_part(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each part so far, those that came to nothing left out."""
        self._turn()
        return {name: round(self._seconds[name], 3) for name in PARTS if name in self._seconds}

    def _turn(self) -> None:
        """Give the time since the last turn to the innermost part that is open."""
        now = time.monotonic()
        if self._open:
            self._seconds[self._open[-1]] = self._seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now
