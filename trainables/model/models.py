"""Which models there are, and how one is loaded: nano sizes, SmolLM2, Galactica by size, any causal LM, any GGUF."""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data.errors import UserError
from data.hub import asking_the_hub, hub_trouble
from trainables.model import smollm2
from trainables.model.gguf_weights import convert, find_gguf, origin_of
from trainables.records.settings import TrialSettings

if TYPE_CHECKING:
    import torch
    from transformers import OPTConfig, PretrainedConfig, PreTrainedModel


NANO_FOLDER = Path(__file__).resolve().parents[2] / "data" / "nano"
NANO_SIZES = ("nano-0.1m", "nano-0.3m", "nano-0.6m", "nano-1m", "nano-2m", "nano-4m")
NANO_BUILT = ("nano-9m",)  # not shipped: whoever wants them builds them

# Source: Taylor et al. 2022, "Galactica", table 1: layers, width, heads.
GALACTICA_SHAPES = {
    "125m": (12, 768, 12),
    "1.3b": (24, 2048, 32),
    "6.7b": (32, 4096, 32),
    "30b": (48, 7168, 56),
    "120b": (96, 10240, 80),
}


class ModelError(UserError):
    """A model that is not known or cannot be had; the message is one line for a person."""


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where a model comes from. `location` is a folder or a hub name; `size` is Galactica's, or None.

    `origin` says where converted weights come from and under which licence, where that is known.
    """

    name: str
    location: str
    size: str | None
    origin: str = ""

    @property
    def is_local(self) -> bool:
        """Whether `location` is a folder on this machine."""
        return os.path.isdir(self.location)


def find_model(name: str) -> ModelSource:
    """The source of a model called by size, by hub name or by path.

    A GGUF file, and SmolLM2 by its size, are converted (and fetched) at the first call on a machine.
    Raises: ModelError for a name that is none of these; the message lists the known sizes. UserError for a GGUF file
        that cannot be read, or SmolLM2 where it cannot be fetched.
    """
    if name in (*NANO_SIZES, *NANO_BUILT):
        if name in NANO_BUILT and not (NANO_FOLDER / name).is_dir():
            raise ModelError(
                f"model size {name!r} is not shipped; build it with `python data/build_nano.py --size {name}`, or leave"
                " it out."
            )
        return ModelSource(name=name, location=str(NANO_FOLDER / name), size=None)
    if name in GALACTICA_SHAPES:
        return ModelSource(name=name, location=f"facebook/galactica-{name}", size=name)
    if name == smollm2.NAME:
        folder = str(smollm2.smollm2_folder())
        return ModelSource(name=name, location=folder, size=None, origin=origin_of(folder))
    if file := find_gguf(name):
        folder = str(convert(file))
        return ModelSource(name=name, location=folder, size=None, origin=origin_of(folder))
    if os.path.isdir(name):
        return ModelSource(name=name, location=os.path.abspath(name), size=None)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return ModelSource(name=name, location=name, size=None)
    known = ", ".join((*NANO_SIZES, smollm2.NAME, *GALACTICA_SHAPES))
    raise ModelError(
        f"unknown model size {name!r}; known: {known}, a hub name such as owner/model, a model folder or a GGUF file."
    )


def settled_name(name: str) -> str:
    """The name by which a model is found from any folder: a file's or a folder's whole path, any other as it is."""
    if name in (*NANO_SIZES, *NANO_BUILT, *GALACTICA_SHAPES, smollm2.NAME):
        return name
    path = os.path.expanduser(name)
    return os.path.abspath(path) if os.path.exists(path) else name


def galactica_config(size: str) -> OPTConfig:
    """The architecture of a Galactica size as the paper gives it: no biases, no affine layer norms.

    For random weights without a network. The hub's own config, where it can be read, is the authority for real weights.
    """
    from transformers import OPTConfig

    layers, width, heads = GALACTICA_SHAPES[size]
    return OPTConfig(
        vocab_size=50_000,
        hidden_size=width,
        num_hidden_layers=layers,
        ffn_dim=4 * width,
        num_attention_heads=heads,
        max_position_embeddings=2048,
        activation_function="gelu",
        dropout=0.1,
        attention_dropout=0.1,
        enable_bias=False,
        layer_norm_elementwise_affine=False,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )


def load_config(source: ModelSource, weights: Literal["pretrained", "random"]) -> PretrainedConfig:
    """The config of a model; with random weights a Galactica size needs no network.

    Raises: ModelError when the hub cannot be reached or does not have it.
    """
    if weights == "random" and source.size is not None:
        return galactica_config(source.size)
    from transformers import AutoConfig

    try:
        with _asking(source):
            return AutoConfig.from_pretrained(source.location, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _unavailable(source, error) from None


def load_model(
    source: ModelSource,
    *,
    weights: Literal["pretrained", "random"],
    dtype: torch.dtype,
    attention: Literal["sdpa", "eager"],
    seed: int,
) -> PreTrainedModel:
    """The model in training mode on the CPU, its weights in `dtype`; random ones are drawn from `seed`.

    Weights are read from safetensors, or from `.bin` files with torch's weights-only reader; no code of theirs runs.
    Raises: ModelError when the weights cannot be had, or lack a tensor that would then start at random.
    """
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    config = load_config(source, weights)
    try:
        if weights == "random":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
        else:
            with _asking(source):
                loaded: Any = AutoModelForCausalLM.from_pretrained(
                    source.location,
                    config=config,
                    dtype=dtype,
                    attn_implementation=attention,
                    trust_remote_code=False,
                    ignore_mismatched_sizes=True,  # reported below, by name
                    output_loading_info=True,
                )
            model, found = loaded
            _check_whole(source, found)
    except UnpicklingError:
        raise ModelError(
            f"model {source.name!r}: its .bin weights are not plain tensors, and pickled code is never run;"
            " give a copy in safetensors."
        ) from None
    except ModelError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unavailable(source, error) from None
    model.config.use_cache = False
    return model.train()


def weight_type(settings: TrialSettings) -> torch.dtype:
    """The number format that weights are kept in; under autocast they stay fp32."""
    import torch

    return torch.bfloat16 if settings.precision == "bf16" else torch.float32


def apply_levers(model: PreTrainedModel, settings: TrialSettings) -> None:
    """Low-rank adapters and gradient checkpointing, where the settings ask for them.

    Raises: ModelError for a rank above the model's width.
    """
    add_adapters(model, settings)
    if settings.gradient_checkpointing:
        is_older = not hasattr(model, "activation_checkpointing_enable")  # transformers 5.17
        enable = model.gradient_checkpointing_enable if is_older else model.activation_checkpointing_enable
        enable({"use_reentrant": False})


def add_adapters(model: PreTrainedModel, settings: TrialSettings) -> None:
    """Freeze the weights and add trainable low-rank adapters, kept in fp32, where the settings ask for them.

    By default they go where peft puts them for this architecture.
    Raises: ModelError for a rank above the model's width.
    """
    if not settings.lora_rank:
        return
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    rank, width = settings.lora_rank, model.config.hidden_size
    if rank > width:
        raise ModelError(f"lora_rank={rank} is above the model's width {width}; choose a rank from 1 to {width}.")
    targets = {"default": None, "all-linear": "all-linear"}.get(settings.lora_targets, _attention_layers(model))
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules=targets), model)
    for name, module in model.named_modules():
        if ".lora_" in name:
            torch.nn.Module.to(module, torch.float32)


def _attention_layers(model: PreTrainedModel) -> list[str]:
    """The linear layers of a model's attention, with the module they stand in: "self_attn.q_proj" and so on."""
    import torch
    from transformers.pytorch_utils import Conv1D

    modules = ((name.split("."), module) for name, module in model.named_modules())
    linear = [path for path, module in modules if isinstance(module, (torch.nn.Linear, Conv1D))]
    return sorted({".".join(path[-2:]) for path in linear if any("att" in part for part in path[:-1])})


