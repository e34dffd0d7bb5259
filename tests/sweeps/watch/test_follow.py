"""What a listener hears of a sweep: each event once, in order, whenever it was written."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import sweeps.watch.follow
from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.watch.follow import Follower, Listener
from tests.support.record_factory import make_curve, make_facts, make_record
from tests.support.waiting import wait_until
from trainables.records.layout import LAYOUT
from trainables.records.record import CurvePoint, Outcome, TrialRecord
from trainables.records.settings import TrialSettings
from trainables.records.storage import Storage, open_storage
from trainables.records.sweep_folder import store_proposal, store_record

FACTS = make_facts(make_plan(SweepOptions(), Device(gpus=0, gpu_bytes=None, cpus=2), BATCH_MEMORY))
PROPOSAL = {"model": "nano-1m", "batch_size": 8, "micro_batch_size": 4, "learning_rate": 1e-3}
SETTINGS = FACTS.plan.settings(**PROPOSAL)
A, B, C = (FACTS.trial_id(number) for number in range(3))


class Heard(Listener):
    """A listener that keeps what it was told, as (event, trial, what)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, object]] = []

    def started(self, trial_id: str, settings: TrialSettings) -> None:
        self.events.append(("started", trial_id, settings))

    def progressed(self, trial_id: str, curve: Sequence[CurvePoint], total_steps: int) -> None:
        self.events.append(("progressed", trial_id, (len(curve), total_steps)))

    def doing(self, trial_id: str, part: str, done: int, of: int) -> None:
        self.events.append(("doing", trial_id, f"{part} {done} of {of}" if of else part))

    def ended(self, record: TrialRecord) -> None:
        self.events.append(("ended", record.trial_id, record.outcome))

    def of(self, trial_id: str) -> list[str]:
        return [event for event, trial, _ in self.events if trial == trial_id]

    def wait(self, condition: Callable[[], bool]) -> None:
        wait_until(condition, f"more than {self.events}", look_seconds=0.005)


@pytest.fixture(autouse=True)
def poll_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps.watch.follow, "LOCAL_POLL_SECONDS", 0.01)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path))


def write_progress(storage: Storage, trial_id: str, step: int) -> None:
    curve = [dataclasses.asdict(point) for point in make_curve(1e-3)[:step]]
    storage.write_text(LAYOUT.trial(trial_id).progress, json.dumps({"step": step, "total_steps": 12, "curve": curve}))


def write_part(storage: Storage, trial_id: str, part: str, done: int = 0, of: int = 0) -> None:
    document = {"step": 0, "total_steps": None, "curve": [], "part": part, "done": done, "of": of}
    storage.write_text(LAYOUT.trial(trial_id).progress, json.dumps(document))


def write_record(storage: Storage, trial_id: str, outcome: Outcome = Outcome.FINISHED) -> None:
    number = int(trial_id.split("-")[0])
    store_record(storage, make_record(number, trial_id=trial_id, settings=SETTINGS, outcome=outcome))


def test_what_a_worker_does_is_heard_before_its_first_step(storage: Storage) -> None:
    heard = Heard()
    with Follower(storage, FACTS, [heard]):
        store_proposal(storage, A, PROPOSAL)
        write_part(storage, A, "model_load")
        heard.wait(lambda: ("doing", A, "model_load") in heard.events)
        write_part(storage, A, "base_figures")
        heard.wait(lambda: ("doing", A, "base_figures") in heard.events)
        write_part(storage, A, "base_figures", 30, 480)
        heard.wait(lambda: ("doing", A, "base_figures 30 of 480") in heard.events)
    assert heard.of(A) == ["started", "doing", "doing", "doing"]


def test_a_trial_is_heard_from_start_to_end(storage: Storage) -> None:
    heard = Heard()
    with Follower(storage, FACTS, [heard]):
        store_proposal(storage, A, PROPOSAL)
        heard.wait(lambda: heard.of(A) == ["started"])
        write_progress(storage, A, 1)
        heard.wait(lambda: len(heard.of(A)) == 2)
        write_progress(storage, A, 3)
        heard.wait(lambda: len(heard.of(A)) == 3)
        write_record(storage, A)
        heard.wait(lambda: heard.of(A)[-1] == "ended")
    assert heard.events == [
        ("started", A, SETTINGS),
        ("progressed", A, (1, 12)),
        ("progressed", A, (3, 12)),
        ("ended", A, Outcome.FINISHED),
    ]


def test_what_was_there_before_is_heard_once_and_in_order(storage: Storage) -> None:
    for trial_id in (B, A):
        store_proposal(storage, trial_id, PROPOSAL)
        write_progress(storage, trial_id, 12)
        write_record(storage, trial_id)
    heard = Heard()
    with Follower(storage, FACTS, [heard]):
        heard.wait(lambda: len(heard.events) >= 6)
        time.sleep(0.05)  # several polls more
    assert [event[:2] for event in heard.events] == [
        (event, trial) for trial in (A, B) for event in ("started", "progressed", "ended")
    ]


def test_a_trial_that_came_and_went_between_two_polls_is_heard_whole(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps.watch.follow, "LOCAL_POLL_SECONDS", 60)
    heard = Heard()
    with Follower(storage, FACTS, [heard]):
        store_proposal(storage, A, PROPOSAL)
        write_record(storage, A, Outcome.PREDICTED_NOT_TO_FIT)  # never started: it has no progress
    assert heard.events == [("started", A, SETTINGS), ("ended", A, Outcome.PREDICTED_NOT_TO_FIT)]


def test_leaving_waits_for_no_poll_and_looks_once_more(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps.watch.follow, "LOCAL_POLL_SECONDS", 3600)
    heard = Heard()
    began = time.monotonic()
    with Follower(storage, FACTS, [heard]):
        store_proposal(storage, A, PROPOSAL)
        write_progress(storage, A, 2)
    assert heard.of(A) == ["started", "progressed"]
    assert time.monotonic() - began < 3600


def test_progress_that_stands_still_is_not_repeated(storage: Storage) -> None:
    heard = Heard()
    store_proposal(storage, A, PROPOSAL)
    write_progress(storage, A, 4)
    with Follower(storage, FACTS, [heard]):
        heard.wait(lambda: len(heard.events) == 2)
        write_progress(storage, A, 4)  # written anew, and no further
        time.sleep(0.05)
    assert heard.of(A) == ["started", "progressed"]


def test_a_folder_without_proposal_is_waited_for_and_holds_nobody_up(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "trials" / A).mkdir(parents=True)
    store_proposal(storage, B, PROPOSAL)
    heard = Heard()
    with Follower(storage, FACTS, [heard]):
        heard.wait(lambda: heard.of(B) == ["started"])
        assert heard.of(A) == []
        store_proposal(storage, A, PROPOSAL)
        heard.wait(lambda: heard.of(A) == ["started"])


def test_before_the_first_trial_there_is_nothing_to_hear(storage: Storage) -> None:
    heard = Heard()
    with Follower(storage, FACTS, [heard]):
        time.sleep(0.03)
    assert heard.events == []


def test_all_listeners_hear_the_same(storage: Storage) -> None:
    one, other = Heard(), Heard()
    with Follower(storage, FACTS, [one, other]):
        for trial_id in (A, B, C):
            store_proposal(storage, trial_id, PROPOSAL)
            write_progress(storage, trial_id, 6)
            write_record(storage, trial_id)
        one.wait(lambda: len(other.events) == 9)
    assert one.events == other.events
    for trial_id in (A, B, C):
        assert one.of(trial_id) == ["started", "progressed", "ended"]
