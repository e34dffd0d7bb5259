"""From a sweep's options to its plan: every choice made, by what the machine offers, and checked against the others."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sweeps.planning.device import Device
from sweeps.planning.ladder_options import check_ladder_options, checked_ladder
from sweeps.planning.node_kinds import asked_card
from sweeps.planning.options import LadderOptions, OptionsError, SweepOptions
from sweeps.planning.questions import ASKS_OF_MICRO_BATCH, Question, Space
from sweeps.planning.ranges import LISTS, RANGES, batches_within, check_ranges, divided, rates_within
from trainables.memory.cards import Card, card_of_driver, find_card
from trainables.model.models import find_model, settled_name
from trainables.records.byte_sizes import parse_bytes
from trainables.records.objectives import FROM_SAMPLES, OBJECTIVES
from trainables.records.plan import AUTO, CHOSEN, VALUES, MicroBatch, SweepPlan
from trainables.records.settings import (
    DEFAULTS,
    LEVERS,
    SETTINGS,
    SHARED,
    SettingsError,
    TrialSettings,
    choices_of,
    default_of,
    tried_values,
)

TIMED_STEPS = 3  # a trial needs at least these many steps: the first is cold, the second may be the memory probe
USUAL_CARD = "a10"
LARGEST_SEED = 2**31 - 1  # numpy takes seeds below 2**32, and a resumed sweep adds its trials to its seed
# Options that the plan holds under another name.
PLAN_NAMES = {
    "model_sizes": "models",
    "workers_per_trial": "workers",
    "memory_cap": "memory_cap_bytes",
    "learning_rate_range": "learning_rates",
    "batch_size_range": "batch_sizes",
}

# Options that are spent when a sweep is laid out: its folder holds what they made, so a resumed one takes none anew.
PREPARED_ONCE = ("columns", "prompts", "seen_prompts", "unseen_prompts", "off_domain_prompts", "template")

FLAGS = {name: values.replace("_", "-") for name, values in VALUES.items()} | {"model": "model-sizes"}

T = TypeVar("T")


def make_plan(options: SweepOptions, device: Device, question: Question) -> SweepPlan:
    """Make every choice that the options left open. Raises: OptionsError; trainables.model.models.ModelError."""
    on_cuda = device.on_cuda
    usual = question.space(on_cuda=on_cuda, is_smoke=options.smoke)
    cap_bytes = _cap_bytes(options.memory_cap)
    card = _card(options.gpu, device).capped(cap_bytes)
    check_ranges(options)
    workers = _given(options.workers_per_trial, 1)
    given_batches, given_rates = options.batch_sizes, options.learning_rates
    rung_trials, until = usual.rung_trials or (), usual.until
    if isinstance(options, LadderOptions):
        check_ladder_options(options)
        given_batches, given_rates = options.batch_size_range, options.learning_rate_range
        rung_trials = _given(options.rung_trials, rung_trials)
        until = _given(options.until, until if options.model_sizes is None else None)
    elif options.learning_rate_range:
        given_rates = rates_within(*options.learning_rate_range)
    batch_sizes = _given(given_batches, usual.batch_sizes)
    if not rung_trials and options.batch_size_range:
        batch_sizes = batches_within(*options.batch_size_range, max(1, workers))
    objectives = chosen_objectives(options, question)
    is_bounded = usual is question.on_gpu and card.capacity_bytes is not None
    micro_batches = usual_micro_batches(usual, batch_sizes, max(1, workers), objectives, is_bounded=is_bounded)
    micro_batches = _given(options.micro_batch_sizes, micro_batches)
    if not rung_trials and options.batch_size_range:
        batch_sizes = divided(batch_sizes, max(1, workers), micro_batches)
    shared = {name: getattr(options, name) for name in SHARED if name != "workers"}
    plan = SweepPlan(
        question=question.name,
        trials=_given(options.trials, usual.trials),
        models=tuple(map(settled_name, _given(options.model_sizes, usual.models))),
        batch_sizes=batch_sizes,
        micro_batch_sizes=micro_batches,
        learning_rates=_given(given_rates, usual.learning_rates),
        sequence_length=_given(options.sequence_length, usual.sequence_length),
        token_budget=_given(options.token_budget, usual.token_budget),
        epochs=_given(options.epochs, usual.epochs),
        replay_ratios=_given(options.replay_ratios, usual.replay_ratios),
        base_text=options.base_text,
        samples_per_prompt=options.samples_per_prompt,
        language_model=options.language_model and settled_name(options.language_model),
        gpu=str(card.name),
        capacity_bytes=card.capacity_bytes,
        memory_cap_bytes=cap_bytes,
        on_cuda=on_cuda,
        objectives=objectives,
        sampler=options.sampler,
        levers={**usual.levers, **_searched_levers(options, on_cuda)},
        warm_start=options.warm_start,
        early_stopping=options.early_stopping,
        min_retention=checked_share("--min-retention", options.min_retention),
        max_copied_share=checked_share("--max-copied-share", options.max_copied_share),
        starting_points=question.starting_points,
        workers=workers,
        rung_trials=rung_trials,
        until=until,
        ranges=() if rung_trials else tuple(name for name, span in RANGES.items() if getattr(options, span)),
        **{name: _given(value, default_of(name, on_cuda=on_cuda)) for name, value in shared.items()},
    )
    _check(plan, question, usual)
    if plan.rung_trials:
        plan = checked_ladder(plan)
    units = device.gpus if on_cuda else device.cpus
    if plan.workers > units:
        place = "the cluster" if device.kinds else "this machine"
        raise OptionsError(f"--workers-per-trial={plan.workers}; {place} has {units} {'GPU' if on_cuda else 'cores'}.")
    return plan


def _card(gpu: str | None, device: Device) -> Card:
    """The card that memory is predicted for: the GPU that is there, under the name asked for; without one an A10."""
    requested = asked_card(gpu)
    if not device.on_cuda:
        return requested or find_card(USUAL_CARD)
    if requested is None and device.gpu_name:
        return card_of_driver(device.gpu_name, device.gpu_bytes)
    name = requested.name if requested else "the cluster's GPU" if device.kinds else "this GPU"
    return Card(name=name, capacity_bytes=device.gpu_bytes)


def usual_micro_batches(
    usual: Space, batch_sizes: Sequence[int], workers: int, objectives: Sequence[str], *, is_bounded: bool
) -> tuple[MicroBatch, ...]:
    """The micro-batches of a sweep that was given none: automatic where a card bounds them and no objective asks.

    Else those of `usual` that divide a batch.
    """
    if is_bounded and not set(objectives) & set(ASKS_OF_MICRO_BATCH):
        return (AUTO,)
    sizes = usual.micro_batch_sizes
    dividing = tuple(size for size in sizes if any(batch % (size * workers) == 0 for batch in batch_sizes))
    return dividing or sizes


def _searched_levers(options: SweepOptions, on_cuda: bool) -> dict[str, tuple[Any, ...]]:
    """The levers that --search-levers adds to the space, with their values; one that is given stays as it is given."""
    if not options.search_levers:
        return {}
    nobody_said = SweepOptions()
    found: dict[str, tuple[Any, ...]] = {}
    for name in LEVERS:
        if getattr(options, name) == getattr(nobody_said, name):
            values = tried_values(name, on_cuda=on_cuda)
            found[name] = tuple(value for value in values if _can_be(name, value, options))
    return found


def _can_be(name: str, value: Any, options: SweepOptions) -> bool:
    """Whether a value's package is here, and a trial may have it whatever else it has."""
    workers = max(1, options.workers_per_trial or 1)
    try:
        TrialSettings(
            model="any",
            batch_size=workers,
            micro_batch_size=1,
            learning_rate=1.0,
            sequence_length=1,
            token_budget=1,
            workers=workers,
            parallel=options.parallel,
            **{name: value},
        )
    except SettingsError:
        return False
    return missing_package(name, value) is None


