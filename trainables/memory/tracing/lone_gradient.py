"""Who holds a gradient, by counts of references: autograd adds a second one into a first that it alone holds.

Source: can_accumulate_inplace, torch/csrc/autograd/input_buffer.cpp, torch 2.13.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode


def holders(tensor: Tensor) -> tuple[int, int]:
    """References to a tensor and to its storage, dispatch's own included."""
    return tensor._use_count(), torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)  # type: ignore[attr-defined]


@functools.cache
def holders_of_a_lone_gradient() -> tuple[int, int]:
    """What `holders` says of a gradient that autograd alone holds, when it adds a second one to it."""

    class Look(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten.add.Tensor:
                found.append(holders(args[0]))
            return func(*args, **(kwargs or {}))

    found: list[tuple[int, int]] = []
    with FakeTensorMode():
        leaf = torch.zeros(2, requires_grad=True)
        doubled = leaf * 2
        total = torch.mul(doubled * 2, doubled * 3).sum()
        with Look():
            total.backward()
    return found[0]
