"""What a stack does by default, by its version and the model's kind: rules that a reader can check in its source."""

from __future__ import annotations

from typing import Any

from trainables.memory.stacks.description import Sharding

Version = tuple[int, ...]
NEWEST: Version = (99,)
# Models whose flash attention was given repeated keys and values to transformers 4.47; from 4.48 on no dense one.
# Source: `repeat_kv` in their FlashAttention2 classes, 4.45.2; integrations/flash_attention.py, 4.48.1.
REPEATED_TO_447 = ("mistral", "mixtral", "qwen2", "phi3", "starcoder2")
REPEATED_TO_448 = ("qwen2_moe", "phimoe")
# Families in which a model of width-many keys is called by the same four matrices. Source: their modelling files.
GATED_NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def version_of(text: str | None) -> Version:
    """The first number of a version as people write it, such as 4.37-4.38 or 4.4x; newest where there is none."""
    if text is None:
        return NEWEST
    first = text.split("-")[0].split("+")[0].replace("x", "0")
    return tuple(int(part) for part in first.split("."))


def repeats_keys(model_type: str, version: Version) -> bool:
    """Whether transformers gives flash attention keys and values for every query head."""
    return (version < (4, 48) and model_type in REPEATED_TO_447) or (
        version < (4, 49) and model_type in REPEATED_TO_448
    )


def loss_of(model_type: str, version: Version, kernel: str = "torch") -> str:
    """How transformers' own model makes its loss, where `kernel` ("torch", "unsloth", "liger") computes it."""
    if kernel == "liger":
        return "liger"
    if model_type == "gpt_bigcode" and version < (4, 50):
        return "unsloth-shifted" if kernel == "unsloth" else "shifted"
    name = "unsloth" if kernel == "unsloth" else "hf"
    return f"{name}-4.45" if version < (4, 46) else name


def trainer_defaults(config: Any, version: Version) -> dict[str, Any]:
    """Fields of a `StackRun` that Hugging Face's Trainer sets whatever one asks for.

    Checkpointing is reentrant to 4.x (`gradient_checkpointing_enable`, modeling_utils.py). Norms and biases are a group
    of their own (`Trainer.create_optimizer`). A GPTBigCode keeps its cache while it trains.
    """
    return {
        "is_reentrant": version < (5, 0),
        "parameter_groups": 2,
        "keeps_projections": config.model_type == "gpt_bigcode" and version < (4, 50),
    }


def trainer_sharding(cards: int, *, is_mixed: bool, has_adapters: bool, version: Version) -> Sharding:
    """FSDP1 as accelerate 1.0 sets it up for Trainer.

    Original weights are kept (`--fsdp_use_orig_params`, its launcher's default), adapters are wrapped by peft's policy
    (`Trainer._fsdp_qlora_plugin_updates`), and with Trainer's `bf16` FSDP computes in it and what is trained is fp32.
    Layers were checkpointed from outside of their units until they did so themselves (4.53).
    """
    return Sharding(
        kind="fsdp1",
        cards=cards,
        precision="bf16" if is_mixed else None,
        originals=True,
        wraps_adapters=has_adapters,
        upcasts_trained=is_mixed,
        checkpoints_around=version < (4, 53),
    )


def litgpt_sharding(cards: int) -> Sharding:
    """Fabric's FSDP1 as litgpt calls it: a unit a block, gradients exchanged with the last micro-batch only.

    Source: `setup` and `train` of finetune/lora.py, December 2023.
    """
    return Sharding(kind="fsdp1", cards=cards, precision="bf16", originals=True, is_synced_late=True)


def adapter_names(text: str) -> tuple[str, ...]:
    """The linear layers that short names such as "q,v" mean; names of four letters and more are taken as they are."""
    short = {name.removesuffix("_proj"): name for name in GATED_NAMES}
    return tuple(short.get(name, name) for name in text.split(","))
