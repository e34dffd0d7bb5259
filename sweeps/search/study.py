"""The study: Optuna's view of a sweep, in any Optuna storage, made from proposals and records alone."""

from __future__ import annotations

import json
import secrets
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from analysis.sweep_table.table import plain_row, trial_row
from data.errors import one_line
from sweeps.planning.options import OptionsError
from sweeps.planning.space import distributions, space_of, starting_points, to_point
from sweeps.search.memory_guard import PointsThatFit
from sweeps.search.objectives import Verdict, verdict
from sweeps.search.sampler import DistinctSampler, anything_fits
from sweeps.search.warm_start import load_earlier
from trainables.records.documents import to_json
from trainables.records.layout import LAYOUT
from trainables.records.plan import CHOSEN, SweepPlan
from trainables.records.record import Outcome, TrialRecord
from trainables.records.storage import Storage
from trainables.records.sweep_folder import SweepFacts, load_history

READ_EVERY = 200  # trials; Optuna reads back all that it has not read yet, and thousands at once take half a GiB


def check_study(url: str) -> None:
    """See that a study can be kept there. Raises: OptionsError, without what the URL may hold of secrets."""
    try:
        optuna.storages.get_storage(url)
    except (ImportError, ValueError, OSError, SQLAlchemyError) as error:
        kind = url.partition("://")[0] if "://" in url else "no scheme"
        raise OptionsError(
            f"--study: a storage of the kind {kind!r} cannot be opened ({type(error).__name__}); give an Optuna storage"
            " URL that this machine reaches, such as sqlite:///study.db."
        ) from None


def open_study_storage(url: str) -> BaseStorage:
    """The storage at an Optuna URL.

    SQLite need not wait for the disk at each of the dozens of writes of a trial: what a power cut takes of a study is
    made again from records.
    """
    storage = optuna.storages.get_storage(url)
    engine = getattr(getattr(storage, "_backend", storage), "engine", None)
    if engine is not None and url.startswith("sqlite"):

        @event.listens_for(engine, "connect")
        def no_waiting(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA synchronous=OFF")

        engine.dispose()  # the connection that was made already
    return storage


def default_study(storage: Storage) -> str | None:
    """Where a sweep's study lies when nothing is said: a file in its folder; in memory where that is a bucket."""
    return f"sqlite:///{quote(storage.uri)}/{LAYOUT.study}" if storage.is_local else None


def build_study(
    facts: SweepFacts, storage: Storage, study_url: str | None, fits: PointsThatFit | None = None
) -> optuna.Study:
    """A study that holds the sweep's history: what has a record is told, what has none is queued under its number.

    `study_url` is an Optuna storage URL; None keeps the study in memory. An older study of that name is replaced, since
    the records are the truth.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    history, earlier, plan = load_history(storage), load_earlier(storage), facts.plan
    study = _empty_study(
        facts,
        study_url,
        DistinctSampler(
            space_of(plan),
            seed=plan.seed + len(history),
            startup_trials=plan.starting_points,
            kind=plan.sampler,
            fits=fits or anything_fits,
            earlier=earlier,
        ),
    )
    start = starting_points(plan, fits and fits.as_predicted, max(0, plan.starting_points - len(earlier)))
    for number in range(max(len(start), *(n + 1 for n in history), 0)):
        proposal, record = history.get(number, (start[number] if number < len(start) else {}, None))
        if record is None:
            study.enqueue_trial(to_point(plan, proposal))
        else:
            study.add_trial(_told_trial(facts, proposal, record))
        if number % READ_EVERY == 0:
            study.get_trials(deepcopy=False)
    return study


def attributes(record: TrialRecord, plan: SweepPlan) -> dict[str, Any]:
    """What the study shows of a trial beside its values: how it ended, constraints by name, its figures, its record.

    optuna-dashboard 0.21 knows constraints only as Optuna kept them before version 5, and cuts an attribute off after
    a thousand characters: hence constraints and figures as attributes of their own.
    """
    figures = {name: value for name, value in plain_row(trial_row(record)).items() if value is not None}
    proposed = set(vars(record.settings)) - ({CHOSEN} if plan.has_automatic_micro_batch else set())
    return {
        "outcome": record.outcome.value,
        "constraints": verdict(record, plan).constraints,
        "figures": {name: value for name, value in figures.items() if name not in proposed},
        "record": json.loads(to_json(record)),
    }


def _empty_study(facts: SweepFacts, study_url: str | None, sampler: DistinctSampler) -> optuna.Study:
    storage = _emptied(study_url, facts.name) if study_url else None
    study = optuna.create_study(
        storage=storage,
        study_name=facts.name,
        directions=[objective.direction for objective in facts.aims.objectives],
        sampler=sampler,
    )
    with warnings.catch_warnings():
        # The names that optuna-dashboard shows; experimental since Optuna 3.2, and nothing else depends on them.
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(facts.aims.names))
    return study


def _emptied(study_url: str, name: str) -> BaseStorage:
    """The storage at `study_url` without a study of that name. Raises: UserError where it cannot be used.

    A file that is no study any more is put aside: the study is made from records, so nothing is lost by it.
    """
    file = study_file(study_url)
    try:
        return _without(study_url, name)
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        reason = _innermost(error)
        if file is None or not file.exists() or "locked" in str(reason):
            raise OptionsError(
                f"the study at {file or study_url.partition('://')[0]} cannot be used ({one_line(reason)}); stop"
                " whatever else uses it, or give another place with --study URL."
            ) from None
    aside = file.with_name(f"{file.name}.unreadable-{secrets.token_hex(3)}")
    file.rename(aside)
    print(f"{file} could not be read ({one_line(reason)}): it is kept as {aside.name}, and rebuilt from the records.")
    return _without(study_url, name)


def _without(study_url: str, name: str) -> BaseStorage:
    storage = open_study_storage(study_url)
    if name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    return storage


def study_file(study_url: str) -> Path | None:
    """The file of a SQLite study; None for another kind of storage."""
    try:
        url = make_url(study_url)
    except SQLAlchemyError:  # such as Optuna's own journal:// and redis://
        return None
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _told_trial(facts: SweepFacts, proposal: dict[str, Any], record: TrialRecord) -> FrozenTrial:
    found: Verdict | None = None if record.outcome is Outcome.FAILED else verdict(record, facts.plan)
    return create_trial(
        state=TrialState.COMPLETE if found else TrialState.FAIL,
        values=list(found.values) if found else None,
        params=to_point(facts.plan, proposal),
        distributions=distributions(facts.plan),
        constraints=found.constraints if found else None,
        user_attrs=attributes(record, facts.plan),
    )
