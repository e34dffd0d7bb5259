"""The attempts at one trial, written down before each begins: what a lost driver did is known to the next."""

from __future__ import annotations

import json
import time
from typing import Any

from trainables.records.layout import LAYOUT
from trainables.records.record import FailureKind, Interruption
from trainables.records.storage import Storage
from trainables.records.sweep_folder import load_progress


class Attempts:
    """Attempts at the trial `trial_id`. One that was begun and never ended was cut off with its driver."""

    def __init__(self, storage: Storage, trial_id: str) -> None:
        self._storage, self._trial_id = storage, trial_id
        self._all = self._earlier()
        for attempt in self._all:
            if attempt["seconds"] is None:
                attempt |= {"kind": FailureKind.WORKER_LOST, "error": "the trial's driver was lost"}
                attempt["seconds"] = max(0.0, self._last_sign(attempt["began_at"]) - attempt["began_at"])

    @property
    def interruptions(self) -> tuple[Interruption, ...]:
        """What ended the attempts that were followed by another."""
        return tuple(
            Interruption(kind=FailureKind(attempt["kind"]), error=attempt["error"], seconds=attempt["seconds"])
            for attempt in self._all
            if attempt["kind"] is not None
        )

    @property
    def seconds(self) -> float:
        """Over all attempts: how long workers were held."""
        return sum(attempt["seconds"] or 0.0 for attempt in self._all)

    def begin(self) -> None:
        """Write down that an attempt begins."""
        self._all.append({"began_at": time.time(), "seconds": None, "kind": None, "error": None})
        self._write()

    @property
    def left_over_bytes(self) -> int | None:
        """What the last attempt left on a device; None where none came to its end."""
        return self._all[-1].get("left_over_bytes") if self._all else None

    def end(
        self, kind: FailureKind | None = None, error: str | None = None, left_over_bytes: int | None = None
    ) -> None:
        """Write down how the attempt ended; without a kind, with the workers' own report."""
        attempt = self._all[-1]
        attempt |= {"seconds": time.time() - attempt["began_at"], "kind": kind, "error": error}
        attempt["left_over_bytes"] = left_over_bytes
        self._write()

    def _write(self) -> None:
        self._storage.write_text(LAYOUT.trial(self._trial_id).attempts, json.dumps(self._all))

    def _earlier(self) -> list[dict[str, Any]]:
        try:
            return json.loads(self._storage.read_text(LAYOUT.trial(self._trial_id).attempts))
        except FileNotFoundError:
            return []

    def _last_sign(self, began_at: float) -> float:
        progress = load_progress(self._storage, self._trial_id)
        return began_at if progress is None else progress["told_at"]
