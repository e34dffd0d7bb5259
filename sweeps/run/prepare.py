"""Everything that is checked and laid out before the first trial: data, models, judge, and the sweep's folder."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import re
import secrets
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.ladder.rungs import check_sizes
from data.doing import doing
from data.domain import Domain, load_base_text, load_prompts, make_domain
from data.progress import progress, telling
from data.prompts import Kind, Prompt
from data.splits import Split
from sweeps.planning.choices import changed_by, with_epoch_tokens
from sweeps.planning.device import Device
from sweeps.planning.ladder_options import checked_ladder
from sweeps.planning.options import OptionsError, SweepOptions
from sweeps.planning.questions import Question
from sweeps.search.warm_start import earlier_rungs, earlier_trials, store_earlier, store_rungs
from trainables.model.models import ModelShape, find_model, load_config, model_shape, tokenizer_location
from trainables.records.layout import LAYOUT
from trainables.records.plan import SweepPlan, ratio_key
from trainables.records.record import Provenance
from trainables.records.storage import Storage, check_reachable, check_writable, open_storage
from trainables.records.sweep_folder import SweepFacts, load_facts, store_facts
from trainables.records.trial_data import PreparedQuotes, TrialData, prepare_quotes, store_data, trial_data

if TYPE_CHECKING:
    from data.documents import Places

PACKAGES = ("torch", "transformers", "ray", "optuna", "datasets", "wandb")
COMMIT_VARIABLE = "SWEEPS_COMMIT"  # by which sweeps/submit.py tells a job the commit of what it uploads
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A sweep that is ready to run once `lay_out` has written what it needs, which its sole driver has it do.

    `provenance` is that of the trials to come: where a sweep goes on, its own is that of the first.
    `notes` says what a person should know of data, tokenizers and versions, one line each.
    """

    facts: SweepFacts
    provenance: Provenance
    storage: Storage
    shapes: dict[str, ModelShape]
    lay_out: Callable[[], None]
    notes: tuple[str, ...] = ()


def prepare_new(plan: SweepPlan, options: SweepOptions, device: Device) -> Prepared:
    """Check everything that a person can get wrong beside the plan.

    Raises: OptionsError, StorageError, DataError, TokenizerError or ModelError, before anything is written.
    """
    created_at = datetime.now(UTC)
    name = options.name or f"{plan.question}-{created_at:%Y%m%d-%H%M%S}"
    storage = sweep_storage(options.storage, name)
    check_reachable(storage)
    check_free(storage, name, options.storage)
    quotes = prepare_quotes(plan.data, options.columns or "")
    split = quotes.split
    domain = domain_of(plan, options, quotes)
    data = trial_data(split, domain)
    shapes, notes = check_models(plan, lines_to_check(split, domain))
    if plan.rung_trials:
        sizes = [(name, shapes[name].parameters) for name in plan.models]
        check_sizes(sizes)
        plan = dataclasses.replace(plan, rung_parameters=tuple(parameters for _, parameters in sizes))
    if options.study:
        from sweeps.search.study import check_study

        check_study(options.study)
    if plan.token_budget is None:
        plan = with_epoch_tokens(plan, count_epoch_tokens(plan, data))
    if plan.layout == "padded":
        plan = dataclasses.replace(plan, row_lengths=find_row_lengths(plan, data))
    rungs = earlier_rungs(plan.warm_start, plan, quotes.fingerprint) if plan.rung_trials else []
    earlier = [] if plan.rung_trials else earlier_trials(plan.warm_start, plan, quotes.fingerprint)
    provenance = _provenance(quotes.fingerprint, device)
    facts = SweepFacts(
        name=name,
        question=plan.question,
        token=secrets.token_hex(3),
        created_at=created_at.isoformat(timespec="seconds"),
        plan=plan,
        provenance=provenance,
    )
    if not options.dry_run:
        check_writable(storage)

    def lay_out() -> None:
        check_free(storage, name, options.storage)  # again, as another may have begun in the meantime
        if plan.rung_trials:
            store_rungs(storage, rungs)
        else:
            store_earlier(storage, earlier)
        _lay_out(storage, facts, data)

    return Prepared(
        facts=facts,
        provenance=provenance,
        storage=storage,
        shapes=shapes,
        lay_out=lay_out,
        notes=(*quotes.notes, *notes),
    )


def check_free(storage: Storage, name: str, place: str) -> None:
    """See that no sweep is there. Raises: OptionsError."""
    if storage.exists(LAYOUT.facts):
        raise OptionsError(f"sweep {name!r} is already in {place}; add --resume, or choose another --name.")


