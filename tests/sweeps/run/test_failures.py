"""What took a trial down, read from real errors of Ray, torch and storage, and what is known of its attempts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import exceptions
from ray.core.generated import common_pb2
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import PreemptionError
from ray.train.v2.api.preemption import PreemptionInfo

from sweeps.run.attempts import Attempts
from sweeps.run.failures import LONGEST_WAIT_SECONDS, cause_line, classify, wait_seconds
from trainables.records.layout import LAYOUT
from trainables.records.record import FailureKind
from trainables.records.storage import open_storage

TRIAL = "0000-abcdef"
NODE_ENDS: Any = common_pb2.NodeDeathInfo  # pyright: ignore[reportAttributeAccessIssue]


def in_workers(error: Exception) -> WorkerGroupError:
    return WorkerGroupError("one of them failed", {0: error})


def died_with_node(reason: int) -> exceptions.ActorDiedError:
    """What reaches the caller of an actor whose node ended so, made of what Ray's head would say."""
    said = "The actor died because its node has died. Node Id: 2f1c"
    messages: Any = common_pb2  # made at import, and no checker of types sees them
    death = messages.NodeDeathInfo(reason=reason)
    told = messages.ActorDiedErrorContext(actor_id=bytes(16), error_message=said, node_death_info=death)
    return exceptions.ActorDiedError(told)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (in_workers(exceptions.ActorDiedError()), FailureKind.WORKER_LOST),
        (in_workers(exceptions.WorkerCrashedError()), FailureKind.WORKER_LOST),
        (in_workers(exceptions.OutOfMemoryError("the host's memory is full")), FailureKind.WORKER_LOST),
        (in_workers(exceptions.NodeDiedError("gone")), FailureKind.NODE_LOST),
        (in_workers(RuntimeError("NCCL error: unhandled system error")), FailureKind.NCCL),
        (in_workers(OSError("When uploading part: AWS Error SLOW_DOWN: 503")), FailureKind.STORAGE),
        (
            in_workers(WorkerHealthCheckFailedError("no answer", exceptions.ActorUnavailableError("reset", None))),
            FailureKind.WORKER_LOST,
        ),
        (
            in_workers(died_with_node(NODE_ENDS.UNEXPECTED_TERMINATION)),
            FailureKind.NODE_LOST,
        ),
        (
            in_workers(died_with_node(NODE_ENDS.AUTOSCALER_DRAIN_PREEMPTED)),
            FailureKind.SPOT_TAKEN,
        ),
        (PreemptionError(PreemptionInfo(None, {})), FailureKind.SPOT_TAKEN),
        (in_workers(torch.distributed.DistBackendError("NCCL watchdog timeout")), FailureKind.NCCL),
        (ControllerError(exceptions.ActorDiedError()), FailureKind.WORKER_LOST),
        (in_workers(ValueError("a step without rows")), FailureKind.BUG),
        (in_workers(FileNotFoundError("judge.json")), FailureKind.BUG),
    ],
)
def test_errors_have_kinds(error: Exception, kind: FailureKind) -> None:
    assert classify(error) is kind


def test_what_the_worker_said_is_told_in_one_line() -> None:
    assert cause_line(in_workers(ValueError("first\nlast"))) == "ValueError: last"


def test_waits_grow_and_end_at_a_minute() -> None:
    assert wait_seconds(0) <= 1.0
    assert 8.0 <= wait_seconds(4) <= 16.0
    assert wait_seconds(50) <= LONGEST_WAIT_SECONDS


def test_attempt_cut_off_with_its_driver_is_an_interruption(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    Attempts(storage, TRIAL).begin()
    began_at = json.loads(storage.read_text(LAYOUT.trial(TRIAL).attempts))[0]["began_at"]
    storage.write_text(LAYOUT.trial(TRIAL).progress, json.dumps({"told_at": began_at + 7}))

    again = Attempts(storage, TRIAL)
    again.begin()
    again.end()

    (interruption,) = again.interruptions
    assert interruption.kind is FailureKind.WORKER_LOST
    assert interruption.seconds == pytest.approx(7)
    assert 7 <= again.seconds < 8
    assert len(Attempts(storage, TRIAL).interruptions) == 1
