"""What a person can ask of a sweep on the command line."""

from __future__ import annotations

import contextlib
import io
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from tyro.conf import arg

from data.errors import UserError


class OptionsError(UserError):
    """A person's mistake on the command line; the message is one line: what, what is allowed, what to do."""


T = TypeVar("T")
Open = Annotated[T | None, arg(help_behavior_hint="")]  # what is chosen where it is not given; its help says how


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """Options of a sweep. Those left away are chosen by the machine: nano models on a CPU, Galactica 125m on a GPU."""

    trials: Open[int] = None
    """Number of trials. [12]"""
    model_sizes: Open[tuple[str, ...]] = None
    """nano-0.3m, nano-1m, nano-4m, smollm2-135m, 125m, 1.3b, 6.7b, 30b, 120b, a hub name, a folder, a GGUF file.
    [CPU: all nano; GPU: 125m]"""
    batch_sizes: Open[tuple[int, ...]] = None
    """Sequences per optimizer step. [8 16 32]"""
    micro_batch_sizes: Open[tuple[int | Literal["auto"], ...]] = None
    """Sequences on one device at once; a batch goes with those that divide it. auto: the largest predicted to fit.
    [2 4 8; on a GPU where neither memory nor speed is an objective: auto]"""
    learning_rates: Open[tuple[float, ...]] = None
    """Peak learning rates. [CPU: 1e-4 3e-4 1e-3 3e-3; GPU: 1e-5 3e-5 1e-4 3e-4]"""
    sequence_length: Open[int] = None
    """Tokens per row. [CPU: 128; GPU: 512]"""
    data: str = "shipped"
    """A .txt, .csv or .jsonl file of quotes, or a Hugging Face data set name. The shipped quotes by default."""
    base_text: str = "science"
    """What a model must not forget: the shipped science, or a text file, a document a line."""
    prompts: Open[str] = None
    """A file of prompts, a line each: 'seen: love', 'unseen: solitude' or 'off_domain: virus'. [chosen by the data]"""
    seen_prompts: Annotated[tuple[str, ...], arg(help_behavior_hint="")] = ()
    """Keywords of the data to sample. [the shipped ones that it has, then its commonest]"""
    unseen_prompts: Annotated[tuple[str, ...], arg(help_behavior_hint="")] = ()
    """Words near the data's keywords, and none of them."""
    off_domain_prompts: Annotated[tuple[str, ...], arg(help_behavior_hint="")] = ()
    """Words that the style should not spill over to."""
    template: Open[str] = None
    """How keyword and text make a line, for models tuned on instructions: 'Write a line about {keyword}:\\n{text}'.
    ['{keyword}: {text}']"""
    samples_per_prompt: int = 20
    """Completions of each prompt, for the base model and each trial."""
    layout: Literal["packed", "padded"] = "packed"
    """Rows of several whole quotes, or one quote a row."""
    precision: Open[Literal["fp32", "bf16-amp", "fp16-amp", "bf16"]] = None
    """Number format of training. [CPU: fp32; GPU: bf16-amp]"""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """Attention implementation."""
    loss: Literal["hf", "fused"] = "hf"
    """Transformers' own loss, or one that never holds all logits at once."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of keeping them."""
    optimizer: Literal["adamw", "adamw-8bit", "sgd"] = "adamw"
    """AdamW, AdamW with states of a byte each (needs bitsandbytes), or SGD without states."""
    lora_rank: int = 0
    """Train low-rank adapters of this rank in place of the weights; 0 trains every weight."""
    workers_per_trial: Annotated[int | None, arg(aliases=["--gpus-per-trial"], help_behavior_hint="")] = None
    """Workers of a trial, one GPU (or CPU share) each. [1]"""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """What the workers of a trial hold: a copy of the model each, or a shard of it and of the optimizer's states."""
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
    """Go on with the sweep of that name."""
    seed: Open[int] = None
    """Seed of the proposals, the weights, the order of the data and the samples. [0]"""
    wandb: Open[Literal["online", "offline", "disabled"]] = None
    """Where to mirror trials to Weights & Biases. [online with an API key, else offline]"""
    wandb_model: bool = False
    """Give Weights & Biases the best trial's model as an artifact, at the end of the sweep."""
    weights: Literal["pretrained", "random"] = "pretrained"
    """Random weights measure memory and speed only; quality is then recorded as not measured."""
    max_gpu_hours: Open[float] = None
    """Begin no trial once the sweep's trials have used as many GPU-hours."""
    max_hours: Open[float] = None
    """Begin no trial once this run has taken as many hours."""
    stop_when_flat: Open[int] = None
    """Begin no trial once as many in a row brought nothing to the Pareto front."""
    price_per_gpu_hour: Open[float] = None
    """What a GPU costs an hour; each record and the end then tell the cost."""
    fail_fast: bool = False
    """Begin no trial once one has failed by a fault of the program."""
    sampler: Literal["tpe", "nsga2", "gp", "random"] = "tpe"
    """What proposes trials: Optuna's TPE, NSGA-II, Gaussian process, or chance."""
    search_levers: bool = False
    """Search precision, attention, loss, checkpointing, optimizer and adapters' rank too, but for what is given."""
    warm_start: Annotated[tuple[str, ...], arg(help_behavior_hint="")] = ()
    """Earlier sweeps, such as results/<name>, whose trials the sampler begins from."""
    early_stopping: Open[Literal["asha"]] = None
    """End trials whose loss falls behind that of others of their size at as many tokens."""
    study: Open[str] = None
    """Optuna storage URL of the study; give it again with --resume. [sqlite, study.db in the sweep's folder]"""
    objectives: Open[tuple[str, ...]] = None
    """What to strive for, one or more of sample_quality, peak_bytes, tokens_per_second, style, spill_over.
    [batch_memory: the first three; sample_quality: the last two]"""
    min_retention: Open[float] = None
    """Trials that keep less of the base model's science than this, from 0 to 1, are infeasible."""
    max_copied_share: Open[float] = None
    """Trials with a larger share of words copied from the training text than this, from 0 to 1, are infeasible."""
    dry_run: bool = False
    """Print what would run, and launch nothing."""
    smoke: bool = False
    """Two tiny trials, to see that everything works; under a minute."""


