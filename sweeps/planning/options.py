"""What a person can ask of a sweep on the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from tyro.conf import arg

from data.command_line import parse
from data.errors import UserError
from trainables.records.flags import flags
from trainables.records.objectives import OBJECTIVES
from trainables.records.plan import MicroBatch
from trainables.records.settings import LEVERS, SHARED, SharedSettings


class OptionsError(UserError):
    """A person's mistake on the command line; the message is one line: what, what is allowed, what to do."""


T = TypeVar("T")
Open = Annotated[T | None, arg(help_behavior_hint="")]  # what is chosen where it is not given; its help says how


def said(text: str) -> Any:
    """The help text of a flag, which states its own default."""
    return arg(help=text, help_behavior_hint="")


RATE_RANGE = "Lowest and highest peak learning rate, log-uniform between, in place of a list."
BATCH_RANGE = "Fewest and most sequences per optimizer step, log-uniform between, in place of a list."
STRIVE = f"What to strive for, one or more of {', '.join(OBJECTIVES)}."

if TYPE_CHECKING:
    SettingFlags = SharedSettings
else:
    SettingFlags = flags("SettingFlags", [name for name in SHARED if name != "workers"], by_device=True)


@dataclass(frozen=True, kw_only=True)
class SpaceOptions:
    """What a sweep explores. Its question says which of these are its flags, and their defaults."""

    trials: Annotated[int | None, said("Number of trials.")] = None
    model_sizes: Annotated[
        tuple[str, ...] | None,
        said(
            "nano-0.3m, nano-1m, nano-4m, smollm2-135m, 125m, 1.3b, 6.7b, 30b, 120b, a hub name, a folder, a GGUF file."
        ),
    ] = None
    batch_sizes: Annotated[tuple[int, ...] | None, said("Sequences per optimizer step.")] = None
    micro_batch_sizes: Annotated[
        tuple[MicroBatch, ...] | None,
        said(
            "Sequences on one device at once; a batch goes with those that divide it. auto: the largest predicted to"
            " fit."
        ),
    ] = None
    learning_rates: Annotated[tuple[float, ...] | None, said("Peak learning rates.")] = None
    sequence_length: Annotated[int | None, said("Tokens per row.")] = None
    token_budget: Annotated[int | None, said("Tokens that each trial trains on, equal for all.")] = None
    epochs: Annotated[
        tuple[float, ...] | None,
        said("How often each training document is read, replayed ones included; fractions are allowed."),
    ] = None
    replay_ratios: Annotated[tuple[float, ...] | None, said("Documents of base text mixed in for each quote.")] = None


