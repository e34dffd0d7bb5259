"""What a sweep's folder holds, written and read: the sweep's own document, and each trial's proposal and record."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from data.errors import UserError, one_line
from trainables.records.documents import build, figures_from_json, from_json, to_json
from trainables.records.layout import LAYOUT
from trainables.records.objectives import OBJECTIVES, Aims, aims_of
from trainables.records.places import child_address
from trainables.records.plan import SweepPlan
from trainables.records.record import STRICT, Provenance, TrialRecord
from trainables.records.storage import Storage

# What an older document does not say of where it comes from.
UNKNOWN = dataclasses.asdict(
    Provenance(
        git_sha="unknown", data_fingerprint="unknown", versions={}, device="unknown", host_cpus=0, tokenizer="unknown"
    )
)


class HistoryError(UserError):
    """A trial of which a sweep cannot tell whether it is done; the message is one line for a person."""


@dataclass(frozen=True, kw_only=True)
class SweepFacts:
    """A sweep's own document. `token` makes trial ids of two sweeps of one name differ.

    `provenance` is that of the sweep's beginning; each record has its trial's own.
    """

    name: str
    question: str
    token: str
    created_at: str
    plan: SweepPlan
    provenance: Provenance

    __pydantic_config__ = STRICT

    @property
    def aims(self) -> Aims:
        """What the sweep strives for."""
        return aims_of(self.plan)

    def trial_id(self, number: int) -> str:
        """The id of the trial of this number; also its folder, and its run's id in wandb."""
        return f"{number:04d}-{self.token}"


def store_facts(storage: Storage, facts: SweepFacts) -> None:
    """Write the sweep's document."""
    document = dataclasses.asdict(facts)
    aims = [{"name": objective.name, "direction": objective.direction} for objective in facts.aims.objectives]
    document |= {"objectives": aims, "provenance": document.pop("provenance"), "options": document.pop("plan")}
    storage.write_text(LAYOUT.facts, json.dumps(document, indent=1, ensure_ascii=False))


def load_facts(storage: Storage) -> SweepFacts:
    """Read what `store_facts` wrote; an option that came later has its default.

    Raises: FileNotFoundError; ValueError for a document of another version.
    """
    try:
        return facts_from_json(storage.read_text(LAYOUT.facts))
    except ValueError as error:
        raise ValueError(
            f"{storage.uri}/{LAYOUT.facts} was written by another version of this program ({error}); start a new sweep."
        ) from None


def facts_from_json(text: str) -> SweepFacts:
    """The sweep that the document `text` describes. Raises: ValueError, which names the field that is wrong."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError(f"it holds {type(document).__name__}; an object was expected")
    document.pop("objectives", None)  # for other programs: they follow from the options
    document["plan"] = document.pop("options", {})
    document["provenance"] = UNKNOWN | document.get("provenance", {})
    try:
        facts: SweepFacts = build(SweepFacts, document, "sweep")
    except ValueError as error:
        raise ValueError(str(error).replace("sweep.plan", "sweep.options")) from None
    unknown = [name for name in facts.plan.objectives if name not in OBJECTIVES]
    if unknown:
        raise ValueError(f"sweep.options.objectives has {unknown[0]!r}; known: {', '.join(OBJECTIVES)}.")
    return facts


def store_proposal(storage: Storage, trial_id: str, proposal: dict[str, Any]) -> None:
    """Write down that a trial was proposed, before anything of it starts: what is here and has no record is owed."""
    storage.write_text(LAYOUT.trial(trial_id).proposal, json.dumps(proposal))


def load_proposal(storage: Storage, trial_id: str) -> dict[str, Any] | None:
    """What was written down of a trial before it started; None where nothing was."""
    try:
        return json.loads(storage.read_text(LAYOUT.trial(trial_id).proposal))
    except FileNotFoundError:
        return None


def begun_proposal(storage: Storage, trial_id: str) -> dict[str, Any] | None:
    """What was written down of a trial that has trained, as its checkpoints or its report show; None for another."""
    files = LAYOUT.trial(trial_id)
    if not (storage.exists(files.report) or storage.list_folders(files.checkpoints)):
        return None
    return json.loads(storage.read_text(files.proposal))


def load_progress(storage: Storage, trial_id: str) -> dict[str, Any] | None:
    """How far a trial told last that it had come, its worker replacing that every few seconds; None if it never did."""
    try:
        return json.loads(storage.read_replaced(LAYOUT.trial(trial_id).progress))
    except FileNotFoundError:
        return None


def store_record(storage: Storage, record: TrialRecord) -> None:
    """Write a trial's record: the last thing that a trial does."""
    storage.write_text(LAYOUT.trial(record.trial_id).record, to_json(record))


def load_record(storage: Storage, trial_id: str) -> TrialRecord | None:
    """A trial's record; None when there is none yet."""
    try:
        return from_json(storage.read_text(LAYOUT.trial(trial_id).record))
    except FileNotFoundError:
        return None


def load_figures(storage: Storage, trial_id: str) -> TrialRecord | None:
    """A trial's record without its samples and its curve, which are nearly all of it; None when there is none yet."""
    try:
        return figures_from_json(storage.read_text(LAYOUT.trial(trial_id).record))
    except FileNotFoundError:
        return None


History = dict[int, tuple[dict[str, Any], TrialRecord | None]]


def load_history(storage: Storage) -> History:
    """Every proposal by trial number, with its record where there is one, without samples and curve.

    Raises: HistoryError for a record or proposal that is there and cannot be read: its trial is neither done nor owed.
    """
    history: History = {}
    for trial_id in storage.list_folders(LAYOUT.trials):
        try:
            proposal = json.loads(storage.read_text(LAYOUT.trial(trial_id).proposal))
            history[int(trial_id.split("-")[0])] = (proposal, load_figures(storage, trial_id))
        except FileNotFoundError:
            continue  # killed between making the folder and writing the proposal: nothing was started
        except ValueError as error:
            place = child_address(storage.uri, LAYOUT.trial(trial_id).folder)
            raise HistoryError(
                f"{place} cannot be read ({one_line(error).rstrip('.')});"
                " use the version that wrote it, or move that folder out of trials to have the trial run again."
            ) from None
    return history
