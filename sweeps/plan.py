"""A sweep's options with every choice made, by what the machine offers, and checked against one another."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from sweeps.options import OptionsError, SweepOptions
from trainables.memory.cards import CARD_BYTES, card_bytes, parse_bytes
from trainables.models import NANO_SIZES, find_model
from trainables.records import TrialSettings

TIMED_STEPS = 3  # a trial needs at least these many steps: the first is cold, the second may be the memory probe

LARGEST_SEED = 2**31 - 1  # numpy takes seeds below 2**32, and a resumed sweep adds its trials to its seed

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a sweep explores when the person does not say."""

    trials: int = 12
    models: tuple[str, ...]
    batch_sizes: tuple[int, ...] = (8, 16, 32)
    micro_batch_sizes: tuple[int, ...] = (2, 4, 8)
    learning_rates: tuple[float, ...]
    sequence_length: int
    token_budget: int


NANO_RATES = (1e-4, 3e-4, 1e-3, 3e-3)
ON_CPU = Defaults(models=NANO_SIZES, learning_rates=NANO_RATES, sequence_length=128, token_budget=48_000)
ON_GPU = Defaults(
    models=("125m",), learning_rates=(1e-5, 3e-5, 1e-4, 3e-4), sequence_length=512, token_budget=1_000_000
)
SMOKE = Defaults(
    trials=2,
    models=NANO_SIZES[:1],
    batch_sizes=(8,),
    micro_batch_sizes=(4,),
    learning_rates=NANO_RATES,
    sequence_length=128,
    token_budget=4_000,
)


# Options that the plan holds under another name.
PLAN_NAMES = {"model_sizes": "models", "workers_per_trial": "workers", "memory_cap": "memory_cap_bytes"}


@dataclass(frozen=True, kw_only=True)
class Device:
    """What the machine offers: GPUs, their memory (None without one) and CPU cores."""

    gpus: int
    gpu_bytes: int | None
    cpus: int

    @property
    def on_cuda(self) -> bool:
        """Whether there is a GPU to train on."""
        return self.gpus > 0


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """Options with every choice made, checked against one another."""

    trials: int
    models: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    micro_batch_sizes: tuple[int, ...]
    learning_rates: tuple[float, ...]
    sequence_length: int
    token_budget: int
    data: str
    layout: Literal["packed", "padded"]
    precision: Literal["fp32", "bf16-amp", "bf16"]
    attention: Literal["sdpa", "eager"]
    loss: Literal["hf", "fused"]
    gradient_checkpointing: bool
    workers: int
    gpu: str
    capacity_bytes: int | None
    memory_cap_bytes: int | None
    seed: int
    weights: Literal["pretrained", "random"]
    on_cuda: bool

    def settings(self, *, model: str, batch_size: int, micro_batch_size: int, learning_rate: float) -> TrialSettings:
        """The settings of one trial. Raises: ValueError when they contradict one another."""
        return TrialSettings(
            model=model,
            batch_size=batch_size,
            micro_batch_size=micro_batch_size,
            learning_rate=learning_rate,
            sequence_length=self.sequence_length,
            token_budget=self.token_budget,
            seed=self.seed,
            data=self.data,
            weights=self.weights,
            layout=self.layout,
            precision=self.precision,
            attention=self.attention,
            loss=self.loss,
            gradient_checkpointing=self.gradient_checkpointing,
            workers=self.workers,
            memory_cap_bytes=self.memory_cap_bytes,
        )