def prepare_resumed(question: Question, options: SweepOptions, device: Device) -> Prepared:
    """Find the sweep that is to go on; its own plan holds, but it may be given more trials.

    Raises: OptionsError, StorageError or ModelError.
    """
    if options.name is None:
        raise OptionsError("--resume needs --name, the name of the sweep to resume.")
    storage = sweep_storage(options.storage, options.name)
    check_reachable(storage)
    try:
        facts = load_facts(storage)
    except FileNotFoundError:
        known = ", ".join(open_storage(options.storage).list_folders("")) or "none"
        raise OptionsError(f"no sweep named {options.name!r} in {options.storage}; there are: {known}.") from None
    except ValueError as error:
        raise OptionsError(str(error)) from None
    if facts.plan.question != question.name:
        raise OptionsError(
            f"sweep {options.name!r} belongs to sweeps/{facts.plan.question}.py; resume it with that script."
        )
    if flag := changed_by(options, facts.plan):
        raise OptionsError(f"{flag} differs from the sweep's own; leave it out, or start a sweep under another --name.")
    if facts.plan.on_cuda and not device.on_cuda:
        raise OptionsError(
            f"sweep {options.name!r} ran on GPUs, and this machine has none; resume it where there are some."
        )
    if not options.dry_run:
        check_writable(storage)
    plan = facts.plan
    if options.trials is not None:
        plan = dataclasses.replace(plan, trials=options.trials)
    if plan.rung_trials and (until := getattr(options, "until", None)):
        plan = checked_ladder(dataclasses.replace(plan, until=until))
    is_changed = plan != facts.plan
    facts = dataclasses.replace(facts, plan=plan)
    shapes, _ = check_models(plan)
    provenance = _provenance(facts.provenance.data_fingerprint, device)
    return Prepared(
        facts=facts,
        provenance=provenance,
        storage=storage,
        shapes=shapes,
        lay_out=lambda: store_facts(storage, facts) if is_changed else None,
        notes=_other_versions(facts, provenance),
    )


def _other_versions(facts: SweepFacts, now: Provenance) -> tuple[str, ...]:
    """The note that a sweep goes on under other versions of the packages that its figures depend on; else none."""
    before = facts.provenance.versions
    changed = [f"{name} {before[name]}, now {v}" for name, v in now.versions.items() if before.get(name, v) != v]
    return (f"Began with {'; '.join(changed)}: each record says what its trial ran on.",) if changed else ()


def lines_to_check(split: Split, domain: Domain) -> list[str]:
    """As many lines of both sides, evenly spread, as a tokenizer's contract is checked on."""
    from data.contract import spread

    quotes = (*split.train, *split.validation)
    return [domain.line(quote) for quote in spread(quotes)]


def domain_of(plan: SweepPlan, options: SweepOptions, prepared: PreparedQuotes) -> Domain:
    """The base text, prompts and template of a sweep. Raises: data.errors.DataError; OptionsError."""
    split = prepared.split
    flags: dict[Kind, tuple[str, ...]] = {
        "seen": options.seen_prompts,
        "unseen": options.unseen_prompts,
        "off_domain": options.off_domain_prompts,
    }
    prompts = [Prompt(word, kind) for kind, words in flags.items() for word in words]
    if options.prompts is not None:
        if prompts:
            raise OptionsError("--prompts names a file of all prompts; leave out the single flags.")
        prompts = load_prompts(options.prompts)
    elif prompts:
        usual = Domain(base_text=plan.base_text, base_lines=tuple(load_base_text(plan.base_text)))
        missing = [kind for kind, words in flags.items() if not words]
        prompts += [p for p in usual.prompts_for([q.keyword for q in split.train]) if p.kind in missing]
    quotes = (*split.train, *split.validation)
    return make_domain(plan.base_text, prompts, options.template, quotes, split.train, prepared.digests)


