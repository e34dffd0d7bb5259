"""Every setting that decides a trial, declared once. Standard library only.

A field of `TrialSettings` is the trial's own; one of `SharedSettings` is the plan's too, and a flag of every sweep.
What a `Setting` says beside it decides the rest: the help text of its flag; where memory depends on it, the flag of
`explain_memory` and a part of the name of a cached trace; what --search-levers tries; its topic in wandb; its words in
a line of text.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

Topic = Literal["model", "train", "memory", "data", "sampling"]


class SettingsError(ValueError):
    """Settings that contradict one another or mean nothing, in one line; the caller knows whose mistake it is."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is declared of a setting beside its name, type and default.

    A lever is a setting with values that --search-levers tries. `good` is what is known to be good on a CPU or on CUDA;
    without it that is the default, as `on_cuda` is where the device does not matter. `needs` names the package that a
    value needs; `words` puts a value into a line of text, empty where there is nothing to say. `only_with` names the
    setting without which this one means nothing, as long as that is 0.
    """

    help: str = ""
    topic: Topic = "train"
    decides_memory: bool = False
    default_on_cuda: Any = None
    tried: tuple[Any, ...] = ()
    tried_on_cuda: tuple[Any, ...] = ()
    good_on_cuda: Any = None
    needs: Mapping[Any, str] = field(default_factory=dict)
    words: Callable[[Any], str] = str
    only_with: str = ""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a trial trains, on how much, and how fast it learns: what a point of a sweep's space says.

    `batch_size` is sequences per optimizer step; `micro_batch_size` is sequences on one device at once.
    `token_budget` is the number of real (not padding) tokens trained on.
    """

    model: Annotated[str, Setting(topic="model", decides_memory=True)]
    batch_size: int
    micro_batch_size: Annotated[int, Setting(topic="memory", decides_memory=True)]
    learning_rate: float
    sequence_length: Annotated[int, Setting(topic="data", decides_memory=True)]
    token_budget: int


@dataclass(frozen=True, kw_only=True)
class SharedSettings:
    """What a sweep says once for all of its trials, but for the levers that it searches.

    `parallel` says what several workers hold: copies (DDP) or shards (FSDP) of the model. `lora_rank` 0 trains every
    weight.
    """

    seed: Annotated[int, Setting(help="Seed of the proposals, the weights, the order of the data and the samples.")] = 0
    data: Annotated[
        str,
        Setting(
            help="A .txt, .csv or .jsonl file of quotes, or a Hugging Face data set name. The shipped quotes by"
            " default.",
            topic="data",
        ),
    ] = "shipped"
    weights: Annotated[
        Literal["pretrained", "random"],
        Setting(
            help="Random weights measure memory and speed only; quality is then recorded as not measured.",
            topic="model",
            decides_memory=True,
        ),
    ] = "pretrained"
    layout: Annotated[
        Literal["packed", "padded"],
        Setting(help="Rows of several whole quotes, or one quote a row.", topic="data"),
    ] = "packed"
    precision: Annotated[
        Literal["fp32", "bf16-amp", "fp16-amp", "bf16"],
        Setting(
            help="Number format of training.",
            topic="model",
            decides_memory=True,
            default_on_cuda="bf16-amp",
            tried=("fp32", "bf16-amp"),
            tried_on_cuda=("fp32", "bf16-amp", "bf16"),
            good_on_cuda="bf16-amp",  # half the activations
        ),
    ] = "fp32"
    attention: Annotated[
        Literal["sdpa", "eager"],
        Setting(
            help="Attention implementation.",
            topic="model",
            decides_memory=True,
            tried=("sdpa", "eager"),
            words="{} attention".format,
        ),
    ] = "sdpa"
    loss: Annotated[
        Literal["hf", "fused"],
        Setting(
            help="Transformers' own loss, or one that never holds all logits at once.",
            topic="memory",
            decides_memory=True,
            tried=("hf", "fused"),
            good_on_cuda="fused",  # no copies of the logits
            words="{} loss".format,
        ),
    ] = "hf"
    gradient_checkpointing: Annotated[
        bool,
        Setting(
            help="Recompute activations in the backward pass instead of keeping them.",
            topic="memory",
            decides_memory=True,
            tried=(False, True),
            words=lambda is_on: "checkpointing" if is_on else "no checkpointing",
        ),
    ] = False
    optimizer: Annotated[
        Literal["adamw", "adamw-8bit", "sgd"],
        Setting(
            help="AdamW, AdamW with states of a byte each (needs bitsandbytes), or SGD without states.",
            topic="memory",
            decides_memory=True,
            tried=("adamw", "sgd"),
            tried_on_cuda=("adamw", "adamw-8bit", "sgd"),
            needs={"adamw-8bit": "bitsandbytes"},
        ),
    ] = "adamw"
    lora_rank: Annotated[
        int,
        Setting(
            help="Train low-rank adapters of this rank in place of the weights; 0 trains every weight.",
            topic="model",
            decides_memory=True,
            tried=(0, 8, 32),
            words=lambda rank: f"LoRA of rank {rank}" if rank else "",
        ),
    ] = 0
    lora_targets: Annotated[
        Literal["default", "attention", "all-linear"],
        Setting(
            help="Which linear layers get adapters: peft's choice (query and value for OPT and Llama), all of the"
            " attention's, or all but the head.",
            topic="model",
            decides_memory=True,
            tried=("default", "all-linear"),
            words=lambda targets: "" if targets == "default" else f"adapters on {targets} layers",
            only_with="lora_rank",
        ),
    ] = "default"
    workers: int = 1
    parallel: Annotated[
        Literal["ddp", "fsdp"],
        Setting(
            help="What the workers of a trial hold: a copy of the model each, or a shard of it and of the optimizer's"
            " states.",
        ),
    ] = "ddp"


