"""How a trial is spread over its workers: copies of the model that exchange gradients (DDP), or shards of it (FSDP2).

With shards, every weight, gradient and optimizer state lies in equal parts on all workers, and a layer is gathered
where it is at work: one unit a decoder layer and one for the rest. Checkpoints hold whole tensors either way.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel


def spread(
    loss_module: nn.Module, model: PreTrainedModel, parallel: Literal["ddp", "fsdp"], device: torch.device
) -> nn.Module:
    """`loss_module`, around `model`, as each of several workers calls it; "fsdp" takes its parts to `device`.

    All workers must have the same weights and call this together.
    Source: torch.distributed.fsdp.fully_shard, torch 2.13; which modules are layers is known from transformers.
    """
    if parallel == "ddp":
        return DistributedDataParallel(loss_module)
    # No layer's output is changed in place: transformers adds to a residual, and makes a new tensor of it.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    layers = set(model._no_split_modules or ())
    for module in model.modules():
        if type(module).__name__ in layers:
            fully_shard(module, mesh=mesh)
    fully_shard(loss_module, mesh=mesh)
    return loss_module


def is_sharded(model: nn.Module) -> bool:
    """Whether this worker holds parts of the weights alone."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def held(tensor: Tensor) -> Tensor:
    """What this worker holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """A tensor gathered from all workers, who must all ask for it; one that is not sharded as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_like(value: Tensor, like: Tensor) -> Tensor:
    """This worker's part of a whole tensor, sharded as `like` is; the whole where that is not sharded."""
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)  # all have the whole


def gathered_weights(model: nn.Module, *, is_kept: bool) -> dict[str, Tensor]:
    """Weights and buffers whole, on the CPU, each under one name; empty where `is_kept` is false.

    All workers must call it together. Of tied weights' names it is the first by the alphabet, as in safetensors.
    """
    names: dict[Tensor, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names[tensor] = min(name, names.get(tensor, name))
    weights: dict[str, Tensor] = {}
    for tensor, name in names.items():
        one = whole(tensor.detach())
        if is_kept:
            weights[name] = one.cpu().contiguous()
    return weights


@torch.no_grad()
def put_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put whole weights into a model, each worker its part of them. Raises: KeyError for one that is missing."""
    names: dict[Tensor, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(tensor, []).append(name)
    for tensor, known_as in names.items():
        given = next((weights[name] for name in known_as if name in weights), None)
        if given is None:
            raise KeyError(f"no weight {known_as[0]}")
        tensor.copy_(part_like(given, tensor))
