"""Writes the model of one trial as a folder that transformers loads: weights, tokenizer, settings, model card.

    python analysis/export.py results/<name> --trial best --out my-model

    AutoModelForCausalLM.from_pretrained("my-model")

Where a trial trained low-rank adapters only, the folder holds the adapter, as peft reads it. Takes seconds for a nano
model; the base model must be at hand, or the hub.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from data.command_line import command, parse
from data.errors import UserError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analysis.sweep_table.load import Sweep
    from trainables.records.record import TrialRecord

IDS_SHOWN = 8
BEST = "best"


class ExportError(UserError):
    """A trial that cannot be exported, or a folder that cannot take it; the message is one line for a person."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which trial's model to write, and where."""

    sweep: Annotated[Positional[str], arg(metavar="SWEEP")]
    """The sweep's folder or URI: results/<name> or s3://bucket/prefix/<name>."""
    trial: str = BEST
    """A trial's id or number, or 'best'."""
    out: Annotated[str, arg(metavar="DIR")]
    """A new or empty folder for the model."""


@command
def main(arguments: Sequence[str]) -> int:
    """The command line. Returns: the exit code, 2 for a person's mistake, with one line on stderr."""
    options = parse(Options, arguments, "Write a trial's model as a folder.")
    try:
        print(export_trial(options.sweep, options.trial, options.out))
    except OSError as error:
        raise ExportError(f"--out {options.out}: the model cannot be written ({one_line(error)}).") from None
    return 0


def export_trial(uri: str, trial: str, out: str) -> Path:
    """Write the model of `trial` (an id, a number, or "best") of the sweep at `uri` into the folder `out`.

    Returns: the folder. It appears whole or not at all.
    Raises: ExportError, RecordsError, TunedModelError, ModelError, TokenizerError, StorageError or OSError.
    """
    target = check_target(out)
    from analysis.sweep_table.load import load_sweep

    sweep = load_sweep(uri)
    record = choose_trial(sweep, trial)
    with whole_folder(target) as folder:
        _write(uri, sweep, record, folder)
    return target


def choose_trial(sweep: Sweep, trial: str) -> TrialRecord:
    """The record that `trial` names, of a trial that has a tuned model. Raises: ExportError."""
    from trainables.records.record import Outcome

    finished = [record for record in sweep.records if record.outcome is Outcome.FINISHED]
    if not finished:
        raise ExportError(f"sweep {sweep.name}: no trial has finished, so there is no tuned model to export.")
    record = sweep.best if trial == BEST else None
    record = next((found for found in sweep.records if trial in (found.trial_id, str(found.number))), record)
    ids = [found.trial_id for found in finished]
    more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
    known = f"{', '.join(ids[:IDS_SHOWN])}{more}"
    if record is None and trial == BEST:
        budgets = sweep.facts.aims.budget_phrase
        missing = f"keeps to {budgets}" if budgets else f"has {' and '.join(sweep.facts.aims.names)} measured"
        raise ExportError(f"no finished trial of sweep {sweep.name} {missing}, so none is best; name one of: {known}.")
    if record is None:
        raise ExportError(f"no trial {trial!r} in sweep {sweep.name}; finished ones are: {known}; or {BEST}.")
    if record.outcome is not Outcome.FINISHED:
        ended = record.outcome.value.replace("_", " ")
        raise ExportError(
            f"trial {record.trial_id} ended as {ended}, so it has no tuned model; finished ones are: {known}."
        )
    if record.settings.weights == "random":
        raise ExportError(
            f"trial {record.trial_id} began from random weights, to measure memory and speed; it has no model to"
            " export."
        )
    return record


def check_target(out: str) -> Path:
    """The folder to write, absolute. Raises: ExportError when something is there already, or it is no folder's path."""
    if "://" in out:
        raise ExportError(f"--out {out}: a model is written to a folder of this machine; copy it from there.")
    target = Path(out).expanduser().absolute()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ExportError(f"--out {out} is not a folder; give a new one.")
    if target.is_dir() and any(target.iterdir()):
        raise ExportError(f"--out {out} is not empty; give a new folder.")
    return target


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` to write into; it becomes `target` at the end, and is gone when that is not reached."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
    beside.mkdir()
    try:
        yield beside
        _let_read(beside)
        os.replace(beside, target)  # onto nothing, or onto an empty folder
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _let_read(folder: Path) -> None:
    """Give each file the mode that the umask leaves: safetensors writes its own for the owner's eyes only."""
    mode = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


def _write(uri: str, sweep: Sweep, record: TrialRecord, folder: Path) -> None:
    from transformers.utils import logging

    from analysis.model_card import model_card
    from data.quotes import CORPORA
    from data.tokenizer import check_embedding, load_tokenizer
    from trainables.model.models import NANO_BUILT, NANO_SIZES, find_model, tokenizer_location
    from trainables.records.storage import open_storage
    from trainables.training.tuned_model import load_tuned, save_generation, save_tuned

    assert record.report is not None
    logging.disable_progress_bar()
    source = find_model(record.settings.model)
    loaded = load_tokenizer(tokenizer_location(source, record.settings.weights))
    model = load_tuned(open_storage(uri), record.trial_id, record.settings, record.report.steps)
    check_embedding(loaded, model.config.get_text_config().vocab_size)
    save_tuned(model, source, loaded, folder)
    if record.report.quality is not None:
        save_generation(record.report.quality, loaded, folder)
    if record.settings.model in (*NANO_SIZES, *NANO_BUILT):
        shutil.copy(CORPORA / "LICENSE-WordNet.txt", folder)
    (folder / "README.md").write_text(model_card(sweep, record, source, loaded, folder), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
