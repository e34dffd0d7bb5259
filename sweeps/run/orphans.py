"""Gives back the cores and GPUs that a killed controller of Ray Train leaves taken.

Ray keeps a placement group until its creator and its whole job have ended, and Ray Train tells its own cleaner of a
group only once the workers are up. A controller that is killed before that would hold the group for as long as the
sweep runs, and on a full cluster the sweep would wait for it without end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sweeps.run.repeating import repeating
from trainables.records.layout import LAYOUT
from trainables.records.storage import Storage

LOOK_SECONDS = 5.0  # assumed: short beside the start of workers, and one small question to Ray's head


@contextlib.contextmanager
def freeing_orphans() -> Iterator[None]:
    """While it is entered, look for orphaned placement groups of this job from time to time and remove them."""
    import ray.exceptions

    def look() -> None:
        # A head that does not answer for a moment is asked again at the next look.
        with contextlib.suppress(ray.exceptions.RayError, RuntimeError):
            remove_orphans()

    with repeating(look, LOOK_SECONDS, "orphans"):
        yield


def remove_orphans() -> int:
    """Remove this job's placement groups whose creating actor is dead. Returns: how many there were.

    Who made a group has no public interface in Ray 2.60: `placement_group_table` leaves it out.
    """
    import ray
    from ray._private.state import state
    from ray.core.generated import gcs_pb2
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    table: Any = gcs_pb2  # its messages are made at import, and no checker of types sees them
    job, removed = bytes.fromhex(ray.get_runtime_context().get_job_id()), 0
    for raw in state._connect_and_get_accessor().get_placement_group_table():
        group = table.PlacementGroupTableData.FromString(raw)
        # Of a group that a driver made, Tune's own for its trials among them, the creator is no actor at all.
        was_actor = group.creator_actor_id not in (b"", ray.ActorID.nil().binary())
        if group.creator_job_id != job or not (was_actor and group.creator_actor_dead) or group.is_detached:
            continue
        if group.state != table.PlacementGroupTableData.REMOVED:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
            removed += 1
    return removed


COORDINATOR = "AutoscalingCoordinator"  # Ray's actor that adds up requests, and its namespace
ANSWER_SECONDS = 5.0  # Ray Train's own patience with it


def remember_request(storage: Storage, group: str, run_id: str) -> None:
    """Write down under which name the group of workers `group`, Ray Train's run `run_id`, asks for its nodes.

    Source: ray 2.60, ray.train.v2 ScalingPolicy.after_controller_start.
    """
    storage.write_text(LAYOUT.node_request(group), f"train-{run_id}")


def withdraw_requests(storage: Storage) -> None:
    """Take back the requests of all groups of workers of this sweep; their controllers must have ended."""
    import ray
    import ray.exceptions

    # ValueError: there is no coordinator, as nobody asked. Whatever else fails here, the request ends in three minutes.
    with contextlib.suppress(OSError, ValueError, ray.exceptions.RayError):
        coordinator = ray.get_actor(COORDINATOR, namespace=COORDINATOR)
        names = [storage.read_text(LAYOUT.node_request(group)) for group in storage.list_folders(LAYOUT.worker_groups)]
        ray.get([coordinator.cancel_request.remote(name) for name in names], timeout=ANSWER_SECONDS)