def missing_package(name: str, value: Any) -> str | None:
    """The package that a value of a setting needs and that is not installed; None where nothing is missing."""
    package = SETTINGS[name].needs.get(value)
    return package if package and importlib.util.find_spec(package) is None else None


def _cap_bytes(memory_cap: str | None) -> int | None:
    return None if memory_cap is None else _option("--memory-cap", parse_bytes, memory_cap)


def _given(value: T | None, default: T) -> T:
    return default if value is None else value


def _option(flag: str, parse: Callable[[str], int], text: str) -> int:
    try:
        return parse(text)
    except ValueError as error:
        raise OptionsError(f"{flag}: {error}") from None


def _check(plan: SweepPlan, question: Question, usual: Space) -> None:
    for name in VALUES:
        flag, values = f"--{FLAGS[name]}", getattr(plan, VALUES[name])
        if not values and getattr(usual, VALUES[name]):
            raise OptionsError(f"{flag} was given no value; give one or more.")
        if len(set(values)) != len(values):
            raise OptionsError(f"{flag} names a value twice: {values}; name each once.")
    if plan.token_budget is None and not plan.epochs:
        raise OptionsError(f"{question.name} gives neither token_budget nor epochs; its space needs one of them.")
    unknown = [name for name in plan.levers if name not in SHARED]
    if unknown:
        raise OptionsError(f"{question.name} searches {unknown[0]!r}, which no sweep can; levers: {', '.join(LEVERS)}.")
    if plan.trials < 1:
        raise OptionsError(f"--trials={plan.trials}; it must be at least 1.")
    if not 0 <= plan.seed <= LARGEST_SEED:
        raise OptionsError(f"--seed={plan.seed}; it must be from 0 to {LARGEST_SEED}.")
    if plan.sequence_length < 8:
        raise OptionsError(f"--sequence-length={plan.sequence_length}; it must be at least 8.")
    for model in plan.models:
        find_model(model)
    for name in SHARED:
        other = SETTINGS[name].only_with
        if other and getattr(plan, name) != DEFAULTS[name] and not getattr(plan, other) and other not in plan.levers:
            flag = f"--{name.replace('_', '-')} {getattr(plan, name)}"
            raise OptionsError(f"{flag} has no effect without --{other.replace('_', '-')}; give that as well.")
        if package := missing_package(name, getattr(plan, name)):
            flag = f"--{name.replace('_', '-')} {getattr(plan, name)}"
            others = " or ".join(str(one) for one in choices_of(name) if not missing_package(name, one))
            raise OptionsError(f"{flag} needs {package}: pip install {package}, or use {others}.")
    if AUTO in plan.micro_batch_sizes:
        check_automatic(plan.micro_batch_sizes, plan.batch_sizes, plan.workers, plan.capacity_bytes)
    values = plan.space | ({CHOSEN: (1,)} if plan.has_automatic_micro_batch else {})
    for point in points_to_check(values, plan.workers):
        try:
            plan.settings(**point)
        except SettingsError as error:
            raise OptionsError(str(error)) from None
    if plan.token_budget is None:
        return
    least = TIMED_STEPS * max(plan.batch_sizes) * plan.sequence_length
    if plan.token_budget < least:
        raise OptionsError(
            f"--token-budget={plan.token_budget} gives a batch of {max(plan.batch_sizes)} x {plan.sequence_length}"
            f" tokens fewer than {TIMED_STEPS} steps; give at least {least}, or smaller batches."
        )


