"""A thread beside a sweep's driver that does one small thing again and again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def repeating(act: Callable[[], object], seconds: float, name: str) -> Iterator[None]:
    """While it is entered, call `act` every so many seconds, first after as many; `act` must raise nothing.

    On leaving, a call that is under way has `seconds` to end. `name` is the thread's.
    """
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(seconds):
            act()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(seconds)
