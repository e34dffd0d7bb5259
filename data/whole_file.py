"""A file is written whole or not at all, whatever dies in between."""

from __future__ import annotations

import contextlib
import os
import uuid


def write_whole(target: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` in place of what `target` holds: written beside it, flushed, renamed. Its folder must be there.

    Raises: OSError, and then nothing lies beside it.
    """
    beside = f"{os.fspath(target)}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    finally:
        with contextlib.suppress(OSError):  # it is gone where it became the target
            os.unlink(beside)
