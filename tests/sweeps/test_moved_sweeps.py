"""Sweeps that come from elsewhere, by other versions or another user: they go on, or one line says why not."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.device import Device
from sweeps.planning.options import parse_options
from sweeps.run.launch import main
from sweeps.run.prepare import prepare_resumed
from tests.support.record_factory import default_facts, make_record, provenance, write_sweep
from tests.support.storage_spellings import SMALL
from tests.support.told import complaint
from tests.support.waiting import PATIENCE_SECONDS
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import store_facts, store_proposal

ROOT = Path(__file__).resolve().parents[2]
MACHINE = Device(gpus=0, gpu_bytes=None, cpus=2)
NOBODY = 65534


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two trials of two, recorded, in the sweep "old"."""
    made = [make_record(number, rate=rate, model="nano-0.3m") for number, rate in enumerate((1e-3, 3e-3))]
    storage = open_storage(write_sweep(tmp_path / "results" / "old", made, name="old"))
    for record in made:
        proposal = {name: getattr(record.settings, name) for name in default_facts().plan.space}
        store_proposal(storage, record.trial_id, proposal)
    return tmp_path / "results"


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 2}, "schema_version is 2; this program reads 1"),
        ({"colour": "blue"}, "unknown fields ['colour']"),
        (None, "cannot be read"),
    ],
    ids=["a newer schema", "a newer field", "cut off"],
)
def test_a_record_that_cannot_be_read_is_one_line_and_nothing_is_lost(
    changes: dict[str, object] | None, said: str, results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record = next((results / "old" / "trials").glob("0001-*/record.json"))
    text = record.read_text()
    record.write_text(text[:500] if changes is None else json.dumps(json.loads(text) | changes))
    before = listing(results)
    flags = ["--storage", str(results), "--name", "old", "--wandb", "disabled"]
    assert main(BATCH_MEMORY, [*flags, "--resume", "--trials", "2"]) == 2
    told = complaint(capfd.readouterr().err)
    assert told.count("\n") == 1
    assert said in told
    assert str(record.parent) in told
    assert "move that folder out of trials" in told
    after = listing(results)
    assert {path: after[path] for path in before if not path.endswith("sweep.json")} == {
        path: content for path, content in before.items() if not path.endswith("sweep.json")
    }
    shutil.move(record.parent, results / "aside")  # as the line says: that trial is owed then, the other is done
    assert main(BATCH_MEMORY, [*flags, "--resume", "--trials", "1"]) == 0


def test_trials_of_a_sweep_that_goes_on_under_other_versions_are_recorded_with_these(results: Path) -> None:
    storage = open_storage(str(results / "old"))
    begun = provenance(git_sha="old", data_fingerprint="sha256:5c1e", versions={"torch": "2.0.1", "gone": "1"})
    store_facts(storage, dataclasses.replace(default_facts("old"), provenance=begun))
    flags = ["--storage", str(results), "--name", "old", "--resume"]
    prepared = prepare_resumed(BATCH_MEMORY, parse_options(flags, "", BATCH_MEMORY.options), MACHINE)
    assert prepared.provenance.data_fingerprint == "sha256:5c1e"
    assert prepared.provenance.git_sha != "old"
    assert prepared.provenance.versions["torch"] != "2.0.1"
    (note,) = prepared.notes
    assert note.startswith("Began with torch 2.0.1, now ")
    assert prepared.facts.provenance == begun  # the sweep's own stays that of its beginning


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root may give files away")
def test_a_copy_of_another_users_sweep_goes_on_and_theirs_is_one_line(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(results, copy)
    for path in [results, *results.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)

    def resumed(place: Path) -> subprocess.CompletedProcess[str]:
        # Without these rights root may write what it owns and nothing else, as any other user.
        ordinary = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"]
        flags = ["--storage", str(place), "--name", "old", "--resume", "--trials", "2", "--wandb", "disabled"]
        return subprocess.run(
            [*ordinary, sys.executable, str(ROOT / "sweeps" / "batch_memory.py"), *flags],
            cwd=copy,
            env=os.environ | {"HOME": str(copy), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

    done = resumed(copy)
    assert done.returncode == 0, done.stderr
    assert (copy / "old" / "report.html").exists()
    before = listing(results)
    refused = resumed(results)
    assert refused.returncode == 2
    assert complaint(refused.stderr).count("\n") == 1, refused.stderr
    assert "not writable" in refused.stderr
    assert listing(results) == before


@pytest.mark.slow
def test_a_copied_sweep_goes_on_whatever_became_of_its_study(
    sweep_environment: dict[str, str], sweep_command: list[str], tmp_path: Path
) -> None:
    def typed(place: Path, trials: int, *more: str) -> subprocess.CompletedProcess[str]:
        flags = ["--storage", str(place), "--name", "mine", "--wandb", "disabled", "--trials", str(trials), *more]
        done = subprocess.run(
            [*sweep_command, *flags],
            env=sweep_environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert "Traceback" not in done.stderr
        return done

    begun, copy, moved = (tmp_path / name for name in ("begun", "a copy", "moved #2"))
    assert typed(begun, 1, *SMALL).returncode == 0
    shutil.copytree(begun, copy)
    study = copy / "mine" / "study.db"
    study.write_bytes(study.read_bytes()[:3_000])
    assert typed(copy, 2, "--resume").returncode == 0  # made anew from the record
    assert len(list(study.parent.glob("study.db.unreadable-*"))) == 1
    shutil.move(copy, moved)
    study = moved / "mine" / "study.db"
    other = sqlite3.connect(study, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        refused = typed(moved, 3, "--resume")
    finally:
        other.close()
    assert refused.returncode == 2
    assert complaint(refused.stderr).count("\n") == 1
    assert "database is locked" in refused.stderr
    study.unlink()
    assert typed(moved, 3, "--resume").returncode == 0
    records = [path.read_bytes() for path in sorted((moved / "mine" / "trials").glob("*/record.json"))]
    assert [json.loads(record)["outcome"] for record in records] == ["finished"] * 3
    (first,) = (begun / "mine" / "trials").glob("*/record.json")
    assert records[0] == first.read_bytes()
