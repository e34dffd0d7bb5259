"""Which sweeps a board follows: the one it was given, or every sweep of a folder or bucket, those to come as well."""

from __future__ import annotations

import json

from analysis.serve.board_data import FollowedSweep
from analysis.sweep_table.load import RecordsError
from trainables.records.layout import LAYOUT
from trainables.records.storage import Storage

_NOTHING = {"cursor": "0:", "sweep": None, "sweeps": [], "folder": "", "waiting": 0, "whole": True, "rows": []}
_NOTHING |= {"front": [], "best": None}


class FollowedSweeps:
    """The sweeps of a board, by folder. `look` is for one thread; what it has found is there for all.

    Of many, those are followed that a page asked for, and the newest: what nobody looks at costs nothing.
    """

    def __init__(self, storage: Storage, *, every: bool = False) -> None:
        """Raises: RecordsError where one sweep was meant and there is none."""
        self.storage = storage
        self._every = every
        self._found: dict[str, FollowedSweep] = {}
        self._asked: set[str] = set()
        if not every:
            self._found[""] = FollowedSweep(storage)

    def names(self) -> list[str]:
        """Folders of the sweeps, the newest first; [""] where the storage is itself the one sweep."""
        found = dict(self._found)  # another thread may be adding to it
        return sorted(found, key=lambda name: (found[name].facts.created_at, name), reverse=True)

    def get(self, name: str) -> FollowedSweep | None:
        """The sweep in the folder `name`, from now on followed; None where there is none."""
        found = self._found.get(name)
        if found is not None:
            self._asked.add(name)
        return found

    def look(self) -> None:
        """Read what is new. Raises: OSError when the storage does not answer."""
        if self._every:
            for name in self.storage.list_folders(""):
                if name not in self._found and self.storage.exists(f"{name}/{LAYOUT.facts}"):
                    self._add(name)
        for name in {*self._asked, *self.names()[:1]}:
            self._found[name].look()

    def since(self, cursor: str | None, name: str | None) -> str | None:
        """JSON of the sweep `name`, the newest for none: what changed after `cursor`, and what there is to choose from.

        Returns: None where nothing is new.
        """
        names = self.names()
        folder = name or next(iter(names), "")
        sweep = self.get(name) if name else self._found.get(folder)
        count, _, seen = (cursor or "").partition(":")
        if sweep is None:
            return None if cursor == _NOTHING["cursor"] else json.dumps(_NOTHING)
        if seen == sweep.cursor and count == str(len(names)) and not sweep.waiting:
            return None
        return sweep.since(seen, before=f"{len(names)}:", folder=folder, sweeps=names if self._every else [])

    def _add(self, name: str) -> None:
        try:
            self._found[name] = FollowedSweep(self.storage.child(name))
        except RecordsError:
            return  # half written or foreign: it is looked at again
