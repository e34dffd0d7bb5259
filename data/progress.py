"""How far a long piece of work has come, told on stderr: nothing of what takes a few seconds.

Where the program tells what it is doing anyway (data/doing.py), how far it has come is part of that.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from data.doing import doing, is_told

QUIET_SECONDS = 3.0  # before anything is told
REDRAW_SECONDS, LOG_SECONDS = 0.5, 15.0  # between two tellings: on a terminal, in a log
LOOK_EVERY = 1_024  # quick pieces between looks at the clock

T = TypeVar("T")
Told = Callable[[int], None]
"""Takes how many pieces are done, one by one or some at a time."""


@contextlib.contextmanager
def progress(what: str, unit: str = "lines", look_every: int = LOOK_EVERY) -> Iterator[Told]:
    """Tells of the work within, such as `reading quotes.txt: 120,000 lines`.

    A terminal shows it on one line that goes when the work ends; a log gets a line four times a minute.
    """
    if is_told():
        so_far = 0

        def keep(done: int) -> None:
            nonlocal so_far
            so_far = done

        with doing(lambda: f"{what}: {so_far:,} {unit}" if so_far else what):
            yield keep
        return
    if multiprocessing.parent_process() is not None:  # one of several at work: the one that started them tells
        yield lambda done: None
        return
    begun = time.monotonic()
    is_terminal = sys.stderr.isatty()
    pause = REDRAW_SECONDS if is_terminal else LOG_SECONDS
    due = begun + (QUIET_SECONDS if is_terminal else LOG_SECONDS)
    looked, has_told = 0, False

    def tell(done: int) -> None:
        nonlocal due, looked, has_told
        if done - looked < look_every:
            return
        looked, now = done, time.monotonic()
        if now < due:
            return
        due, has_told = now + pause, True
        line = f"{what}: {done:,} {unit}, {now - begun:.0f} s"
        print(f"\r\033[K{line}" if is_terminal else line, end="" if is_terminal else "\n", file=sys.stderr, flush=True)

    try:
        yield tell
    finally:
        if has_told and is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def telling(items: Iterable[T], told: Told) -> Iterator[T]:
    """The `items`, telling how many have been taken."""
    for number, item in enumerate(items, 1):
        told(number)
        yield item
