"""Rows of published peaks of other people's stacks, each as the run of a stack that its fields describe.

The rules look at a row's fields alone (framework, versions, loss, optimizer), never at what was measured; each says
where the library does what is asked of it.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from trainables.memory.stacks.description import Adapters, Sharding, StackRun
from trainables.memory.stacks.presets import (
    adapter_names,
    litgpt_sharding,
    loss_of,
    repeats_keys,
    trainer_defaults,
    trainer_sharding,
    version_of,
)

# Models whose RMSNorm and rotary embedding fms-acceleration replaces. Source: models/ of its fused-ops-and-kernels.
FUSED = ("llama", "mistral", "mixtral", "granite")
# Qwen's own modelling code names its matrices otherwise; its stand-in is built of transformers' Qwen2.
QWEN_NAMES = {
    "c_attn": ("q_proj", "k_proj", "v_proj"),
    "c_proj": ("o_proj", "down_proj"),
    "w1": ("up_proj",),
    "w2": ("gate_proj",),
}


# Matrices that are one in these models. Source: modeling_phi3.py.
MERGED = {
    "phi3": {
        "q_proj": "qkv_proj",
        "k_proj": "qkv_proj",
        "v_proj": "qkv_proj",
        "gate_proj": "gate_up_proj",
        "up_proj": "gate_up_proj",
    }
}


class NotExpressibleError(Exception):
    """A row asks for something that no stack here can be told; the message says what."""


def stack_run(row: dict[str, Any], configs: Path) -> StackRun:
    """The run that a row's fields describe. Raises: NotExpressibleError, OSError or ValueError where it has none."""
    config = _config(configs / f"{row['config']}.json")
    framework = row["framework"]
    common = {
        "config": config,
        "micro_batch_size": row["micro_batch_size"],
        "sequence_length": row["sequence_length"],
        "accumulation": row["accumulation"],
        "weights": _weights(row),
        "autocast": "autocast" in row["compute"],
        "gradient_checkpointing": row["gradient_checkpointing"],
        **_optimizer(row),
    }
    if framework.startswith("litgpt"):
        return StackRun(**common, **_litgpt(row))
    if framework.startswith("the book"):
        return StackRun(**common, **_book(row))
    if "Trainer" in framework:
        return StackRun(**common, **_trainer(row, config))
    return StackRun(**common, **_loop(row, config))


def _weights(row: dict[str, Any]) -> str:
    """The type that weights are held in; fp16 takes as much as bf16. Raises: NotExpressibleError for quantised ones."""
    told = row["weights"]
    if told.startswith("fp32"):
        return "fp32"
    if told.startswith(("bf16", "fp16")):
        return "bf16"
    raise NotExpressibleError(f"weights {told}.")


def _optimizer(row: dict[str, Any]) -> dict[str, str]:
    """Which optimizer, in which of torch's implementations; foreach is torch's default on CUDA.

    Raises: NotExpressibleError for one that no stack here has, such as Adafactor or one with paged states.
    """
    told = row["optimizer"].lower().replace("-", "")
    implementation = "fused" if "fused" in told else "for-loop" if "one weight at a time" in told else "foreach"
    is_adam = told.startswith("adam") and not told.startswith(("adamax", "adamini", "adam_mini"))
    if is_adam and "paged" not in told and "4bit" not in told:
        return {"optimizer": "adamw-8bit" if "8bit" in told else "adamw", "implementation": implementation}
    if told.startswith("sgd") and "momentum" not in told:
        return {"optimizer": "sgd", "implementation": implementation}
    raise NotExpressibleError(f"optimizer {row['optimizer']}.")


