"""Early stopping: which loss is told, who is stopped, and a real sweep in which stopped trials leave records."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from analysis.sweep_table.load import load_sweep
from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.search import early_stopping
from sweeps.search.early_stopping import (
    LOSS,
    TOKENS,
    ProgressReports,
    StopWhatFallsBehind,
    recent_loss,
    refill_rungs,
)
from tests.conftest import RunSweep
from tests.support.object_store import ObjectStore
from tests.support.record_factory import make_facts, make_record
from trainables.records.layout import LAYOUT
from trainables.records.record import CurvePoint, Outcome
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import store_record

PLAN = make_plan(
    SweepOptions(token_budget=27_000, early_stopping="asha"), Device(gpus=0, gpu_bytes=None, cpus=2), BATCH_MEMORY
)


def test_the_loss_told_is_the_mean_over_the_last_third_of_the_tokens() -> None:
    curve = [CurvePoint(step=n, tokens=100 * n, loss=10.0 - n, learning_rate=1e-3) for n in range(1, 10)]
    assert recent_loss(curve) == (3.0 + 2.0 + 1.0) / 3  # those after 600 of 900 tokens
    assert recent_loss(curve[:1]) == 9.0


def scheduler_in(folder: Path) -> StopWhatFallsBehind:
    facts = make_facts(PLAN)
    return StopWhatFallsBehind(facts, str(folder))


def trial(number: int, model: str = "nano-1m") -> Any:
    proposal = {"model": model, "batch_size": 8, "micro_batch_size": 4, "learning_rate": 1e-3}
    return SimpleNamespace(trial_id=f"tune{number}", config={"trial_id": f"000{number}-t", "proposal": proposal})


def test_who_is_behind_at_a_rung_is_told_to_stop_and_nobody_else(tmp_path: Path) -> None:
    scheduler, storage = scheduler_in(tmp_path), open_storage(str(tmp_path))
    controller: Any = None
    # Rungs at 1,000, 3,000 and 9,000 of 27,000 tokens; one of three goes on.
    for number, loss in ((0, 3.0), (1, 4.0), (2, 2.0)):
        assert scheduler.on_trial_result(controller, trial(number), {TOKENS: 1_000, LOSS: loss}) == "CONTINUE"
    assert scheduler.stopped == {"0001-t"}
    assert storage.exists(LAYOUT.trial("0001-t").stop)
    assert not storage.exists(LAYOUT.trial("0000-t").stop)
    scheduler.on_trial_result(controller, trial(3, "nano-4m"), {TOKENS: 1_000, LOSS: 9.0})  # the first of its size
    scheduler.on_trial_result(controller, trial(4), {TOKENS: 900, LOSS: 9.0})  # not yet at a rung
    scheduler.on_trial_result(controller, trial(2), {TOKENS: 27_000, LOSS: 9.0})  # at its end: too late to stop
    assert scheduler.stopped == {"0001-t"}


def test_a_resumed_sweep_compares_with_what_its_trials_reported_before(tmp_path: Path) -> None:
    """Trial 0 has a record, trial 1 was under way. As if nothing had happened, the loss 2.5 is behind 2 at 1,000."""
    storage = open_storage(str(tmp_path))

    def curve(loss: float, *tokens: int) -> tuple[CurvePoint, ...]:
        return tuple(CurvePoint(step=n, tokens=seen, loss=loss, learning_rate=1e-3) for n, seen in enumerate(tokens, 1))

    done = make_record(0, trial_id="0000-t")
    assert done.report is not None
    report = dataclasses.replace(done.report, curve=curve(2.0, 500, 1_000, 3_000, 9_000, 27_000))
    store_record(storage, dataclasses.replace(done, report=report))
    under_way = {"step": 2, "curve": [dataclasses.asdict(point) for point in curve(2.2, 500, 1_000)]}
    storage.write_text(LAYOUT.trial("0001-t").progress, json.dumps(under_way))

    def later(number: int) -> Any:
        return SimpleNamespace(trial_id=f"later{number}", config=trial(number).config)

    scheduler, controller = scheduler_in(tmp_path), cast("Any", None)
    refill_rungs(scheduler, storage, PLAN, [(f"000{n}-t", trial(n).config["proposal"]) for n in range(3)])
    assert scheduler.stopped == set()
    scheduler.on_trial_result(controller, later(1), {TOKENS: 2_000, LOSS: 5.0})  # was at that rung already
    scheduler.on_trial_result(controller, later(2), {TOKENS: 1_000, LOSS: 1.9})
    scheduler.on_trial_result(controller, later(3), {TOKENS: 1_000, LOSS: 2.5})
    scheduler.on_trial_result(controller, later(4), {TOKENS: 3_000, LOSS: 2.1})  # trial 0 had 2 there
    assert scheduler.stopped == {"0003-t", "0004-t"}


@pytest.mark.parametrize(("far", "looks"), [(True, 7), (False, 61)], ids=["a bucket", "a folder"])
def test_a_bucket_is_asked_for_a_trials_progress_every_five_seconds(
    far: bool, looks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    clock, told = [100.0], []
    monkeypatch.setattr(early_stopping, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr("ray.tune.report", told.append)
    with ObjectStore() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        storage = open_storage("s3://bucket/sweep" if far else str(tmp_path))
        curve = [{"step": 1, "tokens": 500, "loss": 2.0, "learning_rate": 1e-3}]
        storage.write_text(LAYOUT.trial("0000-t").progress, json.dumps({"step": 1, "curve": curve}))
        before, reads = store.asked, []
        read = type(storage).read_replaced
        monkeypatch.setattr(type(storage), "read_replaced", lambda self, path: reads.append(path) or read(self, path))
        look = ProgressReports(storage, "0000-t")
        for _ in range(121):  # 30 s of looks whether the workers live, a quarter of a second apart
            look()
            clock[0] += 0.25
        assert len(reads) == looks
        assert told == [{TOKENS: 500, LOSS: 2.0}]
        if far:
            assert store.asked - before <= 3 * len(reads)  # HEAD, GET, and a HEAD to see that it was not replaced


def test_stopped_trials_leave_records_and_the_processes_stay_up(run_sweep: RunSweep, tmp_path: Path) -> None:
    # The rate 1e-4 falls behind 3e-3 of the same size; which of them starts is decided by the seed.
    flags = ("--model-sizes", "nano-0.3m", "--batch-sizes", "8", "--micro-batch-sizes", "8", "--token-budget", "60000")
    rates = ("--learning-rates", "1e-5", "3e-3", "--trials", "2", "--seed", "1", "--max-concurrent", "1")
    done = run_sweep(tmp_path, "--name", "asha", "--early-stopping", "asha", "--wandb", "disabled", *flags, *rates)
    assert done.returncode == 0, done.stderr
    records = sorted(load_sweep(str(tmp_path / "asha")).records, key=lambda record: record.settings.learning_rate)
    assert [record.outcome for record in records] == [Outcome.STOPPED_EARLY, Outcome.FINISHED]
    stopped = records[0].report
    assert stopped is not None
    assert 60_000 / 27 <= stopped.tokens_seen < 60_000
    assert (stopped.quality, stopped.samples, bool(stopped.curve)) == (None, (), True)
    assert stopped.memory is not None
    assert "ended early" in str(stopped.error)
    assert dataclasses.replace(records[0].settings, learning_rate=3e-3) == records[1].settings
