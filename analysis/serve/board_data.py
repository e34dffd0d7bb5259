"""Follows a sweep in its folder or bucket for the board: every record is read once, what runs is looked at again."""

from __future__ import annotations

import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from threading import Lock
from typing import Any

from analysis.ladder.ladder_files import LadderFiles, load_ladder
from analysis.serve.board_rows import board_row, detail, ladder_json, objective_words, running_row
from analysis.serve.local_page import visible
from analysis.sweep_table.front import Contender, Standing, contender_of, decide
from analysis.sweep_table.ladder_tables import ladder_tables
from analysis.sweep_table.load import READERS, read_facts
from data.errors import one_line
from trainables.records.documents import figures_from_json, from_json
from trainables.records.layout import LAYOUT
from trainables.records.record import TrialRecord
from trainables.records.storage import Storage

LADDER_SECONDS = 5.0  # a ladder's predictions and gates are files of their own, looked at no oftener
AT_ONCE = 64  # records read before the page may ask again


@dataclass(frozen=True, kw_only=True)
class _Ladder:
    """What a ladder's page last showed: from how many records and which files, and when these were looked at."""

    count: int
    files: LadderFiles | None
    looked_at: float
    page: dict[str, Any] | None


class FollowedSweep:
    """The rows of a sweep, and the order in which they changed.

    `look` is for one thread; what it has found is there for all.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.facts = read_facts(storage)
        self.waiting = 0  # trials that the first look has yet to read
        self._run = secrets.token_hex(4)  # a cursor of another run of the program is worth nothing
        self._ended: set[str] = set()
        self._proposals: dict[str, dict[str, Any]] = {}
        self._rows: dict[str, str] = {}
        self._changed: list[str] = []
        self._contenders: dict[str, Contender] = {}
        self._kinds: dict[str, tuple[str, frozenset[str]]] = {}  # each contender's model, and the cards that hold it
        self._rungs: dict[str, TrialRecord] = {}  # a ladder's records without their samples, for its fits
        self._ladder: _Ladder | None = None
        self._ladder_lock = Lock()
        self._standing: tuple[int, Standing] = (0, decide(()))  # and of how many contenders

    @property
    def cursor(self) -> str:
        """Says what a page has seen."""
        return f"{self._run}.{len(self._changed)}"

    def look(self) -> None:
        """Read what is new. Raises: OSError when the storage does not answer."""
        owed = [name for name in self.storage.list_folders(LAYOUT.trials) if name not in self._ended]
        self.waiting = len(owed)
        with ThreadPoolExecutor(max_workers=1 if self.storage.is_local else READERS) as pool:
            for start in range(0, len(owed), AT_ONCE):
                for trial_id, row in pool.map(self._read, owed[start : start + AT_ONCE]):
                    self._put(trial_id, row)
                self.waiting = max(0, len(owed) - start - AT_ONCE)

    def since(self, cursor: str | None, *, before: str = "", **more: Any) -> str:
        """JSON of the sweep and of the rows that changed after `cursor`; all of them for another run's or None.

        `before` stands before the new cursor, and `more` beside the sweep.
        """
        end = len(self._changed)
        run, _, seen = (cursor or "").partition(".")
        start = int(seen) if run == self._run and seen.isdecimal() else 0
        names = dict.fromkeys(self._changed[start:end])
        head = {
            "cursor": f"{before}{self._run}.{end}",
            "sweep": {
                "name": visible(self.facts.name),
                "question": visible(self.facts.question),
                "trials": self.facts.plan.trials,
                "objectives": objective_words(self.facts.aims),
                "is_ladder": bool(self.facts.plan.rung_trials),
            },
            **asdict(self._whole_standing()),
            "waiting": self.waiting,
            "whole": start == 0,
            **more,
        }
        rows = ",".join(self._rows[name] for name in names)
        return f'{json.dumps(head)[:-1]}, "rows": [{rows}]}}'

    def standing(self, model: str = "", card: str = "") -> Standing:
        """Front and best of the trials of `model` that `card` has room for; "" for any of either."""
        kinds = dict(self._kinds)
        return decide(
            contender
            for trial_id, contender in dict(self._contenders).items()
            if trial_id in kinds and model in ("", kinds[trial_id][0]) and (not card or card in kinds[trial_id][1])
        )

    def ladder(self) -> dict[str, Any] | None:
        """The tables and points of a size ladder; None for another sweep, and while no rung has a finished trial.

        Raises: OSError when the storage does not answer.
        """
        if not self.facts.plan.rung_trials:
            return None
        count, now = len(self._rungs), time.monotonic()
        with self._ladder_lock:  # several pages ask, and the fits take a while
            known = self._ladder
            if known is None or known.count != count or now - known.looked_at > LADDER_SECONDS:
                files = load_ladder(self.storage, self.facts.plan)
                if known is None or (known.count, known.files) != (count, files):
                    records = sorted(dict(self._rungs).values(), key=lambda record: record.number)
                    tables = ladder_tables(self.facts.plan, records, files) if files else None
                    known = _Ladder(count=count, files=files, looked_at=now, page=tables and ladder_json(tables))
                self._ladder = known = replace(known, looked_at=now)
            return known.page

    def detail(self, trial_id: str) -> dict[str, Any] | None:
        """The whole of a trial that is listed and has ended, read again since only its row is kept; else None."""
        if trial_id not in self._ended:
            return None
        record = self._record(trial_id, whole=True)
        return (
            detail(record, self.facts.aims)
            if isinstance(record, TrialRecord)
            else {"unreadable": visible(record or "")}
        )

    def _read(self, trial_id: str) -> tuple[str, dict[str, Any] | None]:
        record = self._record(trial_id, whole=False)
        if isinstance(record, TrialRecord):
            self._ended.add(trial_id)
            if self.facts.plan.rung_trials:
                self._rungs[trial_id] = record
            row: dict[str, Any] = board_row(record, self.facts.aims) | {"trial_id": trial_id}
            contender = contender_of(record, self.facts.aims)
            if contender is not None:
                cards: dict[str, Any] = row["cards"]
                fitting = frozenset(card for card, need in cards.items() if need.get("fits"))
                self._kinds[trial_id] = (row["model"], fitting)
                self._contenders[trial_id] = replace(contender, trial_id=trial_id)
            return trial_id, row
        if trial_id not in self._proposals:
            self._proposals[trial_id] = self._json(LAYOUT.trial(trial_id).proposal)
        progress = self._json(LAYOUT.trial(trial_id).progress) if record is None else {}
        row = running_row(trial_id, self._proposals[trial_id], progress)
        if record is not None:
            self._ended.add(trial_id)
            row |= {"outcome": "unreadable", "error": visible(record)}
        return trial_id, row

    def _record(self, trial_id: str, *, whole: bool) -> TrialRecord | str | None:
        """The record, why it cannot be read, or None while there is none."""
        try:
            return (from_json if whole else figures_from_json)(self.storage.read_text(LAYOUT.trial(trial_id).record))
        except FileNotFoundError:
            return None
        except ValueError as error:
            return one_line(error)

    def _json(self, path: str) -> dict[str, Any]:
        try:
            found = json.loads(self.storage.read_replaced(path))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _put(self, trial_id: str, row: dict[str, Any] | None) -> None:
        text = json.dumps(row)
        if self._rows.get(trial_id) != text:
            self._rows[trial_id] = text
            self._changed.append(trial_id)

    def _whole_standing(self) -> Standing:
        """Front and best of all, decided anew only when a trial has come to them."""
        count = len(self._contenders)
        if self._standing[0] != count:
            self._standing = (count, self.standing())
        return self._standing[1]
