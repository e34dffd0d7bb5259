"""What took a trial down, by the error that reached its driver, and how long to wait before the next attempt."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator

from data.errors import error_line
from trainables.records.record import FailureKind

FRUITLESS_ATTEMPTS = 5  # assumed: in a row, without a newer checkpoint; then the trial is given up
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0  # assumed: from a lost process to a cluster that finds new nodes
# Ray Train's names for workers that do not start or do not answer; they have no public home in Ray 2.60.
LOST_WORKERS = (
    "WorkerHealthCheckFailedError",
    "WorkerHealthCheckTimeoutError",
    "WorkerGroupStartupFailedError",
    "WorkerGroupStartupTimeoutError",
)


def classify(error: BaseException) -> FailureKind:
    """The kind of failure that `error`, or what it carries, stands for; `BUG` when nothing outside is to blame."""
    from ray import exceptions, train

    for cause in _causes(error):
        text = f"{type(cause).__name__}: {cause}"
        if type(cause).__name__ == "PreemptionError" or getattr(cause, "preempted", False):
            return FailureKind.SPOT_TAKEN
        if isinstance(cause, exceptions.NodeDiedError) or "node has died" in text or "node died" in text.lower():
            return FailureKind.NODE_LOST
        if type(cause).__name__ in ("DistBackendError", "NCCLHangError") or "NCCL" in text:
            return FailureKind.NCCL
        if isinstance(cause, exceptions.RayActorError | exceptions.WorkerCrashedError | exceptions.OutOfMemoryError):
            return FailureKind.WORKER_LOST  # the last: Ray ended the worker, as the host ran out of memory
        if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError | NotADirectoryError):
            return FailureKind.STORAGE
        if isinstance(cause, train.ControllerError) or type(cause).__name__ in LOST_WORKERS:
            return FailureKind.WORKER_LOST
    return FailureKind.BUG


def is_hopeless(error: BaseException) -> bool:
    """Whether storage refused for a reason that no waiting mends: it is full, or may not be written."""
    refusals = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
    return any(isinstance(cause, OSError) and cause.errno in refusals for cause in _causes(error))


def cause_line(error: BaseException) -> str:
    """The innermost error that `error` carries, as one line."""
    return error_line(next(iter(_causes(error))))


def wait_seconds(fruitless: int) -> float:
    """How long to wait before the attempt after `fruitless` vain ones: doubled each time, and never quite the same."""
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**fruitless)
    return random.uniform(longest / 2, longest)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors that `error` wraps, those of the workers before its own."""
    for name in ("worker_failures", "controller_failure", "health_check_failure", "cause"):
        inner = getattr(error, name, None)
        inner_errors = inner.values() if isinstance(inner, dict) else [inner]
        for one in inner_errors:
            if isinstance(one, BaseException) and one is not error:
                yield from _causes(one)
    yield error
