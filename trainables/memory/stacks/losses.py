"""The loss as the libraries make it of a model's last hidden states: which copies of the logits there are, and when.

Each function does what the named source does with its tensors, in the same order, and lets go of them where its frame
ends; kernels that torch does not have are stood in for by the buffers that they take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CHUNK_PASSES = 2  # of loops whose passes take and give back the same blocks
HEAD_CHUNK_TOKENS = 128
LossOf = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Any]]


def head_scale(head_output: Tensor, config: Any) -> Tensor:
    """Logits as the model's own forward leaves them: scaled (Granite, Cohere) or soft-capped (Gemma 2)."""
    scaling = getattr(config, "logits_scaling", None)
    if scaling is not None:
        head_output = head_output / scaling
    cap = getattr(config, "final_logit_softcapping", None)
    if cap is not None:
        head_output = head_output / cap
        head_output = torch.tanh(head_output)
        head_output = head_output * cap
    return head_output


def hf_loss(model: Any, hidden_BTD: Tensor, labels_BT: Tensor) -> tuple[Tensor, Any]:
    """transformers from 4.46 to 4.5x: the caller holds logits in the model's type while the loss holds two fp32 copies.

    Source: ForCausalLMLoss, src/transformers/loss/loss_utils.py, 4.48.1; `forward` of LlamaForCausalLM and its kind.
    """
    logits_BTV = head_scale(model.get_output_embeddings()(hidden_BTD), model.config)

    def loss_of(logits: Tensor) -> Tensor:
        logits = logits.float()
        return _shifted_loss(logits, labels_BT, functional.cross_entropy)

    return loss_of(logits_BTV), logits_BTV


def hf_445_loss(model: Any, hidden_BTD: Tensor, labels_BT: Tensor) -> tuple[Tensor, Any]:
    """transformers to 4.45: the logits themselves are made fp32, then shifted into another copy.

    Source: `forward` of LlamaForCausalLM, 4.45.2, where a note says that the float() is to go in v4.46.
    """
    logits_BTV = head_scale(model.get_output_embeddings()(hidden_BTD), model.config).float()
    return _shifted_loss(logits_BTV, labels_BT, functional.cross_entropy), logits_BTV


def plain_loss(model: Any, hidden_BTD: Tensor, labels_BT: Tensor) -> tuple[Tensor, Any]:
    """Cross entropy of the logits as they come."""
    logits_BTV = head_scale(model.get_output_embeddings()(hidden_BTD), model.config)
    return functional.cross_entropy(logits_BTV.flatten(0, 1), labels_BT.flatten()), logits_BTV


def shifted_loss(model: Any, hidden_BTD: Tensor, labels_BT: Tensor) -> tuple[Tensor, Any]:
    """A shifted copy in the model's type, no fp32 one. Source: GPTBigCodeForCausalLM.forward, transformers 4.48."""
    logits_BTV = model.get_output_embeddings()(hidden_BTD)
    return _shifted_loss(logits_BTV, labels_BT, functional.cross_entropy), logits_BTV


def unsloth_loss(model: Any, hidden_BTD: Tensor, labels_BT: Tensor) -> tuple[Tensor, Any]:
    """Unsloth's kernel under transformers from 4.46 on, which keeps no log-probabilities and writes over its input.

    Source: FastForCausalLMLoss, plugins/fused-ops-and-kernels of fms-acceleration.
    """
    logits_BTV = head_scale(model.get_output_embeddings()(hidden_BTD), model.config)

    def loss_of(logits: Tensor) -> Tensor:
        logits = logits.float()
        return _shifted_loss(logits, labels_BT, _KernelInPlace.loss)

    return loss_of(logits_BTV), logits_BTV


def unsloth_445_loss(model: Any, hidden_BTD: Tensor, labels_BT: Tensor) -> tuple[Tensor, Any]:
    """Unsloth's kernel in place of `CrossEntropyLoss`, under transformers to 4.45. Source: as `unsloth_loss`."""
    logits_BTV = head_scale(model.get_output_embeddings()(hidden_BTD), model.config).float()
    return _shifted_loss(logits_BTV, labels_BT, _KernelInPlace.loss), logits_BTV


def unsloth_shifted_loss(model: Any, hidden_BTD: Tensor, labels_BT: Tensor) -> tuple[Tensor, Any]:
    """Unsloth's kernel where the model's own forward makes no fp32 copy (GPTBigCode). Source: as `unsloth_loss`."""
    logits_BTV = model.get_output_embeddings()(hidden_BTD)
    return _shifted_loss(logits_BTV, labels_BT, _KernelInPlace.loss), logits_BTV


