"""Held-out loss of a causal language model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional

from data.batches import Rows, collate
from trainables.training_step import autocast


@torch.no_grad()
def mean_loss(model: torch.nn.Module, rows: Rows, *, batch_size: int, precision: str) -> float:
    """Mean next-token loss over all unmasked tokens of `rows`, in nats, without dropout.

    The model's training mode is put back afterwards, and no random number is drawn.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total_loss, total_tokens = 0.0, 0
    for indices in _chunks(len(rows.lengths), batch_size):
        batch = collate(rows, indices)
        with autocast(precision, device):
            logits_BTV = model(input_ids=batch.input_ids_BT.to(device), use_cache=False).logits
        targets_BT = batch.labels_BT[:, 1:].to(device)
        losses = functional.cross_entropy(
            logits_BTV[:, :-1].float().flatten(0, 1), targets_BT.flatten(), ignore_index=-100, reduction="sum"
        )
        total_loss += float(losses)
        total_tokens += int((targets_BT != -100).sum())
    model.train(was_training)
    return total_loss / total_tokens


def _chunks(count: int, size: int) -> Iterator[torch.Tensor]:
    yield from torch.arange(count).split(size)
