"""How fast one step trains on this machine: what a size costs before any trial of it runs."""

from __future__ import annotations

import time
from contextlib import nullcontext

import torch

from data.batches import Batch
from trainables.model.models import apply_levers, find_model, load_model, weight_type
from trainables.model.step import CausalLoss, make_optimizer, make_scaler, make_schedule, training_step
from trainables.records.settings import TrialSettings

STEPS = 2  # the first allocates and is cold, the second is timed


def tokens_per_second(settings: TrialSettings, on_cuda: bool, threads: int) -> float | None:
    """Tokens per second of the second of two steps on rows that are full, one worker, random weights.

    Weights do not matter to speed, so none are fetched. `threads` are those of a CPU.
    Returns: None where a GPU is asked for and this machine has none.
    Raises: out-of-memory errors as they come.
    """
    if on_cuda and not torch.cuda.is_available():
        return None
    device = torch.device("cuda" if on_cuda else "cpu")
    if not on_cuda:
        torch.set_num_threads(threads)
    model = load_model(
        find_model(settings.model),
        weights="random",
        dtype=weight_type(settings),
        attention=settings.attention,
        seed=settings.seed,
    )
    model.to(device)  # pyright: ignore[reportArgumentType]  # transformers' wraps() hides the self
    apply_levers(model, settings)
    words = model.config.get_text_config().vocab_size
    shape = (settings.micro_batch_size, settings.sequence_length)
    ids_BT = torch.randint(words, shape, generator=torch.Generator().manual_seed(settings.seed)).to(device)
    batch = Batch(input_ids_BT=ids_BT, labels_BT=ids_BT)
    loss_module = CausalLoss(model, settings.loss)
    optimizer = make_optimizer(model.parameters(), settings.learning_rate, settings.optimizer)
    schedule, scaler = make_schedule(optimizer, STEPS), make_scaler(settings.precision, device)
    seconds = 0.0
    for _ in range(STEPS):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        training_step(
            loss_module,
            [batch] * settings.accumulation_steps,
            optimizer,
            schedule,
            target_tokens=float(settings.batch_size * settings.sequence_length),
            precision=settings.precision,
            phase=lambda _: nullcontext(),
            scaler=scaler,
        )
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    return settings.batch_size * settings.sequence_length / seconds
