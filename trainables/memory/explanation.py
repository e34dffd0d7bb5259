"""Everything `explain_memory` tells of one training step, as a plain document that is cached whole."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import sys
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

from data.errors import UserError
from trainables.memory.cards import CARD_BYTES, card_bytes
from trainables.memory.closed_form import ModelShape
from trainables.memory.constants import constants_for
from trainables.memory.micro_batch import largest_micro_batch_size
from trainables.memory.predict import predict, predict_by_formula
from trainables.memory.remedies import remedies
from trainables.memory.sharding import cards_needed, sharded_memory
from trainables.memory.trace_cache import cache_key, load_document, store_document
from trainables.memory.trial_trace import trial_facts
from trainables.settings import TrialSettings

HOPELESS = 2  # a step whose formula needs this many times the card is not traced: the answer is clear


def explain(settings: TrialSettings, *, gpu: str, capacity_bytes: int, on_cuda: bool, gpus: int = 1) -> dict[str, Any]:
    """Components, peak, fits or not, the largest micro-batch, remedies and sharded figures; sizes in bytes.

    Raises: UserError for a sequence longer than the model's positions or a LoRA rank above its width; ModelError.
    """
    started = time.perf_counter()
    facts = trial_facts(settings, "cuda" if on_cuda else "cpu")
    key = cache_key(facts | {"gpu": gpu, "capacity": capacity_bytes, "gpus": gpus, "batch_size": settings.batch_size})
    document = load_document(key)
    if document is None:
        with _quick_imports():
            document = _explain(settings, gpu, capacity_bytes, on_cuda, gpus)
        store_document(key, json.dumps(document))
    return document | {"seconds": round(time.perf_counter() - started, 3)}


@contextlib.contextmanager
def _quick_imports() -> Iterator[None]:
    """Import thousands of modules without what takes most of a second and serves nothing here.

    All modules stay, so that looking for garbage among them is in vain; and transformers loads scipy for the losses of
    vision models.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        if "transformers.loss" not in sys.modules:
            import transformers.utils

            with mock.patch.object(transformers.utils, "is_scipy_available", return_value=False):
                import transformers.loss.loss_utils
        yield
    finally:
        if was_on:
            gc.enable()


def _explain(settings: TrialSettings, gpu: str, capacity_bytes: int, on_cuda: bool, gpus: int) -> dict[str, Any]:
    from trainables.models import find_model, load_config, model_shape

    config = load_config(find_model(settings.model), settings.weights)
    _check(settings, config)
    shape = model_shape(config)
    target = {"gpu": gpu, "capacity_bytes": capacity_bytes, "on_cuda": on_cuda}
    prediction = predict_by_formula(settings, shape, **target)
    if prediction.allocated_bytes > HOPELESS * capacity_bytes:
        largest = 0 if _one_sequence_is_hopeless(settings, shape, capacity_bytes) else None
    else:
        prediction, largest = predict(settings, **target), None
    if largest is None and on_cuda:
        largest = largest_micro_batch_size(settings, shape, **target)
    sharded = sharded_memory(settings, shape, gpus)
    return {
        "settings": dataclasses.asdict(settings),
        "gpu": gpu if on_cuda else None,
        "device": "cuda" if on_cuda else "cpu",
        "allocated_bytes": prediction.allocated_bytes,
        "reserved_bytes": prediction.reserved_bytes,
        "device_bytes": prediction.device_bytes,
        "capacity_bytes": capacity_bytes,
        "fits": prediction.fits,
        "largest_micro_batch_size": largest,
        "peak_phase": prediction.peak_phase,
        "peak_operation": prediction.peak_operation,
        "components": prediction.components,
        "allocator_slack_bytes": prediction.reserved_bytes - prediction.allocated_bytes,
        "context_bytes": constants_for(gpu).context_bytes if on_cuda else 0,
        "interval": {"low_bytes": prediction.low_bytes, "high_bytes": prediction.high_bytes},
        "remedies": [dataclasses.asdict(remedy) for remedy in remedies(settings, shape, prediction, on_cuda=on_cuda)],
        "sharded": dataclasses.asdict(sharded) | {"fits": sharded.device_bytes <= capacity_bytes},
        "cards_needed": _cards_needed(settings, shape, is_traced=prediction.method != "closed_form"),
        "method": prediction.method,
        "version": prediction.version,
    }


def _cards_needed(settings: TrialSettings, shape: ModelShape, *, is_traced: bool) -> dict[str, int | None]:
    """How many cards of each kind hold the step: one where its own prediction fits, else by the sharded formula."""
    needed: dict[str, int | None] = {}
    for name in CARD_BYTES:
        count = cards_needed(settings, shape, card_bytes(name))
        if is_traced and count is not None:
            alone = predict(settings, shape, gpu=name, capacity_bytes=card_bytes(name), on_cuda=True)
            count = 1 if alone.fits else max(2, count)
        needed[name] = count
    return needed


def _one_sequence_is_hopeless(settings: TrialSettings, shape: ModelShape, capacity_bytes: int) -> bool:
    alone = dataclasses.replace(settings, micro_batch_size=1, batch_size=settings.workers)
    made = predict_by_formula(alone, shape, gpu=None, capacity_bytes=capacity_bytes, on_cuda=True)
    return made.allocated_bytes > HOPELESS * capacity_bytes


def _check(settings: TrialSettings, config: Any) -> None:
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and settings.sequence_length > positions:
        raise UserError(
            f"sequence_length={settings.sequence_length} is longer than the {positions} positions of"
            f" {settings.model}; choose 1 to {positions}."
        )
    if settings.lora_rank > config.hidden_size:
        raise UserError(
            f"lora_rank={settings.lora_rank} is above the width {config.hidden_size} of {settings.model};"
            f" choose 1 to {config.hidden_size}."
        )
