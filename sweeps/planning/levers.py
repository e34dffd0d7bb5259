"""Levers on memory that a sweep may search over: each makes a step smaller or faster at some price."""

from __future__ import annotations

import importlib.util
from typing import Any

from sweeps.planning.options import CommonOptions

# Known to be good: half the activations, no copies of the logits, all weights trained, nothing computed twice.
GOOD_ON_GPU = {
    "precision": "bf16-amp",
    "attention": "sdpa",
    "loss": "fused",
    "gradient_checkpointing": False,
    "optimizer": "adamw",
    "lora_rank": 0,
}
GOOD_ON_CPU = GOOD_ON_GPU | {"precision": "fp32", "loss": "hf"}


def searched_levers(options: CommonOptions, on_cuda: bool) -> dict[str, tuple[Any, ...]]:
    """The levers that --search-levers adds to the space, with their values; one that is given stays as it is given."""
    if not options.search_levers:
        return {}
    has_8bit = on_cuda and options.parallel == "ddp" and importlib.util.find_spec("bitsandbytes") is not None
    values: dict[str, tuple[Any, ...]] = {
        "precision": ("fp32", "bf16-amp", "bf16") if on_cuda else ("fp32", "bf16-amp"),
        "attention": ("sdpa", "eager"),
        "loss": ("hf", "fused"),
        "gradient_checkpointing": (False, True),
        "optimizer": ("adamw", "adamw-8bit", "sgd") if has_8bit else ("adamw", "sgd"),
        "lora_rank": (0, 8, 32),
    }
    usual = type(options)()
    return {name: allowed for name, allowed in values.items() if getattr(options, name) == getattr(usual, name)}
