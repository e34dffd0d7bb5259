"""Waiting for what other processes do, and the ports that they are given."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

# Far above what anything here takes on a busy machine: a limit ends a test that would never end, and times nothing.
PATIENCE_SECONDS = 1800

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS, look_seconds: float = 0.1
) -> T:
    """Look until the condition holds. Returns: what it gave. Raises: AssertionError after so many seconds."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        time.sleep(look_seconds)
    return found


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
