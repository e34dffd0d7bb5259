"""Documents in the user's cache folder: what takes long to compute and comes out the same each time.

A document's name is a digest of everything it depends on, so none is ever out of date; deleting the folder loses
nothing but time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data.whole_file import write_whole


def cache_folder(kind: str) -> Path:
    """Where documents of a kind, such as "traces", are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "galactica-sweeps" / kind


def cache_key(*facts: Any) -> str:
    """The name of a document that depends on `facts`, which must be plain JSON: 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def source_digest(files: Iterable[Path]) -> str:
    """A digest of program text, for what depends on how it is computed: 12 hexadecimal digits."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in sorted(files))).hexdigest()[:12]


def load_document(kind: str, key: str) -> dict[str, Any] | None:
    """The document of that kind and name, or None where there is none or it cannot be read."""
    try:
        return json.loads((cache_folder(kind) / f"{key}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def store_document(kind: str, key: str, text: str) -> None:
    """Keep a document; a reader sees it whole or not at all. A folder that cannot be written to is no error."""
    target = cache_folder(kind) / f"{key}.json"
    with contextlib.suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, text.encode())
