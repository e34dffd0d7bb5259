"""What an ended trial left on the device: the check that lets one process run trial after trial."""

from __future__ import annotations

import gc

import torch

ALLOWED_BYTES = 2**20  # assumed: counters and caches of libraries, far below what any model would leave


def left_over_bytes(device: torch.device) -> int:
    """Bytes of tensors that live on `device` after all garbage and caches are gone; 0 in a process that is clean.

    On CUDA by the allocator's counter, cuBLAS workspaces freed first. On a CPU, which has no counter, by the tensors
    that Python can reach.
    """
    gc.collect()
    if device.type == "cuda":
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
        return torch.cuda.memory_allocated(device)
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in gc.get_objects()
        if type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.device == device
    }
    return sum(storages.values())
