"""One driver for a sweep at a time: a second one in the same folder would write over what the first writes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from sweeps.planning.options import OptionsError
from sweeps.run.repeating import repeating
from trainables.records.layout import LAYOUT
from trainables.records.storage import Storage

BEAT_SECONDS = 10.0  # between two signs of life in a bucket; assumed: a request is cheap at that pace
SILENCE_SECONDS = 40.0  # after which who drove a sweep in a bucket is gone; assumed: several signs, on a busy machine


@contextlib.contextmanager
def sole_driver(storage: Storage, name: str) -> Iterator[None]:
    """While it is entered this process drives the sweep, whose folder is made where there is none.

    In a folder it holds a lock, which the system takes back however the process ends. In a bucket it gives signs of
    life; where one did not end in good order, the next waits for `SILENCE_SECONDS` to see that it is gone, and two that
    start within the same second both go on.
    Raises: OptionsError where another process drives the sweep.
    """
    with _by_lock(storage, name) if storage.is_local else _by_signs_of_life(storage, name):
        yield


@contextlib.contextmanager
def _by_lock(storage: Storage, name: str) -> Iterator[None]:
    storage.make_folder("")
    with open(Path(storage.root) / LAYOUT.driver_lock, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            process = re.fullmatch(r"\d+", file.read().strip())
            raise _is_running(name, f"process {process[0]}" if process else "") from None
        except OSError:
            pass  # a file system without locks, such as some that are mounted over a network
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


@contextlib.contextmanager
def _by_signs_of_life(storage: Storage, name: str) -> Iterator[None]:
    before = _last_sign(storage)
    if before:
        print(
            f"Sweep {name!r} was driven by {_driver(before)}: looking for {SILENCE_SECONDS:g} s whether it is.",
            flush=True,
        )
        until = time.monotonic() + SILENCE_SECONDS
        while (sign := _last_sign(storage)) == before and time.monotonic() < until:
            time.sleep(BEAT_SECONDS / 2)
        if sign and sign != before:
            raise _is_running(name, _driver(sign))

    def live() -> None:
        with contextlib.suppress(OSError):  # the next sign may come through
            _give_sign(storage)

    _give_sign(storage)
    try:
        with repeating(live, BEAT_SECONDS, "signs of life"):
            yield
    finally:
        with contextlib.suppress(OSError):
            storage.write_text(LAYOUT.driver, "")


def _give_sign(storage: Storage) -> None:
    storage.write_text(LAYOUT.driver, f"process {os.getpid()} on {socket.gethostname()} at {time.time_ns()}")


def _driver(sign: str) -> str:
    return sign.partition(" at ")[0]


def _last_sign(storage: Storage) -> str:
    """The last sign of life; none where nobody drives the sweep."""
    try:
        return storage.read_replaced(LAYOUT.driver)
    except FileNotFoundError:
        return ""


def _is_running(name: str, driver: str) -> OptionsError:
    by = f", by {driver}" if driver else ""
    return OptionsError(
        f"sweep {name!r} is already running{by}; wait for its end, end it with Ctrl-C, or choose another --name."
    )
