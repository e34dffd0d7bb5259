"""What a program is doing, told from its first second: one line that moves on a terminal, now and then a line in a log.

All of it goes to stderr. Where no program tells, as in a notebook or a test, `doing` costs nothing and says nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

LOOK_SECONDS = 0.25  # between looks whether a line is due
NEWS_SECONDS = 2.0  # between two lines of a log that say different things
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 4.0, 60.0  # between two lines of a log: longer as the program runs longer
PAUSES = 60  # the pause is this part of the time that has passed: a run of an hour has under 300 lines, of a day 1,700
DUMB = ("dumb", "unknown")  # what a terminal that cannot move its cursor is called

Text = str | Callable[[], str]


def span_text(seconds: float) -> str:
    """A time as a person says it: "42 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock_text(seconds: float) -> str:
    """A time since the start, as a clock has it: "0:42", "3:20", "2:05:03"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    text: Text
    begun: float

    def now(self) -> str:
        return self.text if isinstance(self.text, str) else self.text()


class Teller:
    """Tells what is being done while it is entered, nothing before `quiet_seconds` have passed."""

    def __init__(self, quiet_seconds: float = 0.0) -> None:
        self._begun = time.monotonic()
        self._due = self._begun + quiet_seconds
        self._works: list[_Work] = []  # innermost last
        self._told: _Work | None = None  # in the last line of a log
        self._told_at = self._begun
        self._stop = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)
        self._on_terminal = sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in DUMB
        self._live: Any = None
        self._is_suspended = False

    def __enter__(self) -> Teller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Say no more; what moved on a terminal is gone from it."""
        self._stop.set()
        self._thread.join()
        self._end_live()

    def begin(self, text: Text) -> None:
        """Something is begun; it is told at once where nothing was told before."""
        self._works.append(_Work(text=text, begun=time.monotonic()))
        if self._told is None:
            self.look()

    def end(self) -> None:
        """What was begun last has ended."""
        self._works.pop()

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Leaves the terminal to something else that moves; a log goes on."""
        self._is_suspended = True
        with self._looking:
            self._end_live()
        try:
            yield
        finally:
            self._is_suspended = False

    def look(self) -> None:
        """Say what is due."""
        with self._looking:
            now, works = time.monotonic(), self._works[-1:]
            if not works or now < self._due:
                return
            if self._on_terminal:
                self._begin_live()
                return
            (work,) = works
            pause = min(LONGEST_PAUSE_SECONDS, max(PAUSE_SECONDS, (now - self._begun) / PAUSES))
            if work is not self._told and pause == PAUSE_SECONDS:
                pause = NEWS_SECONDS
            if self._told is not None and now - self._told_at < pause:
                return
            is_news, self._told, self._told_at = work is not self._told, work, now
            so_far = "" if is_news or callable(work.text) else f", {span_text(now - work.begun)} so far"
            print(f"{clock_text(now - self._begun):>7s}  {work.now()}{so_far}", file=sys.stderr, flush=True)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self.look()

    def _begin_live(self) -> None:
        if self._live is not None or self._is_suspended:
            return
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            get_renderable=self._picture,
            console=Console(file=sys.stderr),
            refresh_per_second=4,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start(refresh=True)

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _picture(self) -> RenderableType:
        from rich.text import Text as Styled

        works, now = self._works[-1:], time.monotonic()
        if not works:
            return Styled("")
        line = f"{works[0].now()}  {span_text(now - works[0].begun)}, {span_text(now - self._begun)} in all"
        return Styled(line, style="cyan", overflow="ellipsis", no_wrap=True)


_teller: Teller | None = None


@contextlib.contextmanager
def telling_what(quiet_seconds: float = 0.0) -> Iterator[None]:
    """A program tells what it is `doing`; within another that tells already, this is part of it."""
    global _teller
    if _teller is not None:
        yield
        return
    with Teller(quiet_seconds) as _teller:
        try:
            yield
        finally:
            _teller = None


@contextlib.contextmanager
def doing(text: Text) -> Iterator[None]:
    """What is done within, such as "starting Ray", is told while it lasts; a callable is asked again and again."""
    teller = _teller
    if teller is None:
        yield
        return
    teller.begin(text)
    try:
        yield
    finally:
        teller.end()


def leaving_the_terminal() -> contextlib.AbstractContextManager[None]:
    """While it is entered, nothing is told on a terminal, as something else moves there."""
    return contextlib.nullcontext() if _teller is None else _teller.suspended()


def is_told() -> bool:
    """Whether a program tells what it does."""
    return _teller is not None


def _forget() -> None:
    global _teller
    _teller = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # a child has not its thread, and tells nothing
