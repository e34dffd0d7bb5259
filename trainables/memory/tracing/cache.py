"""Traces kept on disk under a name made of everything they depend on. Standard library only: reading one is quick."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from trainables.memory.tracing.timeline import Allocation, MemoryTrace
from trainables.records import disk_cache

KIND = "traces"

PROGRAMS = ("torch", "transformers", "peft")
TRAINABLES = Path(__file__).resolve().parents[2]
SOURCES = ("memory/**/*.py", "memory/constants.json", "model/models.py", "model/step.py", "records/record.py")


@functools.cache
def version() -> str:
    """What predicts: the torch version and a short hash of it, transformers, peft and our own source."""
    programs = [f"{name} {_version_of(name)}" for name in PROGRAMS]
    sources = [path.read_bytes() for pattern in SOURCES for path in sorted(TRAINABLES.glob(pattern))]
    digest = hashlib.sha256(b"\0".join([*(p.encode() for p in programs), *sources])).hexdigest()
    return f"{programs[0]}, {digest[:12]}"


def cache_key(facts: dict[str, Any]) -> str:
    """The name of a trace that depends on `facts`, which must be plain JSON, and on `version()`."""
    return disk_cache.cache_key(version(), facts)


def load_trace(key: str) -> MemoryTrace | None:
    """The trace of that name, or None where there is none or it cannot be read."""
    document = disk_cache.load_document(KIND, key)
    if document is None:
        return None
    try:
        labels = [tuple(label) for label in document["labels"]]
        return MemoryTrace(
            allocations=tuple(Allocation(size, *labels[label]) for size, label in document["allocations"]),
            events=tuple(document["events"]),
            block_bytes=document["block_bytes"],
        )
    except (KeyError, TypeError, IndexError):
        return None


def store_trace(key: str, trace: MemoryTrace) -> None:
    """Keep a trace under a name."""
    labels = {label: number for number, label in enumerate(dict.fromkeys(a[1:] for a in trace.allocations))}
    document = {
        "block_bytes": trace.block_bytes,
        "labels": list(labels),
        "allocations": [(a.size_bytes, labels[a[1:]]) for a in trace.allocations],
        "events": trace.events,
    }
    disk_cache.store_document(KIND, key, json.dumps(document, separators=(",", ":")))


def _version_of(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
