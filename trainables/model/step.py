"""One optimizer step, whole and readable: forward, loss, backward, accumulation, clipping, AdamW, schedule.

The very function that trains is the one that the memory meter measures and the predictor reasons about. No ray here.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from data.batches import Batch
from data.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Source: Taylor et al. 2022, "Galactica", section 4: AdamW 0.9/0.95, weight decay 0.1, gradients clipped to norm 1.
ADAM_BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.1
MAX_GRADIENT_NORM = 1.0
WARMUP_FRACTION = 0.1  # assumed: short, since fine-tuning starts from trained weights

Phase = Callable[[str], AbstractContextManager[object]]


class CausalLoss(nn.Module):
    """A causal language model together with its loss, so that data-parallel wrappers see one forward.

    `kind` "hf" is transformers' own loss; "fused" never holds all logits at once.
    """

    def __init__(self, model: PreTrainedModel, kind: Literal["hf", "fused"]) -> None:
        super().__init__()
        self.model = model
        self.kind = kind

    def forward(self, input_ids_BT: Tensor, labels_BT: Tensor, target_tokens: float) -> Tensor:
        """Summed next-token loss over the micro-batch, in nats, divided by `target_tokens`; a scalar."""
        if self.kind == "hf":
            return self.model(
                input_ids=input_ids_BT, labels=labels_BT, use_cache=False, num_items_in_batch=target_tokens
            ).loss
        hidden_BTD = self.model.base_model(input_ids=input_ids_BT, use_cache=False)[0]
        targets_BT = functional.pad(labels_BT, (0, 1), value=-100)[:, 1:]
        head = self.model.get_output_embeddings()
        assert head is not None, "a causal language model has an output layer"
        return _fused_loss(hidden_BTD, head, targets_BT) / target_tokens


def _fused_loss(hidden_BTD: Tensor, head: nn.Module, targets_BT: Tensor) -> Tensor:
    """Summed cross-entropy of `head(hidden)` in chunks, by torch's own kernel; torch before 2.13 lacks it.

    Not in fp16: the kernel's sum has the type of its input, and ends at 65,504 nats, a few thousand tokens.
    """
    hidden_ND, targets_N = hidden_BTD.flatten(0, 1), targets_BT.flatten()
    weight_VD, bias_V = head.weight, getattr(head, "bias", None)
    assert isinstance(weight_VD, Tensor)
    if torch.is_autocast_enabled(hidden_ND.device.type):
        dtype = torch.get_autocast_dtype(hidden_ND.device.type)
        hidden_ND, weight_VD = hidden_ND.to(dtype), weight_VD.to(dtype)
        bias_V = None if bias_V is None else bias_V.to(dtype)
    if hasattr(functional, "linear_cross_entropy") and hidden_ND.dtype is not torch.float16:
        return functional.linear_cross_entropy(
            hidden_ND,
            weight_VD,
            targets_N,
            linear_bias=bias_V,
            reduction="sum",
            options=torch.nn.LinearCrossEntropyOptions(),
        )
    return _chunked_loss(hidden_ND, weight_VD, bias_V, targets_N)


def _chunked_loss(hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor) -> Tensor:
    """The same loss by recomputing each chunk's logits in the backward pass, where torch's kernel cannot be had."""
    from torch.utils.checkpoint import checkpoint

    def chunk_loss(hidden_CD: Tensor, targets_C: Tensor) -> Tensor:
        logits_CV = functional.linear(hidden_CD, weight_VD, bias_V).float()
        return functional.cross_entropy(logits_CV, targets_C, reduction="sum", ignore_index=-100)

    total = hidden_ND.new_zeros((), dtype=torch.float32)
    for hidden_CD, targets_C in zip(hidden_ND.split(1024), targets_N.split(1024), strict=True):
        total = total + checkpoint(chunk_loss, hidden_CD, targets_C, use_reentrant=False)
    return total


OptimizerName = Literal["adamw", "adamw-8bit", "sgd"]


def make_optimizer(
    parameters: Iterable[nn.Parameter], learning_rate: float, name: OptimizerName = "adamw"
) -> torch.optim.Optimizer:
    """The optimizer of a trial over the parameters that are trained.

    "adamw" is AdamW as Galactica was trained with: two states for each weight, in the weight's type. "adamw-8bit" keeps
    both in a byte each, by bitsandbytes. "sgd" keeps none.
    Raises: UserError where bitsandbytes is not installed.
    """
    trainable = [p for p in parameters if p.requires_grad]
    if name == "sgd":
        is_fused = not any(isinstance(p, DTensor) for p in trainable)  # torch 2.13 has no fused SGD for shards
        return torch.optim.SGD(trainable, lr=learning_rate, weight_decay=WEIGHT_DECAY, fused=is_fused)
    if name == "adamw-8bit":
        try:
            from bitsandbytes.optim import AdamW8bit  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise UserError(
                "optimizer 'adamw-8bit' needs bitsandbytes, which is not installed; pip install bitsandbytes, or use"
                " adamw or sgd."
            ) from None
        return AdamW8bit(trainable, lr=learning_rate, betas=ADAM_BETAS, weight_decay=WEIGHT_DECAY)
    return torch.optim.AdamW(trainable, lr=learning_rate, betas=ADAM_BETAS, weight_decay=WEIGHT_DECAY, fused=True)


def make_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler | None:
    """What keeps fp16 gradients from vanishing: loss scaled up, gradients down. Other precisions need none."""
    return torch.amp.GradScaler(device.type) if precision == "fp16-amp" else None


def make_schedule(optimizer: torch.optim.Optimizer, total_steps: int) -> LambdaLR:
    """Linear warm-up over the first tenth of the steps, then a cosine towards zero; no step has a rate of zero."""
    warmup_steps = max(1, round(total_steps * WARMUP_FRACTION))

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The autocast context that a precision asks for: bf16 for "bf16-amp", fp16 for "fp16-amp", else none."""
    dtype = {"bf16-amp": torch.bfloat16, "fp16-amp": torch.float16}.get(precision)
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def training_step(
    loss_module: nn.Module,
    micro_batches: Sequence[Batch],
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler,
    *,
    target_tokens: float,
    precision: str,
    phase: Phase,
    scaler: torch.amp.GradScaler | None = None,
) -> Tensor:
    """Train on one batch, given as micro-batches already on the device.

    `target_tokens` is the number of predicted tokens in the whole batch, over all micro-batches, divided by the number
    of workers: so the gradient is the mean over tokens however the batch is cut up. `phase(name)` marks forward,
    backward and optimizer for the memory meter. `scaler` comes from `make_scaler`; it drops steps that overflowed.
    Returns: this worker's share of the mean loss per token, in nats; a detached scalar on the device.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    total_loss = torch.zeros((), device=parameters[0].device)
    for index, batch in enumerate(micro_batches):
        is_last = index == len(micro_batches) - 1
        with _gradients_stay_local(loss_module) if not is_last else contextlib.nullcontext():
            with phase("forward"), autocast(precision, total_loss.device):
                loss = loss_module(batch.input_ids_BT, batch.labels_BT, target_tokens)
            with phase("backward"):
                (loss if scaler is None else scaler.scale(loss)).backward()
        total_loss += loss.detach()
        del loss
    with phase("optimizer"):
        if scaler is not None:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
    return total_loss


def _gradients_stay_local(loss_module: nn.Module) -> AbstractContextManager[object]:
    """Workers with a copy of the model exchange gradients with the last micro-batch only.

    Those with shards do with each, since what is not yet exchanged would be kept whole.
    """
    return loss_module.no_sync() if isinstance(loss_module, DistributedDataParallel) else contextlib.nullcontext()