@dataclass(frozen=True, kw_only=True)
class SweepOptions(SettingFlags, SpaceOptions):
    """Options of a sweep. Those left out follow from the machine: nano models on a CPU, Galactica 125m on a GPU."""

    config: Open[str] = None
    """Take options from this YAML file, or from one that ships: laptop, a10-125m, 8xh100-6.7b. What is typed wins."""
    print_config: bool = False
    """Print what would run as such a file, and launch nothing."""
    learning_rate_range: Annotated[tuple[float, float] | None, said(RATE_RANGE)] = None
    batch_size_range: Annotated[tuple[int, int] | None, said(BATCH_RANGE)] = None
    columns: Open[str] = None
    """Columns of --data that go by other names: keyword=tag,quote=body."""
    base_text: str = "science"
    """What a model must not forget: the shipped science, the shipped general text ('general'), or a text file with
    one document a line."""
    prompts: Open[str] = None
    """A file of prompts, one a line: 'seen: love', 'unseen: solitude' or 'off_domain: virus'. [chosen by the data]"""
    seen_prompts: Annotated[tuple[str, ...], arg(help_behavior_hint="")] = ()
    """Keywords of the data to sample. [the shipped ones that it has, then its commonest]"""
    unseen_prompts: Annotated[tuple[str, ...], arg(help_behavior_hint="")] = ()
    """Words close to the data's keywords, but not among them."""
    off_domain_prompts: Annotated[tuple[str, ...], arg(help_behavior_hint="")] = ()
    """Words that the style should not spill over to."""
    template: Open[str] = None
    """How keyword and text make a line, for models tuned on instructions: 'Write a line about {keyword}:\\n{text}'.
    ['{keyword}: {text}']"""
    samples_per_prompt: int = 20
    """Completions of each prompt, for the base model and each trial."""
    language_model: Open[str] = None
    """A frozen language model that reads the samples too: smollm2-135m, or any name of --model-sizes. [none]"""
    workers_per_trial: Annotated[int | None, arg(aliases=["--gpus-per-trial"], help_behavior_hint="")] = None
    """Workers of a trial, one GPU (or CPU share) each. [1]"""
    max_concurrent: Open[int] = None
    """Trials at the same time. [CPU: one for each core, at most 4; GPU: as many as the GPUs allow]"""
    gpu: Open[str] = None
    """Card that memory is predicted for; on a cluster, the only card used. [the GPU that is there, else a10]"""
    cluster_file: Open[str] = None
    """A file for `ray up`: with --dry-run, which of its kinds of nodes each size would get, and the price."""
    memory_cap: Open[str] = None
    """Make the device behave like a smaller one, such as 24GiB."""
    storage: str = "results"
    """Folder or s3://bucket/prefix for all sweeps."""
    name: Open[str] = None
    """This sweep's name. [the question and the time]"""
    resume: bool = False
    """Resume the sweep of that name."""
    wandb: Open[Literal["online", "offline", "disabled"]] = None
    """Where to mirror trials to Weights & Biases. [online with an API key, else offline]"""
    wandb_model: bool = False
    """Upload the best trial's model to Weights & Biases as an artifact when the sweep ends."""
    max_gpu_hours: Open[float] = None
    """Start no further trial once the sweep has used this many GPU-hours."""
    max_hours: Open[float] = None
    """Start no further trial once this run has taken this many hours."""
    stop_when_flat: Open[int] = None
    """Start no further trial once this many in a row have added nothing to the Pareto front."""
    price_per_gpu_hour: Open[float] = None
    """Price of a GPU-hour; each record and the end of the sweep then state the cost."""
    fail_fast: bool = False
    """Start no further trial once one has failed through a fault of the program."""
    sampler: Literal["tpe", "nsga2", "gp", "random"] = "tpe"
    """What proposes trials: Optuna's TPE, NSGA-II, Gaussian process, or random search."""
    search_levers: Annotated[bool, arg(help=f"Search {', '.join(LEVERS)} too, except those given a value.")] = False
    warm_start: Annotated[tuple[str, ...], arg(help_behavior_hint="")] = ()
    """Earlier sweeps, such as results/<name>, whose trials the sampler begins from."""
    early_stopping: Open[Literal["asha"]] = None
    """End trials whose loss falls behind that of others of their size after the same number of tokens."""
    study: Open[str] = None
    """Optuna storage URL of the study; give it again with --resume. [sqlite, study.db in the sweep's folder]"""
    objectives: Annotated[tuple[str, ...] | None, said(STRIVE)] = None
    min_retention: Open[float] = None
    """Trials that keep less of the base model's science than this, from 0 to 1, are infeasible."""
    max_copied_share: Open[float] = None
    """Trials with a larger share of words copied from the training text than this, from 0 to 1, are infeasible."""
    dry_run: bool = False
    """Print what would run, and launch nothing."""
    smoke: bool = False
    """Two tiny trials, to see that everything works; under a minute."""


Evidence = Literal["interval", "outcome", "gain"]
"""Conditions of a ladder's gate that a person may overrule; memory and cost are none."""


@dataclass(frozen=True, kw_only=True)
class LadderOptions(SweepOptions):
    """Options of a ladder, which sweeps small sizes to predict large ones. Its sizes are rungs, smallest first."""

    until: Open[str] = None
    """The highest rung to run; those above are only predicted. [CPU: the last; GPU: 6.7b]"""
    rung_trials: Open[tuple[int, int, int]] = None
    """Trials of the lowest rung, of each further one, and of the top. [12 8 3]"""
    learning_rate_range: Annotated[
        tuple[float, float] | None, said(f"{RATE_RANGE} [CPU: 5e-4 3e-2; GPU: 3e-6 1e-3]")
    ] = None
    batch_size_range: Annotated[tuple[int, int] | None, said(f"{BATCH_RANGE} [CPU: 4 32; GPU: 8 64]")] = None
    approve: bool = False
    """Pass every gate that holds; without it the ladder stops there, and --resume continues."""
    despite: tuple[Evidence, ...] = ()
    """Climb although these conditions of a gate do not hold: what a prediction is worth is yours to weigh."""


# What a ladder chooses itself, and its gates and numbering would not follow.
NOT_FOR_LADDERS = ("stop_when_flat", "search_levers", "early_stopping", "study", "min_retention", "max_copied_share")


Options = TypeVar("Options", bound=SweepOptions)


def parse_options(arguments: Sequence[str], description: str, kind: type[Options] = SweepOptions) -> Options:
    """Options from command-line arguments. Raises: UserError; SystemExit(0) after --help."""
    options = parse(kind, arguments, description)
    for name in ("trials", "max_concurrent"):  # what a resumed sweep may change, and no plan checks again
        count = getattr(options, name)
        if count is not None and count < 1:
            raise OptionsError(f"--{name.replace('_', '-')}={count}; it must be at least 1.")
    for name in ("max_gpu_hours", "max_hours", "stop_when_flat", "price_per_gpu_hour"):
        amount = getattr(options, name)
        if amount is not None and not 0 < amount < math.inf:
            raise OptionsError(f"--{name.replace('_', '-')}={amount}; it must be above 0.")
    return options