def tokenizer_location(source: ModelSource, weights: Literal["pretrained", "random"]) -> str:
    """Where the tokenizer of a model lies; a Galactica size with random weights borrows the nano family's."""
    if weights == "random" and source.size is not None:
        return str(NANO_FOLDER / NANO_SIZES[0])
    return source.location


def _check_whole(source: ModelSource, found: dict[str, Any]) -> None:
    absent = sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])})
    if absent:
        raise ModelError(
            f"model {source.name!r}: {len(absent)} weights, such as {absent[0]}, are missing or differ in shape from"
            " its config.json, and would start at random; get a complete copy."
        )


def _asking(source: ModelSource) -> AbstractContextManager[None]:
    return contextlib.nullcontext() if source.is_local else asking_the_hub()


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")


def _unavailable(source: ModelSource, error: Exception) -> ModelError:
    reason = str(error).strip().splitlines()[0].rstrip(".") if source.is_local else hub_trouble(error)
    if "scaled_dot_product_attention" in reason:
        return ModelError(f"model {source.name!r} has no sdpa attention; give --attention eager.")
    if source.is_local:
        return ModelError(f"model folder {source.location} cannot be loaded: {reason}.")
    return ModelError(
        f"model {source.name!r} ({source.location}) cannot be fetched from the hub: {reason}. Without a network: run"
        f" `hf download {source.location}` where there is one and give the folder, or use {', '.join(NANO_SIZES)},"
        " or --weights random."
    )


def model_shape(config: PretrainedConfig) -> ModelShape:
    """What the memory formula needs of an architecture; parameters are counted on a model without storage.

    Raises: ModelError for an architecture that is no causal language model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except ValueError as error:
        raise ModelError(f"a model of type {config.model_type!r} cannot be trained: {_reason(error)}.") from None
    model.tie_weights()
    width = config.hidden_size
    feed_forward = getattr(config, "ffn_dim", None) or getattr(config, "n_inner", None)
    feed_forward = feed_forward or getattr(config, "intermediate_size", None) or 4 * width
    dropouts = ("dropout", "resid_pdrop", "resid_dropout", "hidden_dropout", "attention_dropout")
    return ModelShape(
        layers=config.num_hidden_layers,
        width=width,
        heads=config.num_attention_heads,
        ffn_width=feed_forward,
        vocabulary=config.vocab_size,
        parameters=sum(p.numel() for p in {id(p): p for p in model.parameters()}.values()),
        has_dropout=any(getattr(config, name, 0) for name in dropouts),
    )


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What the formula needs of an architecture; `parameters` counts tied weights once."""

    layers: int
    width: int
    heads: int
    ffn_width: int
    vocabulary: int
    parameters: int
    has_dropout: bool