def liger_loss(model: Any, hidden_BTD: Tensor, labels_BT: Tensor) -> tuple[Tensor, Any]:
    """Head and loss in chunks, gradients made in the forward pass; hidden states are shifted into a copy.

    Source: lce_forward and fused_linear_cross_entropy_forward, fms-acceleration and linkedin/Liger-Kernel 0.3.
    """
    shifted = hidden_BTD[..., :-1, :].contiguous().flatten(0, 1)
    return _LigerLoss.apply(shifted, model.get_output_embeddings().weight, labels_BT[..., 1:].reshape(-1)), None


def chunked_head_loss(model: Any, hidden_BTD: Tensor, labels_BT: Tensor) -> tuple[Tensor, Any]:
    """litgpt's: head and cross entropy in chunks of 128 tokens of each sequence, all logits kept by the training loop.

    Fabric makes each output fp32. Source: `train` of finetune/lora.py, chunked_cross_entropy of lit_gpt/utils.py,
    December 2023; HalfPrecision.convert_output, lightning/fabric/plugins/precision/half.py, 2.1.
    """
    head = model.get_output_embeddings()
    chunks = [head(part) for part in hidden_BTD.split(HEAD_CHUNK_TOKENS, dim=1)]
    return torch.zeros(()), chunks


def chunked_loss(chunks: list[Tensor], labels_BT: Tensor) -> Tensor:
    """The second half of `chunked_head_loss`, after the outputs were converted."""
    chunks[-1] = chunks[-1][..., :-1, :]
    targets = labels_BT[..., 1:]
    flat = [chunk.reshape(-1, chunk.size(-1)) for chunk in chunks]
    wanted = [part.reshape(-1) for part in targets.split(chunks[0].size(1), dim=1)]
    losses = [
        functional.cross_entropy(chunk, target, ignore_index=-1, reduction="none")
        for chunk, target in zip(flat, wanted, strict=True)
    ]
    return torch.cat(losses).sum() / (targets != -1).sum()


def _shifted_loss(logits_BTV: Tensor, labels_BT: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    shifted = logits_BTV[..., :-1, :].contiguous()
    labels = labels_BT[..., 1:].contiguous()
    shifted = shifted.view(-1, shifted.size(-1))
    labels = labels.view(-1)
    return loss(shifted, labels)


class _KernelInPlace(torch.autograd.Function):
    """A cross entropy that keeps a number a row and writes its gradient over the logits.

    Source: Fast_CrossEntropyLoss, kernels/unsloth/cross_entropy_loss.py of fms-acceleration.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        losses = logits.new_empty(logits.shape[0], dtype=torch.float32)
        ctx.save_for_backward(logits, losses.new_empty(logits.shape[0]), labels)
        return losses

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return ctx.saved_tensors[0], None

    @classmethod
    def loss(cls, logits: Tensor, labels: Tensor) -> Tensor:
        losses = cls.apply(logits, labels)
        assert isinstance(losses, Tensor)
        return losses.sum() / torch.count_nonzero(labels != -100)


class _LigerLoss(torch.autograd.Function):
    """The buffers of Liger's fused linear cross entropy: chunks of rows, their logits in two types, whole gradients."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (rows, width), vocabulary = hidden.shape, weight.shape[0]
        chunk = _next_power_of_two(-(-rows // -(-vocabulary // width)))
        grad_weight = torch.zeros_like(weight) if weight.requires_grad else None
        grad_hidden = torch.zeros_like(hidden)
        losses = torch.zeros(rows, dtype=torch.float32)
        logits = part = logits_grad = None
        for start in range(0, min(rows, CHUNK_PASSES * chunk), chunk):
            part = hidden[start : start + chunk]
            logits = part @ weight.t()
            logits = logits.float()
            logits = logits.to(hidden.dtype)
            logits_grad = logits * torch.ones(())
            grad_hidden[start : start + chunk] = logits_grad @ weight
            if grad_weight is not None:
                torch.addmm(grad_weight, logits.t(), part, out=grad_weight)
        del logits, part, logits_grad
        ctx.save_for_backward(grad_hidden, grad_weight)
        return torch.sum(losses)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden, grad_weight, None


def _next_power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


LOSSES: dict[str, LossOf] = {
    "hf": hf_loss,
    "hf-4.45": hf_445_loss,
    "plain": plain_loss,
    "shifted": shifted_loss,
    "unsloth": unsloth_loss,
    "unsloth-4.45": unsloth_445_loss,
    "unsloth-shifted": unsloth_shifted_loss,
    "liger": liger_loss,
    "chunked-head": chunked_head_loss,
}