def make_plan(options: SweepOptions, device: Device) -> SweepPlan:
    """Make every choice that the options left open. Raises: OptionsError; trainables.models.ModelError."""
    on_cuda = device.on_cuda
    default = SMOKE if options.smoke else ON_GPU if on_cuda else ON_CPU
    cap_bytes = _cap_bytes(options.memory_cap)
    gpu = options.gpu or ("this GPU" if on_cuda else "a10")
    card = _option("--gpu", card_bytes, gpu) if gpu in CARD_BYTES or options.gpu else None
    total_bytes = device.gpu_bytes if on_cuda else card
    batch_sizes, workers = _given(options.batch_sizes, default.batch_sizes), max(1, options.workers_per_trial)
    dividing = tuple(
        size for size in default.micro_batch_sizes if all(batch % (size * workers) == 0 for batch in batch_sizes)
    )
    plan = SweepPlan(
        trials=_given(options.trials, default.trials),
        models=_given(options.model_sizes, default.models),
        batch_sizes=batch_sizes,
        micro_batch_sizes=_given(options.micro_batch_sizes, dividing or default.micro_batch_sizes),
        learning_rates=_given(options.learning_rates, default.learning_rates),
        sequence_length=_given(options.sequence_length, default.sequence_length),
        token_budget=_given(options.token_budget, default.token_budget),
        data=options.data,
        layout=options.layout,
        precision=_given(options.precision, "bf16-amp" if on_cuda else "fp32"),
        attention=options.attention,
        loss=options.loss,
        gradient_checkpointing=options.gradient_checkpointing,
        workers=options.workers_per_trial,
        gpu=gpu,
        capacity_bytes=min(filter(None, (total_bytes, cap_bytes)), default=None),
        memory_cap_bytes=cap_bytes,
        seed=_given(options.seed, 0),
        weights=options.weights,
        on_cuda=on_cuda,
    )
    _check(plan)
    units = device.gpus if on_cuda else device.cpus
    if plan.workers > units and not os.environ.get("RAY_ADDRESS"):
        raise OptionsError(
            f"--workers-per-trial={plan.workers}; this machine has {units} {'GPU' if on_cuda else 'cores'}."
        )
    return plan


def detect_device() -> Device:
    """The GPUs and cores of this machine, asked of the driver so that no CUDA context is made."""
    import pynvml

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return Device(gpus=0, gpu_bytes=None, cpus=cpus)
    count = pynvml.nvmlDeviceGetCount()
    sizes = [pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(i)).total for i in range(count)]
    return Device(gpus=count, gpu_bytes=min(int(size) for size in sizes), cpus=cpus)


def _cap_bytes(memory_cap: str | None) -> int | None:
    return None if memory_cap is None else _option("--memory-cap", parse_bytes, memory_cap)


def _given(value: T | None, default: T) -> T:
    return default if value is None else value


def _option(flag: str, parse: Callable[[str], int], text: str) -> int:
    try:
        return parse(text)
    except ValueError as error:
        raise OptionsError(f"{flag}: {error}") from None


def _check(plan: SweepPlan) -> None:
    for flag, values in (
        ("--model-sizes", plan.models),
        ("--batch-sizes", plan.batch_sizes),
        ("--micro-batch-sizes", plan.micro_batch_sizes),
        ("--learning-rates", plan.learning_rates),
    ):
        if not values:
            raise OptionsError(f"{flag} was given no value; give one or more.")
        if len(set(values)) != len(values):
            raise OptionsError(f"{flag} names a value twice: {values}; name each once.")
    if plan.trials < 1:
        raise OptionsError(f"--trials={plan.trials}; it must be at least 1.")
    if not 0 <= plan.seed <= LARGEST_SEED:
        raise OptionsError(f"--seed={plan.seed}; it must be from 0 to {LARGEST_SEED}.")
    if plan.sequence_length < 8:
        raise OptionsError(f"--sequence-length={plan.sequence_length}; it must be at least 8.")
    for model in plan.models:
        find_model(model)
    for batch_size in plan.batch_sizes:
        for micro_batch_size in plan.micro_batch_sizes:
            for rate in plan.learning_rates:
                try:
                    plan.settings(
                        model=plan.models[0],
                        batch_size=batch_size,
                        micro_batch_size=micro_batch_size,
                        learning_rate=rate,
                    )
                except ValueError as error:
                    raise OptionsError(str(error)) from None
    least = TIMED_STEPS * max(plan.batch_sizes) * plan.sequence_length
    if plan.token_budget < least:
        raise OptionsError(
            f"--token-budget={plan.token_budget} gives a batch of {max(plan.batch_sizes)} x {plan.sequence_length}"
            f" tokens fewer than {TIMED_STEPS} steps; give at least {least}, or smaller batches."
        )


def changed_by(options: SweepOptions, stored: SweepPlan) -> str | None:
    """The flag with which `options` contradict the sweep that is to be resumed, or None. Raises: OptionsError."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(SweepOptions)}
    defaults = SweepOptions()
    for name, value in given.items():
        field = PLAN_NAMES.get(name, name)
        if name == "trials" or value == getattr(defaults, name) or not hasattr(stored, field):
            continue
        if (_cap_bytes(value) if name == "memory_cap" else value) != getattr(stored, field):
            return f"--{name.replace('_', '-')}"
    return None
