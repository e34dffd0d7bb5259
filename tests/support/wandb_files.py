"""Reads a run's `.wandb` file back: LevelDB's log framing around wandb's own protobuf records.

Source: leveldb/doc/log_format.md; wandb.proto.wandb_internal_pb2.Record. Checksums are not verified.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

FILE_HEADER_BYTES = 7  # wandb's own: ":W&B", a magic number, a version
BLOCK_BYTES = 32 * 1024
CHUNK_HEADER_BYTES = 7  # checksum (4), length (2), kind (1)
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class StoredArtifact:
    """An artifact as it waits for upload: its kind, and where each of its files lies."""

    kind: str
    files: dict[str, Path]


@dataclass
class StoredRun:
    """What a run's file says."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    exit_code: int | None = None
    axes: dict[str, str] = field(default_factory=dict)  # which metric each is drawn against
    artifacts: dict[str, StoredArtifact] = field(default_factory=dict)

    @property
    def charts(self) -> dict[str, Any]:
        """The charts that the run's page draws by itself, by key."""
        prefix = "_wandb.visualize."
        return {name.removeprefix(prefix): chart for name, chart in self.config.items() if name.startswith(prefix)}


def records(path: Path) -> Iterator[Any]:
    """The protobuf records of a file, in order."""
    content, at, parts = path.read_bytes(), FILE_HEADER_BYTES, b""
    while at + CHUNK_HEADER_BYTES <= len(content):
        left = BLOCK_BYTES - at % BLOCK_BYTES
        if left < CHUNK_HEADER_BYTES:  # padding at a block's end
            at += left
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        at += CHUNK_HEADER_BYTES
        parts = (parts if kind in (MIDDLE, LAST) else b"") + content[at : at + length]
        at += length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()  # pyright: ignore[reportAttributeAccessIssue]  # made at import
            record.ParseFromString(parts)
            yield record


def put(into: dict[str, Any], item: Any) -> None:
    """Set what a config, history or summary item says, under its key or nested keys joined by dots."""
    into[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)


def read_run(folder: Path) -> StoredRun:
    """The run whose local folder is `folder`."""
    (path,) = folder.glob("*.wandb")
    stored = StoredRun()
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            stored.run = record.run
            stored.tags = list(record.run.tags)
            for item in record.run.config.update:
                put(stored.config, item)
        elif kind == "config":
            for item in record.config.update:
                put(stored.config, item)
        elif kind == "history":
            row: dict[str, Any] = {}
            for item in record.history.item:
                put(row, item)
            stored.history.append(row)
        elif kind == "summary":
            for item in record.summary.update:
                put(stored.summary, item)
        elif kind == "metric":
            stored.axes[record.metric.name] = record.metric.step_metric
        elif kind == "artifact":
            files = {entry.path: Path(entry.local_path) for entry in record.artifact.manifest.contents}
            stored.artifacts[record.artifact.name] = StoredArtifact(record.artifact.type, files)
        elif kind == "exit":
            stored.exit_code = record.exit.exit_code
    return stored
