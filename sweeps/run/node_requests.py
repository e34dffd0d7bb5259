"""Takes back what a sweep's workers asked of the cluster's autoscaler, so that machines may go when the sweep ends.

Ray Train 2.60 renews its request for nodes for 180 s at a time, and takes it back only where its controller ends in
good order. The end of a sweep ends controllers at once, and an idle machine would be kept, and paid for, until then.
"""

from __future__ import annotations

import contextlib

from trainables.storage import Storage

COORDINATOR = "AutoscalingCoordinator"  # Ray's actor that adds up requests, and its namespace
ANSWER_SECONDS = 5.0  # Ray Train's own patience with it


def remember_request(storage: Storage, group: str, run_id: str) -> None:
    """Write down under which name the group of workers `group`, Ray Train's run `run_id`, asks for its nodes.

    Source: ray 2.60, ray.train.v2 ScalingPolicy.after_controller_start.
    """
    storage.write_text(_path(group), f"train-{run_id}")


def withdraw_requests(storage: Storage) -> None:
    """Take back the requests of all groups of workers of this sweep; their controllers must have ended."""
    import ray
    import ray.exceptions

    # ValueError: there is no coordinator, as nobody asked. Whatever else fails here, the request ends in three minutes.
    with contextlib.suppress(OSError, ValueError, ray.exceptions.RayError):
        coordinator = ray.get_actor(COORDINATOR, namespace=COORDINATOR)
        names = [storage.read_text(_path(group)) for group in storage.list_folders("workers")]
        ray.get([coordinator.cancel_request.remote(name) for name in names], timeout=ANSWER_SECONDS)


def _path(group: str) -> str:
    return f"workers/{group}/request"