def sweep_storage(storage_uri: str, name: str) -> Storage:
    """The place of a sweep. Raises: OptionsError for a name that cannot be a folder's; StorageError."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise OptionsError(f"--name {name!r} cannot name a folder; use letters, digits, '.', '_' and '-', at most 100.")
    return open_storage(storage_uri).child(name)


def check_models(plan: SweepPlan, lines: Sequence[str] = ()) -> tuple[dict[str, ModelShape], tuple[str, ...]]:
    """Look at each model's config, length and tokenizer; its contract is checked on `lines`, before it costs a trial.

    The language model that is to read samples must have a config and a tokenizer as well.

    Returns: the shape of each model, and what the tokenizers' checks noted.
    Raises: ModelError, TokenizerError, or OptionsError for rows longer than a model's positions and a rank above its
        width.
    """
    shapes: dict[str, ModelShape] = {}
    notes: list[str] = []
    if plan.language_model is not None:
        with doing(f"looking at {plan.language_model}, which is to read the samples"):
            _check_reader(plan.language_model)
    for name in plan.models:
        with doing(f"looking at {name} and its tokenizer"):
            shapes[name], found = _check_model(name, plan, lines)
        notes += found
    return shapes, tuple(notes)


def _check_reader(name: str) -> None:
    from data.tokenizer import load_tokenizer

    source = find_model(name)
    load_config(source, "pretrained")
    load_tokenizer(source.location)


def _check_model(name: str, plan: SweepPlan, lines: Sequence[str]) -> tuple[ModelShape, list[str]]:
    from data.contract import require_contract
    from data.tokenizer import load_tokenizer

    source = find_model(name)
    notes = [f"model {name}: {source.origin}"] if source.origin and lines else []
    config = load_config(source, plan.weights)
    loaded = load_tokenizer(tokenizer_location(source, plan.weights))
    notes += require_contract(name, loaded, lines, config.get_text_config().vocab_size)
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and plan.sequence_length > positions:
        raise OptionsError(
            f"--sequence-length={plan.sequence_length} is longer than the {positions} positions of {name}."
        )
    shape = model_shape(config)
    if plan.lora_rank > shape.width:
        raise OptionsError(
            f"--lora-rank={plan.lora_rank} is above the width {shape.width} of {name};"
            f" choose 1 to {shape.width}, or 0 to train every weight."
        )
    return shape, notes


def count_epoch_tokens(plan: SweepPlan, data: TrialData) -> dict[str, dict[str, int]]:
    """The tokens of one epoch by model and replay ratio: those of the very rows that a trial will read."""
    return _of_rows(plan, data, lambda lengths: int(lengths.sum()))


def find_row_lengths(plan: SweepPlan, data: TrialData) -> dict[str, dict[str, int]]:
    """The tokens of the longest row that a trial will read, by model and replay ratio: its rehearsal runs on it."""
    return _of_rows(plan, data, lambda lengths: int(lengths.max()))


def _of_rows(plan: SweepPlan, data: TrialData, figure: Callable[[Places], int]) -> dict[str, dict[str, int]]:
    """A figure of the lengths of the rows that a trial will read, by model and replay ratio.

    Models of one tokenizer, as those of one family, share what is counted with it.
    """
    from data.batches import row_lengths
    from data.replay import Mixture
    from data.tokenizer import load_tokenizer

    ratios = plan.replay_ratios or (0.0,)
    figures: dict[str, dict[str, int]] = {}
    counted: dict[str, dict[str, int]] = {}
    for model in plan.models:
        loaded = load_tokenizer(tokenizer_location(find_model(model), plan.weights))
        if loaded.identity not in counted:
            with progress("counting the tokens of what is trained on") as told:
                mixture = Mixture(loaded, telling(data.quote_lines, told), data.domain.base_train)
            counted[loaded.identity] = {
                ratio_key(ratio): figure(
                    row_lengths(
                        mixture.documents(ratio, plan.seed).lengths,
                        layout=plan.layout,
                        sequence_length=plan.sequence_length,
                        seed=plan.seed,
                    )
                )
                for ratio in ratios
            }
        figures[model] = counted[loaded.identity]
    return figures


def _lay_out(storage: Storage, facts: SweepFacts, data: TrialData) -> None:
    """Write data and judge, and last the sweep's own document: with it the sweep exists."""
    from trainables.quality.judge import fitted_judge

    train, reference = ([quote.text for quote in quotes] for quotes in (data.quotes.train, data.quotes.validation))
    judge = fitted_judge(train, reference, data.domain.base_texts)
    store_data(storage, data.quotes, data.domain)
    storage.write_text(LAYOUT.judge, judge.to_json())
    store_facts(storage, facts)


def _provenance(fingerprint: str, device: Device) -> Provenance:
    return Provenance(
        git_sha=git_sha(),
        data_fingerprint=fingerprint,
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        device=device.name,
        host_cpus=os.cpu_count() or 1,
        tokenizer="",
    )


def git_sha() -> str:
    """The commit that the program's files stand at, "+changes" after it where files differ.

    Outside git, as where a checkout was uploaded, it is what the environment tells; "unknown" where that tells nothing.
    """
    folder = Path(__file__).parent
    try:
        git = ["git", "-C", str(folder)]
        sha = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get(COMMIT_VARIABLE, "unknown")
    return f"{sha}+changes" if status.strip() else sha
