"""One driver for a sweep at a time: a second one in the same folder would write over what the first writes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from sweeps.planning.options import OptionsError
from trainables.records.storage import Storage

LOCK_FILE = "driver.lock"


@contextlib.contextmanager
def sole_driver(storage: Storage, name: str) -> Iterator[None]:
    """While it is entered this process drives the sweep; the system lets go of it however the process ends.

    A bucket has no such lock, and is not guarded. Raises: OptionsError where another process drives the sweep.
    """
    if not storage.is_local:
        yield
        return
    with open(Path(storage.root) / LOCK_FILE, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            process = re.fullmatch(r"\d+", file.read().strip())
            by = f", by process {process[0]}" if process else ""
            raise OptionsError(
                f"sweep {name!r} is already running{by}; wait for its end, end it with Ctrl-C, or choose another"
                " --name."
            ) from None
        except OSError:
            pass  # a file system without locks, such as some that are mounted over a network
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