@dataclass(frozen=True, kw_only=True)
class SweepOptions(CommonOptions):
    """Options of batch_memory, where all trials train on equally many tokens."""

    token_budget: Open[int] = None
    """Tokens that each trial trains on, equal for all. [CPU: 48000; GPU: 1000000]"""


@dataclass(frozen=True, kw_only=True)
class SampleQualityOptions(CommonOptions):
    """Options of sample_quality, where how much a trial trains on is part of the question."""

    model_sizes: Open[tuple[str, ...]] = None
    """nano-0.3m, nano-1m, nano-4m, smollm2-135m, 125m, … , a hub name, a folder, a GGUF file.
    [CPU: nano-0.3m nano-1m; GPU: 125m]"""
    batch_sizes: Open[tuple[int, ...]] = None
    """Sequences per optimizer step. [16]"""
    micro_batch_sizes: Open[tuple[int | Literal["auto"], ...]] = None
    """Sequences on one device at once; a batch goes with those that divide it. auto: the largest predicted to fit.
    [CPU: 8; GPU: auto]"""
    learning_rates: Open[tuple[float, ...]] = None
    """Peak learning rates. [CPU: 3e-4 1e-3 3e-3; GPU: 1e-5 3e-5 1e-4]"""
    epochs: Open[tuple[float, ...]] = None
    """How often each training document is read, replayed ones too; parts count. [CPU: 0.5 1 2; GPU: 1 2 4]"""
    replay_ratios: Open[tuple[float, ...]] = None
    """Documents of scientific base text mixed in for each quote. [CPU: 0 0.5 1; GPU: 0 0.5 1 2]"""


Options = TypeVar("Options", bound=CommonOptions)
# What tyro says of a value that is no number where one is wanted.
WRONG_KIND = re.compile(
    r"Error parsing (?P<flag>\S+): no type matching (?P<kind>.*) could be .* from \[(?P<given>.*?)\]\."
)
WRONG_CHOICE = re.compile(
    r"invalid choice (?P<given>'.*?') for argument '(?P<flag>.*?)'\. Expected one of \((?P<known>.*?)\)"
)


def parse_options(arguments: Sequence[str], description: str, kind: type[Options] = SweepOptions) -> Options:
    """Options from command-line arguments. Raises: OptionsError; SystemExit(0) after --help."""
    import tyro

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            options = tyro.cli(
                kind,
                args=arguments,
                description=description,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
            )
    except SystemExit as end:
        if not end.code:
            raise
        lines = [re.sub(r"[│╭╮╰╯─]", "", line).strip() for line in complaint.getvalue().splitlines()[1:]]
        message = " ".join(" ".join(lines).split("For full helptext")[0].split())
        if wrong := WRONG_KIND.search(message):
            wanted = re.sub(r"^\{\[|\]\}$|[{}]", "", wrong["kind"])
            message = f"{wrong['flag']}: {wrong['given']} cannot be read as {wanted}"
        elif wrong := WRONG_CHOICE.search(message):
            known = sorted(set(re.findall(r"'(.*?)'", wrong["known"])) - {"None"})
            message = f"{wrong['flag']}: {wrong['given']} is not one of {', '.join(known)}"
        raise OptionsError(f"{message}; --help lists all options.") from None
    for name in ("trials", "max_concurrent"):  # what a resumed sweep may change, and no plan checks again
        count = getattr(options, name)
        if count is not None and count < 1:
            raise OptionsError(f"--{name.replace('_', '-')}={count}; it must be at least 1.")
    for name in ("max_gpu_hours", "max_hours", "stop_when_flat", "price_per_gpu_hour"):
        amount = getattr(options, name)
        if amount is not None and not 0 < amount < math.inf:
            raise OptionsError(f"--{name.replace('_', '-')}={amount}; it must be above 0.")
    return options


def exit_with(error: Exception) -> int:
    """Say a person's mistake in one line on stderr. Returns: the exit code for it, 2."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
