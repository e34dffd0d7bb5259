"""The explanation of another stack's step: components, peak, whether it fits; named as for this project's own."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from data.errors import UserError
from trainables.memory.cards import Card
from trainables.memory.predict import TracedStep
from trainables.memory.stacks.description import Adapters, StackRun
from trainables.memory.stacks.presets import (
    adapter_names,
    litgpt_sharding,
    loss_of,
    trainer_defaults,
    trainer_sharding,
    version_of,
)
from trainables.memory.stacks.step import stack_trace
from trainables.records.settings import TrialSettings

LITGPT_MODELS = ("llama", "mistral", "phi", "gpt_neox", "gemma")


def explain_stack(
    settings: TrialSettings, card: Card, gpus: int, *, stack: str, transformers: str | None, targets: str | None
) -> dict[str, Any]:
    """The document of one step of `stack` ("hf-trainer", "trl" or "litgpt") with the settings, on each of `gpus` cards.

    `transformers` is the version of that library, None for the newest; `targets` names the linear layers that have
    adapters, None for peft's choice. Sizes are in bytes; there are no remedies. Raises: UserError for what the stack
    does not have; ModelError where the model cannot be had.
    """
    started = time.perf_counter()
    run = _run(settings, gpus, stack, transformers, targets)
    prediction = TracedStep(stack_trace(run)).on(card)
    return {
        "settings": dataclasses.asdict(settings),
        "stack": {"name": stack, "transformers": transformers, "lora_targets": targets},
        "gpu": card.name,
        "device": card.device,
        "allocated_bytes": prediction.allocated_bytes,
        "reserved_bytes": prediction.reserved_bytes,
        "device_bytes": prediction.device_bytes,
        "capacity_bytes": card.capacity_bytes,
        "fits": prediction.fits,
        "peak_phase": prediction.peak_phase,
        "peak_operation": prediction.peak_operation,
        "components": prediction.components,
        "allocator_slack_bytes": prediction.reserved_bytes - prediction.allocated_bytes,
        "context_bytes": card.constants.context_bytes,
        "interval": {"low_bytes": prediction.low_bytes, "high_bytes": prediction.high_bytes},
        "sharded": {"gpus": gpus},
        "method": prediction.method,
        "version": prediction.version,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _run(settings: TrialSettings, gpus: int, stack: str, transformers: str | None, targets: str | None) -> StackRun:
    from trainables.model.models import find_model, load_config

    config: Any = load_config(find_model(settings.model), settings.weights)
    version = _version(transformers)
    if settings.precision == "fp16-amp":
        raise UserError(f"precision=fp16-amp is not known for stack {stack}; choose fp32, bf16 or bf16-amp.")
    is_litgpt = stack == "litgpt"
    if is_litgpt and config.model_type not in LITGPT_MODELS:
        raise UserError(f"litgpt has no {config.model_type} model here; known: {', '.join(LITGPT_MODELS)}.")
    adapters = _adapters(settings, config, targets, is_litgpt=is_litgpt)
    sharding = None
    if gpus > 1 and is_litgpt:
        sharding = litgpt_sharding(gpus)
    elif gpus > 1:
        is_mixed = settings.precision == "bf16-amp"
        sharding = trainer_sharding(gpus, is_mixed=is_mixed, has_adapters=adapters is not None, version=version)
    fields: dict[str, Any] = {
        "loss": loss_of(config.model_type, version, "liger" if settings.loss == "fused" else "torch"),
        **trainer_defaults(config, version),
    }
    if is_litgpt:
        fields = {"loss": "chunked-head", "keeps_outputs": True, "clips": False}
    return StackRun(
        stack=stack,
        config=config,
        micro_batch_size=settings.micro_batch_size,
        sequence_length=settings.sequence_length,
        accumulation=settings.accumulation_steps,
        weights="bf16" if settings.precision == "bf16" else "fp32",
        autocast=settings.precision == "bf16-amp",
        attention=settings.attention,
        gradient_checkpointing=settings.gradient_checkpointing,
        optimizer=settings.optimizer,
        adapters=adapters,
        sharding=sharding,
        **fields,
    )


def _version(text: str | None) -> tuple[int, ...]:
    try:
        return version_of(text)
    except ValueError:
        raise UserError(f"transformers={text!r} is not a version; write one such as 4.48 or 4.45.2.") from None


def _adapters(settings: TrialSettings, config: Any, targets: str | None, *, is_litgpt: bool) -> Adapters | None:
    if not settings.lora_rank:
        if targets is not None:
            raise UserError(f"lora_targets={targets}: there are no adapters; give --lora-rank as well.")
        return None
    if is_litgpt:
        names: tuple[str, ...] = tuple((targets or "q,v").split(","))
    elif targets is not None:
        names = ("all-linear",) if targets == "all-linear" else adapter_names(targets)
    else:
        from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as CHOICES

        if config.model_type not in CHOICES:
            raise UserError(
                f"peft has no default layers for a {config.model_type}; give --lora-targets, such as q,k,v,o."
            )
        names = tuple(CHOICES[config.model_type])
    is_fp32 = not is_litgpt
    return Adapters(rank=settings.lora_rank, targets=names, dropout=0.05, is_fp32=is_fp32)
