"""One of several cards that share a model: torch's own FSDP on fake tensors, in a process group whose peers are not.

Collectives exchange nothing; what they read and write is allocated by the code that calls them. Freed blocks count as
free at once, as `allocated` does on CUDA, where streams that still read them keep them from others only.
Source: free, c10/cuda/CUDACachingAllocator.cpp (allocated_bytes decreases before the events of other streams).
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch.distributed as dist
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from trainables.memory.tracing.recorder import Recorder
from trainables.model import parallel

COLLECTIVES = (
    "all_gather_into_tensor",
    "reduce_scatter_tensor",
    "all_reduce",
    "broadcast",
    "_broadcast_coalesced",
)


class _Done:
    """What a collective gives back that is over at once."""

    def wait(self, *_: Any) -> bool:
        return True


@contextlib.contextmanager
def fake_world(recorder: Recorder, cards: int) -> Iterator[None]:
    """A process group of `cards` of which this process is the first; storages that are resized are recorded.

    Meshes are real tensors, and what DTensor makes on its own to learn a result's shape is no memory of the step.
    """
    from torch.testing._internal.distributed.fake_pg import FakeStore

    def nothing(*_: Any, **__: Any) -> _Done:
        return _Done()

    dist.init_process_group("fake", rank=0, world_size=cards, store=FakeStore())
    try:
        with contextlib.ExitStack() as patches, warnings.catch_warnings():
            # FSDP compares addresses to see whether somebody replaced a weight; those of fake tensors are all alike.
            warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor", UserWarning)
            for name in COLLECTIVES:
                patches.enter_context(mock.patch.object(dist, name, nothing))
            for owner, name, make in (*_of_fsdp1(recorder), *_of_fsdp2(recorder)):
                patches.enter_context(mock.patch.object(owner, name, make(getattr(owner, name))))
            yield
    finally:
        dist.destroy_process_group()


Replacement = tuple[Any, str, Callable[[Any], Any]]  # where, what, and what is made of it


def _of_fsdp1(recorder: Recorder) -> Iterator[Replacement]:
    from torch.distributed.fsdp import _flat_param, _runtime_utils

    def cut(function: Any) -> Any:
        def shard(handle: Any) -> None:
            function(handle)
            recorder.forget_emptied()

        return shard

    for name in ("_alloc_storage", "_free_storage"):
        yield _flat_param, name, functools.partial(_resizing, recorder)
    yield _flat_param.FlatParamHandle, "shard", cut
    yield _runtime_utils, "_post_backward_final_callback", functools.partial(_outside_layers, recorder)


def _of_fsdp2(recorder: Recorder) -> Iterator[Replacement]:
    from torch.distributed.fsdp._fully_shard import _fsdp_param, _fsdp_param_group, _fsdp_state
    from torch.distributed.tensor._sharding_prop import ShardingPropagator

    for name in ("alloc_storage", "free_storage"):
        yield _fsdp_param, name, functools.partial(_resizing, recorder)
    for name, component in (
        ("foreach_all_gather", "gathered"),
        ("foreach_all_gather_copy_out", "gathered"),
        ("foreach_reduce", "gradients"),
    ):
        yield _fsdp_param_group, name, functools.partial(_counted, recorder, component)
    end = "_root_post_backward_final_callback"
    yield _fsdp_state.FSDPState, end, functools.partial(_outside_layers, recorder)
    yield parallel, "init_device_mesh", _untraced
    yield ShardingPropagator, "_propagate_tensor_meta_non_cached", _untraced


def _resizing(recorder: Recorder, function: Any) -> Any:
    def resize(tensor: Tensor, *args: Any) -> None:
        function(tensor, *args)
        recorder.resized(tensor)

    return resize


def _outside_layers(recorder: Recorder, function: Any) -> Any:
    def call(*args: Any) -> Any:
        with recorder.working_on(-1):
            return function(*args)

    return call


def _counted(recorder: Recorder, component: str, function: Any) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        with recorder.counting_as(component):
            return function(*args, **options)

    return call


def _untraced(function: Any) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        with _disable_current_modes():
            return function(*args, **options)

    return call