@functools.cache
def _config(path: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(path)


def _attention(row: dict[str, Any], config: Any) -> dict[str, Any]:
    told = row["attention"]
    if told.startswith("flash"):
        repeated = repeats_keys(config.model_type, version_of(row["transformers"]))
        return {"attention": "flash-attn", "repeats_keys": repeated}
    return {"attention": "eager" if told.startswith(("eager", "own")) or not _has_sdpa(config) else "sdpa"}


def _has_sdpa(config: Any) -> bool:
    """Whether the model may use torch's own attention; one that may not, as Gemma 2 may not, falls back to eager."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM._model_mapping[type(config)]
    return bool(model._supports_sdpa)


def _loss(row: dict[str, Any], config: Any) -> str:
    told = row["loss"]
    if told.startswith("cross entropy over logits"):
        return "plain"
    kernel = "liger" if told.startswith("fused") else "unsloth" if told == "unsloth-ce" else "torch"
    return loss_of(config.model_type, version_of(row["transformers"]), kernel)


def _adapters(row: dict[str, Any], config: Any) -> Adapters | None:
    told = row["lora"]
    if not told:
        return None
    if told["targets"] in ("all linear", "all-linear"):
        names: tuple[str, ...] = ("all-linear",)
    else:
        wanted = told["targets"].split(",")
        names = tuple(n for name in wanted for n in QWEN_NAMES.get(name, adapter_names(name)))
        merged = MERGED.get(config.model_type, {})
        names = tuple(dict.fromkeys(merged.get(name, name) for name in names))
    return Adapters(rank=told["rank"], targets=names, dropout=told["dropout"], is_fp32=told["adapter_dtype"] == "fp32")


def _trainer(row: dict[str, Any], config: Any) -> dict[str, Any]:
    fused = row["framework"].startswith("fms") and row["loss"] in ("unsloth-ce", "fused") and config.model_type in FUSED
    return {
        "stack": "trl" if "SFTTrainer" in row["framework"] else "hf-trainer",
        "loss": _loss(row, config),
        "adapters": _adapters(row, config),
        "has_fused_kernels": fused,
        "sharding": _sharding(row),
        **trainer_defaults(config, version_of(row["transformers"])),
        **_attention(row, config),
    }


def _loop(row: dict[str, Any], config: Any) -> dict[str, Any]:
    """A loop of their own around a transformers model: one group, outputs held while the gradients are made."""
    return {
        "stack": "loop",
        "loss": _loss(row, config),
        "adapters": _adapters(row, config),
        "keeps_outputs": True,
        "clips": row["sharding"] != "none",
        "sharding": _sharding(row),
        **_attention(row, config),
    }


def _book(row: dict[str, Any]) -> dict[str, Any]:
    """The book's own GPT: tanh GELU in one kernel. Source: ch05/10_llm-training-speed of rasbt/LLMs-from-scratch."""
    return {
        "stack": "loop",
        "loss": "plain",
        "attention": "sdpa" if row["attention"].startswith("sdpa") else "eager",
        "activation": None if any("GELU" in told for told in row["not_expressed"]) else "gelu_pytorch_tanh",
        "clips": False,
        "adapters": None,
    }


def _litgpt(row: dict[str, Any]) -> dict[str, Any]:
    """litgpt's finetune/lora.py: no clipping, the logits of a step are held until the next one's are there.

    Only its first batch is as long as the longest line (get_batch), so that nothing is held from an earlier one.
    """
    told = row["lora"]
    parts = told["targets"].split(",")
    if "all linear" in told["targets"]:
        parts = ["q", "k", "v", "projection", "mlp", *(["head"] if "head" in told["targets"] else [])]
    return {
        "stack": "litgpt",
        "loss": "chunked-head",
        "attention": "sdpa",
        "keeps_outputs": True,
        "clips": False,
        "is_one_batch": row["sequence_kind"].endswith("in the first batch"),
        "adapters": Adapters(rank=told["rank"], targets=tuple(parts), dropout=told["dropout"], is_fp32=False),
        "sharding": _sharding(row),
    }


def _sharding(row: dict[str, Any]) -> Sharding | None:
    """How a row's framework shards; fsdp_qlora's own loop has FSDP1 with flat weights, its adapters wrapped."""
    if row["gpus"] == 1 or row["sharding"] == "none":
        return None
    if row["sharding"] != "fsdp1 full shard":
        raise NotExpressibleError(f"sharding {row['sharding']} over {row['gpus']} cards.")
    framework, cards = row["framework"], row["gpus"]
    if framework.startswith("litgpt"):
        return litgpt_sharding(cards)
    if "Trainer" in framework:
        return trainer_sharding(
            cards,
            is_mixed="autocast" in row["compute"],
            has_adapters=bool(row["lora"]),
            version=version_of(row["transformers"]),
        )
    return Sharding(kind="fsdp1", cards=cards, wraps_adapters=bool(row["lora"]))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file in order. Raises: OSError or ValueError where it is no such file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
