"""Ctrl-C: once ends the sweep in good order, twice at once."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any


class Interrupt:
    """While it is entered, the first SIGINT only sets it; the next raises KeyboardInterrupt, as without it."""

    def __init__(self) -> None:
        self.is_set = False
        self._former: Any = None

    def __enter__(self) -> Interrupt:
        self._former = signal.signal(signal.SIGINT, self._first)
        return self

    def __exit__(self, *_: object) -> None:
        """Put the former handler back."""
        signal.signal(signal.SIGINT, self._former)

    def _first(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print(
            "Ctrl-C: ending the sweep; --resume continues what runs from its checkpoints. Press again to end at once.",
            file=sys.stderr,
        )
