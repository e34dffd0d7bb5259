"""The study as others see it: rebuilt by one command, and opened by the real optuna-dashboard."""

from __future__ import annotations

import io
import json
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.storages import get_storage
from optuna.trial import TrialState

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.planning.space import starting_points
from sweeps.rebuild_study import main
from sweeps.search.study import check_study, default_study, open_study_storage, study_file
from tests.support.record_factory import MIB, make_facts, make_record
from trainables.records.record import Outcome
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import store_facts, store_proposal, store_record

pytestmark = pytest.mark.usefixtures("quiet_optuna")
PLAN = make_plan(SweepOptions(trials=3, min_retention=0.97), Device(gpus=0, gpu_bytes=None, cpus=2), BATCH_MEMORY)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of three trials with records and no study: one good, one that forgot too much, one without room."""
    storage = open_storage(str(tmp_path / "mine"))
    facts = make_facts(PLAN, name="mine")
    store_facts(storage, facts)
    outcomes: list[dict[str, Any]] = [
        {"quality": 0.5, "peak_mib": 64},
        {"outcome": Outcome.OUT_OF_MEMORY, "predicted_mib": 150, "capacity_mib": 100},
        {"outcome": Outcome.FAILED, "error": "a fault of the program"},
    ]
    for number, (point, told) in enumerate(zip(starting_points(PLAN), outcomes, strict=True)):
        store_proposal(storage, facts.trial_id(number), point)
        store_record(
            storage, make_record(number, trial_id=facts.trial_id(number), settings=PLAN.settings(**point), **told)
        )
    return tmp_path / "mine"


def test_one_command_rebuilds_the_study_here_or_elsewhere(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = f"sqlite:///{tmp_path}/other.db"
    for flags, url in (([], f"sqlite:///{sweep}/study.db"), (["--study", elsewhere], elsewhere)):
        for _ in range(2):  # the second time it replaces the first
            assert main([str(sweep), *flags]) == 0
            assert capsys.readouterr().out == "Study 'mine': 3 trials written.\n"
        study = optuna.load_study(study_name="mine", storage=url)
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL]
        assert study.trials[0].values == [0.5, 64 * MIB, 1000.0]
        # The factory's retention is 0.95: 0.02 short of what was asked for.
        assert study.trials[0].constraints["retention"] == pytest.approx(0.02)
        assert study.trials[1].constraints["fits_the_card"] == 0.5


def test_a_rebuild_of_nothing_or_into_nowhere_is_one_line(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2
    assert "holds no sweep" in capsys.readouterr().err
    assert main([str(sweep), "--study", "nodatabase://user:secret@host/db"]) == 2
    complaint = capsys.readouterr().err
    assert "--study" in complaint
    assert "secret" not in complaint
    assert complaint.count("\n") == 1


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5_000])


@pytest.mark.parametrize(
    "harm",
    [lambda file: file.write_bytes(b"no database at all" * 100), truncated, lambda file: file.unlink()],
    ids=["other content", "truncated", "gone"],
)
def test_a_study_that_cannot_be_read_is_made_anew_from_records_and_kept(
    harm: Callable[[Path], object], sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(sweep)]) == 0
    file = sweep / "study.db"
    harm(file)
    content = file.read_bytes() if file.exists() else None
    capsys.readouterr()
    assert main([str(sweep)]) == 0
    study = optuna.load_study(study_name="mine", storage=f"sqlite:///{file}")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL]
    aside = list(sweep.glob("study.db.unreadable-*"))
    assert [kept.read_bytes() for kept in aside] == ([] if content is None else [content])
    assert ("is kept as" in capsys.readouterr().out) == bool(aside)


def test_a_study_that_another_program_holds_is_one_line(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep)]) == 0
    capsys.readouterr()
    other = sqlite3.connect(sweep / "study.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        assert main([str(sweep)]) == 2
    finally:
        other.close()
    complaint = capsys.readouterr().err
    assert "database is locked" in complaint
    assert complaint.count("\n") == 1
    assert list(sweep.glob("study.db.*")) == []


def test_a_study_lies_in_its_folder_whatever_that_is_called(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "what?now" / "100% #1 größe"))
    storage.make_folder("")
    url = default_study(storage)
    assert url is not None
    optuna.create_study(storage=open_study_storage(url), study_name="one")
    assert (tmp_path / "what?now" / "100% #1 größe" / "study.db").stat().st_size > 0
    assert study_file(url) == tmp_path / "what?now" / "100% #1 größe" / "study.db"


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////nowhere/at/all/study.db"])
def test_a_study_that_cannot_be_kept_is_refused_before_the_sweep(url: str) -> None:
    with pytest.raises(ValueError, match="--study"):
        check_study(url)


def asked(app: Any, path: str) -> Any:
    """What a WSGI app answers to GET, as JSON."""
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": "after=0"}
    setup_testing_defaults(environ)
    status: list[str] = []

    def start(line: str, headers: Any, error: Any = None) -> Any:
        status.append(line)
        return io.BytesIO().write

    body = b"".join(app(environ, start))
    assert status[0].startswith("200"), (status, body)
    return json.loads(body)


def test_the_dashboard_shows_parameters_values_constraints_and_records(sweep: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own use of what Optuna calls experimental
        from optuna_dashboard import wsgi

        assert main([str(sweep)]) == 0
        app = wsgi(get_storage(f"sqlite:///{sweep}/study.db"))
        (study,) = asked(app, "/api/studies")["study_summaries"]
        shown = asked(app, f"/api/studies/{study['study_id']}")
    assert study["study_name"] == "mine"
    assert shown["objective_names"] == ["sample_quality", "peak_bytes", "tokens_per_second"]
    assert [trial["state"] for trial in shown["trials"]] == ["Complete", "Complete", "Fail"]
    first, second, third = shown["trials"]
    parameters = {item["name"]: item["param_external_value"] for item in first["params"]}
    assert parameters == {name: str(value) for name, value in starting_points(PLAN)[0].items()}
    assert first["values"] == [0.5, 64 * MIB, 1000.0]
    for trial, excess in ((first, 0.0), (second, 0.5), (third, 0.0)):
        attributes = {item["key"]: item["value"] for item in trial["user_attrs"]}
        assert json.loads(attributes["constraints"])["fits_the_card"] == excess
        assert attributes["record"].startswith('{"trial_id": "000')
    assert json.loads({item["key"]: item["value"] for item in first["user_attrs"]}["figures"])["retention"] == 0.95
    assert "a fault of the program" in str(third["user_attrs"])