def with_epoch_tokens(plan: SweepPlan, epoch_tokens: dict[str, dict[str, int]]) -> SweepPlan:
    """The plan with the tokens of one epoch, by model and replay ratio.

    Raises: OptionsError where the shortest trial would take too few steps.
    """
    tokens = min(count for counts in epoch_tokens.values() for count in counts.values())
    batch = max(plan.batch_sizes) * plan.sequence_length
    if min(plan.epochs) * tokens < TIMED_STEPS * batch:
        raise OptionsError(
            f"--epochs={min(plan.epochs):g} of {tokens} tokens gives a batch of {max(plan.batch_sizes)} x"
            f" {plan.sequence_length} tokens fewer than {TIMED_STEPS} steps; give at least"
            f" {math.ceil(100 * TIMED_STEPS * batch / tokens) / 100:g}, or smaller batches."
        )
    return dataclasses.replace(plan, epoch_tokens=epoch_tokens)


def changed_by(options: SweepOptions, stored: SweepPlan) -> str | None:
    """The flag with which `options` contradict the sweep that is to be resumed, or None. Raises: OptionsError."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    defaults = type(options)()
    for name, value in given.items():
        if name in PREPARED_ONCE and value != getattr(defaults, name):
            return f"--{name.replace('_', '-')}"
        field = PLAN_NAMES.get(name, name)
        if name in ("trials", "until") or value == getattr(defaults, name) or not hasattr(stored, field):
            continue
        if name == "gpu":
            card = asked_card(value)
            value = card and card.name
        if _as_planned(name, value, stored) != getattr(stored, field):
            return f"--{name.replace('_', '-')}"
    return None


def divides(batch_size: int, micro_batch_size: int, workers: int) -> bool:
    """Whether a batch is made of whole micro-batches; so too where a count below one makes the question void."""
    return min(micro_batch_size, workers) < 1 or batch_size % (micro_batch_size * workers) == 0


def points_to_check(values: Mapping[str, Sequence[Any]], workers: int) -> list[dict[str, Any]]:
    """Points that hold every value once, a batch and a micro-batch without a partner among them."""
    batches, micros = values["batch_size"], values["micro_batch_size"]
    pairs = [(batch, micro) for batch, micro in itertools.product(batches, micros) if divides(batch, micro, workers)]
    pairs += [(batch, micros[0]) for batch in batches if batch not in {paired for paired, _ in pairs}]
    pairs += [(batches[0], micro) for micro in micros if micro not in {paired for _, paired in pairs}]
    first = {name: allowed[0] for name, allowed in values.items()}
    points = [first | {"batch_size": batch, "micro_batch_size": micro} for batch, micro in pairs]
    others = [name for name in values if name not in ("batch_size", "micro_batch_size")]
    return points + [points[0] | {name: value} for name in others for value in values[name]]


def check_automatic(
    micro_batch_sizes: Sequence[MicroBatch], batch_sizes: Sequence[int], workers: int, capacity_bytes: int | None
) -> None:
    """See that the largest micro-batch that fits can be told for every batch. Raises: OptionsError."""
    if len(micro_batch_sizes) > 1:
        sizes = " ".join(map(str, micro_batch_sizes))
        raise OptionsError(f"--micro-batch-sizes {sizes}; auto stands alone; leave out either it or the numbers.")
    if capacity_bytes is None:
        raise OptionsError(
            "--micro-batch-sizes auto needs to know a card's memory, which this cluster does not report; give"
            " --memory-cap, or numbers."
        )
    uneven = [size for size in batch_sizes if workers > 0 and size % workers]
    if uneven:
        raise OptionsError(
            f"--batch-sizes {uneven[0]} cannot be shared by {workers} workers; give a multiple of {workers}."
        )


def chosen_objectives(options: SweepOptions, question: Question) -> tuple[str, ...]:
    """What the sweep strives for: without what is read from samples where weights are random and nothing was asked for.

    Raises: OptionsError.
    """
    requested = options.objectives
    if requested is None:
        requested = tuple(n for n in question.objectives if options.weights == "pretrained" or n not in FROM_SAMPLES)
        if not requested and options.weights == "random":
            raise OptionsError(f"--weights random has no style to measure, and {question.name} asks for nothing else.")
    unknown = [name for name in requested if name not in OBJECTIVES]
    if unknown or not requested or len(set(requested)) < len(requested):
        raise OptionsError(f"--objectives={' '.join(requested)}; name each once, of {', '.join(OBJECTIVES)}.")
    if options.weights == "random" and set(requested) & set(FROM_SAMPLES):
        raise OptionsError(
            f"--weights random has no samples to score; leave {', '.join(FROM_SAMPLES)} out of --objectives."
        )
    return requested


def checked_share(flag: str, share: float | None) -> float | None:
    """The share as it is. Raises: OptionsError where it is none."""
    if share is not None and not 0 <= share <= 1:
        raise OptionsError(f"{flag}={share}; it must be from 0 to 1.")
    return share


def _as_planned(name: str, value: Any, stored: SweepPlan) -> Any:
    """An option's value as the plan holds it."""
    if name == "memory_cap":
        return _cap_bytes(value)
    if name in LISTS and not stored.rung_trials:
        low, high = value
        if name == "learning_rate_range":
            return rates_within(low, high)
        return divided(batches_within(low, high, stored.workers), stored.workers, stored.micro_batch_sizes)
    return tuple(map(settled_name, value)) if name == "model_sizes" else value