@dataclass(frozen=True, kw_only=True)
class TrialSettings(SharedSettings, Task):
    """Everything that decides what one trial computes.

    `replay_ratio` is how many documents of base text stand beside each quote. `epochs` is how often each document is
    then read, where the token budget was made from it.

    Raises: SettingsError when they contradict one another.
    """

    memory_cap_bytes: Annotated[int | None, Setting(topic="memory")] = None
    replay_ratio: Annotated[float, Setting(topic="data")] = 0.0
    epochs: float | None = None
    samples_per_prompt: Annotated[int, Setting(topic="sampling")] = 20
    temperature: Annotated[float, Setting(topic="sampling")] = 0.8
    top_p: Annotated[float, Setting(topic="sampling")] = 0.95
    greedy: Annotated[bool, Setting(topic="sampling")] = False

    def __post_init__(self) -> None:
        for name in (
            "batch_size",
            "micro_batch_size",
            "sequence_length",
            "token_budget",
            "workers",
            "samples_per_prompt",
        ):
            value = getattr(self, name)
            if value < 1:
                raise SettingsError(f"{name}={value}; it must be at least 1.")
        if self.lora_rank < 0:
            raise SettingsError(f"lora_rank={self.lora_rank}; it must be at least 1, or 0 to train every weight.")
        if self.memory_cap_bytes is not None and self.memory_cap_bytes < 1:
            raise SettingsError(f"memory_cap_bytes={self.memory_cap_bytes}; it must be at least 1, or None for no cap.")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise SettingsError(f"learning_rate={self.learning_rate}; it must be a positive number, such as 1e-3.")
        if not (self.replay_ratio >= 0 and math.isfinite(self.replay_ratio)):
            raise SettingsError(f"replay_ratio={self.replay_ratio}; it must be 0 (no base text) or more, such as 1.")
        if self.epochs is not None and not (self.epochs > 0 and math.isfinite(self.epochs)):
            raise SettingsError(f"epochs={self.epochs}; it must be a positive number, such as 2.")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise SettingsError(f"temperature={self.temperature}; it must be a positive number, or set greedy.")
        if not 0 < self.top_p <= 1:
            raise SettingsError(f"top_p={self.top_p}; it must be above 0 and at most 1.")
        if self.parallel == "fsdp" and self.workers == 1:
            raise SettingsError("parallel='fsdp' shards over several workers, and workers=1; use two or more, or ddp.")
        if self.parallel == "fsdp" and self.optimizer == "adamw-8bit":
            raise SettingsError("optimizer='adamw-8bit' cannot be sharded; use adamw or sgd, or parallel='ddp'.")
        if self.batch_size % (self.micro_batch_size * self.workers):
            raise SettingsError(
                f"batch_size={self.batch_size} is not divisible by micro_batch_size={self.micro_batch_size}"
                f" x workers={self.workers}; choose a micro-batch that divides the batch."
            )

    @property
    def accumulation_steps(self) -> int:
        """Micro-batches that one worker accumulates before an optimizer step."""
        return self.batch_size // (self.micro_batch_size * self.workers)


def _declared() -> dict[str, Setting]:
    hints = typing.get_type_hints(TrialSettings, include_extras=True)
    declared = {name: getattr(hints[name], "__metadata__", ()) for name in DEFAULTS}
    return {
        name: next((one for one in about if isinstance(one, Setting)), Setting()) for name, about in declared.items()
    }


DEFAULTS = {one.name: one.default for one in dataclasses.fields(TrialSettings)}
SETTINGS = _declared()
"""What is declared of each setting, by name."""
SHARED = tuple(one.name for one in dataclasses.fields(SharedSettings))
LEVERS = tuple(name for name, declared in SETTINGS.items() if declared.tried)
"""The settings that --search-levers searches."""
MEMORY_FIELDS = tuple(name for name, declared in SETTINGS.items() if declared.decides_memory)
"""What of the settings decides a step's memory; the rest of them decides what is learned."""


def choices_of(name: str) -> tuple[Any, ...]:
    """The values that a setting may have; none for a number or a text, which may be any."""
    return typing.get_args(typing.get_type_hints(TrialSettings)[name])


def default_of(name: str, *, on_cuda: bool) -> Any:
    """The value of a setting that was not given."""
    on_device = SETTINGS[name].default_on_cuda if on_cuda else None
    return DEFAULTS[name] if on_device is None else on_device


def tried_values(name: str, *, on_cuda: bool) -> tuple[Any, ...]:
    """The values of a lever that --search-levers tries, a missing package or other settings apart."""
    declared = SETTINGS[name]
    return (declared.tried_on_cuda if on_cuda else ()) or declared.tried


def good_value(name: str, *, on_cuda: bool) -> Any:
    """The value of a lever that is known to be good: all weights trained, nothing computed twice."""
    on_device = SETTINGS[name].good_on_cuda if on_cuda else None
    return DEFAULTS[name] if on_device is None else on_device
