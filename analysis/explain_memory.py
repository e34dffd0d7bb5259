"""Why does a run need the memory it needs, and what would bring it down? Figures before a GPU-second is spent.

    python analysis/explain_memory.py --model-size 125m --micro-batch-size 8 --sequence-length 2048 --gpu a10
    python analysis/explain_memory.py --model-size 125m --gpu a10 4090 --what-fits --plot map.html

No GPU, no network: the project's own training step is traced on tensors without storage and replayed through the
allocator's rules. Takes a few seconds the first time and a tenth of one when the same question is asked again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from data.command_line import command, parse
from data.errors import UserError, one_line
from trainables.memory.cards import Card, find_card
from trainables.model.models import GALACTICA_SHAPES
from trainables.records.byte_sizes import memory_text
from trainables.records.settings import DEFAULTS, LEVERS, SETTINGS, SettingsError, TrialSettings, choices_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STEP_LEVERS = [name for name in LEVERS if SETTINGS[name].decides_memory]
BAR_WIDTH = 40
METHODS = {
    "trace_and_replay": "the step traced and replayed through the allocator's rules",
    "trace": "the step traced",
    "closed_form": "by a formula",
    "sharded_form": "by a formula for shards",
}
Stack = Literal["ours", "hf-trainer", "trl", "litgpt"]
HOST_BYTES = 2**50  # a CPU is not bounded here: its probe counts tensors, and swap comes before an error


@dataclass(frozen=True, kw_only=True)
class StepOptions:
    """The training step to explain, apart from its levers, and the card that is to hold it."""

    model_size: str = "125m"
    """A Galactica or nano size, a hub name or a model folder."""
    micro_batch_size: int = 8
    """Sequences on the card at once."""
    accumulation: int = 1
    """Micro-batches for each optimizer step."""
    sequence_length: int = 2048
    """Tokens of a sequence."""
    stack: Stack = "ours"
    """Whose training step: this project's own, or another library's."""
    transformers: str | None = None
    """The library's version in another stack, such as 4.48. [the newest]"""
    lora_targets: str | None = None
    """Layers with adapters: attention or all-linear; or, for another stack, names such as q,k,v,o. [peft's choice]"""
    gpus: int = 1
    """Cards to shard over (FSDP, full shard): figures are each card's."""
    gpu: tuple[str, ...] = ("a10",)
    """Cards, as nvidia-smi or people name them (t4, a10, "RTX 3060" and others), or their memory, such as 24GiB."""
    device: Literal["cuda", "cpu"] = "cuda"
    """What the step runs on."""
    json: bool = False
    """Print one JSON document instead of text."""
    oom: str | None = None
    """PyTorch's out-of-memory message of such a run: which tensor it was."""
    what_fits: bool = False
    """Show which micro-batches and lengths fit, up to --sequence-length, in place of one step."""
    by_lever: bool = False
    """With --what-fits: the limit with each lever too, such as gradient checkpointing, and with all of them."""
    plot: str | None = None
    """Draw the memory timeline of the step, or the map of what fits, into this file, FILE.html."""


@command
def main(arguments: Sequence[str]) -> int:
    """Explain one training step. Returns: the exit code, 2 for a person's mistake, with one line on stderr."""
    options = parse(_kind_of_options(), arguments, (__doc__ or "").splitlines()[0])
    _check(options)
    settings = _settings(options)
    cards = [find_card(name) for name in options.gpu]
    if options.device == "cpu":
        cards = [Card(capacity_bytes=HOST_BYTES, on_cuda=False)]
    if options.what_fits:
        print(_what_fits(options, settings, cards))
        return 0
    documents = [_document(options, settings, card) for card in cards]
    if options.plot:
        from analysis.memory_timeline import write_timeline

        with _plotting(options.plot):
            write_timeline(settings, cards[0], options.plot)
    if options.json:
        print(json.dumps(documents if len(documents) > 1 else documents[0], indent=1))
    else:
        print(_text(documents))
    return 0


def _document(options: StepOptions, settings: TrialSettings, card: Card) -> dict[str, Any]:
    """What is told of the step on one card."""
    if options.stack != "ours":
        from trainables.memory.explaining.stack_explanation import explain_stack

        return explain_stack(
            settings,
            card,
            options.gpus,
            stack=options.stack,
            transformers=options.transformers,
            targets=options.lora_targets,
        )
    from trainables.memory.explaining.explanation import explain

    document = explain(settings, card, options.gpus)
    if options.oom:
        document["out_of_memory"] = _held_against(options.oom, settings, card)
    return document


def _what_fits(options: StepOptions, settings: TrialSettings, cards: Sequence[Card]) -> str:
    """The map as text or JSON, and drawn where that was asked for."""
    from analysis.what_fits import map_figure, map_text
    from trainables.memory.explaining.what_fits import what_fits

    document = what_fits(settings, cards, options.gpus, by_lever=options.by_lever)
    if options.plot:
        from analysis.figure_page import write_page

        with _plotting(options.plot):
            write_page(map_figure(document), f"What fits: {settings.model}", options.plot)
    if options.json:
        return json.dumps(document, indent=1)
    text = map_text(document, is_coloured=sys.stdout.isatty())
    return f"{text}\nAll of this is predicted, none of it measured. It took {document['seconds']:.2f} s."


@contextlib.contextmanager
def _plotting(plot: str) -> Iterator[None]:
    """Raises: UserError where the file cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"plot={plot}: it cannot be written ({one_line(error)}).") from None


def _kind_of_options() -> type[StepOptions]:
    """The flags of this program, each lever that memory depends on among them."""
    from trainables.records.flags import flags

    return dataclasses.make_dataclass(
        "Options", [], bases=(StepOptions, flags("LeverFlags", STEP_LEVERS)), frozen=True, kw_only=True
    )


def _check(options: StepOptions) -> None:
    """Raises: UserError for what the settings of a trial would report under another name, or not at all."""
    for name in ("micro_batch_size", "accumulation", "gpus"):
        if getattr(options, name) < 1:
            raise UserError(f"{name}={getattr(options, name)}; it must be at least 1.")
    if options.stack == "ours" and options.transformers:
        raise UserError("transformers is the version of another stack; give --stack as well, such as hf-trainer.")
    targets = options.lora_targets
    if options.stack == "ours" and targets not in (None, *choices_of("lora_targets")):
        known = ", ".join(choices_of("lora_targets"))
        raise UserError(
            f"lora_targets={targets}: this project's step has {known}; names of layers are for other stacks."
        )
    if options.stack != "ours" and options.device == "cpu":
        raise UserError(f"device=cpu: of stack {options.stack} only a GPU's step is known; leave --device out.")
    if options.oom and (options.stack != "ours" or options.gpus > 1 or options.device == "cpu"):
        raise UserError(
            "oom: a message is matched with this project's own step on one GPU; leave out --stack, --gpus, --device."
        )
    if not options.gpu:
        raise UserError("--gpu was given no card; name one or more, or leave it out.")
    if options.what_fits and (options.stack != "ours" or options.device == "cpu" or options.oom):
        raise UserError("--what-fits is about this project's own step on GPUs; leave out --stack, --device and --oom.")
    if options.by_lever and not options.what_fits:
        raise UserError("--by-lever draws limits into the map; give --what-fits as well.")
    plot = options.plot
    if plot is None:
        return
    if options.stack != "ours":
        raise UserError(f"plot={plot}: only this project's own step is drawn; leave --stack out.")
    if options.gpus > 1 and not options.what_fits:
        raise UserError(f"plot={plot}: only a traced step is drawn, and a shard is a formula; leave --gpus out.")
    if not plot.endswith(".html"):
        raise UserError(f"plot={plot}: only .html can be written; name it FILE.html.")
    if not os.access(os.path.dirname(plot) or ".", os.W_OK):
        raise UserError(f"plot={plot}: its folder is missing or cannot be written to; give one that can.")


def _settings(options: StepOptions) -> TrialSettings:
    levers = {name: getattr(options, name) for name in STEP_LEVERS}
    if options.stack != "ours" or levers["lora_targets"] is None:  # another stack's are described beside the settings
        levers["lora_targets"] = DEFAULTS["lora_targets"]
    elif not levers["lora_rank"]:
        raise UserError(f"lora_targets={options.lora_targets}: there are no adapters; give --lora-rank as well.")
    try:
        return TrialSettings(
            model=options.model_size,
            batch_size=options.micro_batch_size * options.accumulation,
            micro_batch_size=options.micro_batch_size,
            learning_rate=1e-4,
            sequence_length=options.sequence_length,
            token_budget=1,
            weights="random" if options.model_size in GALACTICA_SHAPES else "pretrained",
            **levers,
        )
    except SettingsError as error:
        raise UserError(str(error)) from None


def _held_against(text: str, settings: TrialSettings, card: Card) -> dict[str, Any]:
    """The request of the step that an out-of-memory message means. Raises: UserError for no such message."""
    from trainables.memory.explaining.oom_message import held_against, read_message
    from trainables.memory.tracing.trial_trace import trial_trace

    return held_against(read_message(text), trial_trace(settings, card))


def _out_of_memory(found: dict[str, Any]) -> list[str]:
    request, size = found["request"], memory_text(found["requested_bytes"])
    if request is None:
        return ["", f"The message: this step never asks for {size}; the run had other settings."]
    before = "" if found["allocated_bytes"] is None else f" ({memory_text(found['allocated_bytes'])} in the message)"
    return [
        "",
        f"The message: {size} of {request['component'].replace('_', ' ')} for {request['operation']} in the"
        f" {request['phase']} phase, when {memory_text(request['allocated_bytes'])} were allocated{before}.",
    ]


def _text(documents: list[dict[str, Any]]) -> str:
    """The first card's explanation, and of the others what differs."""
    document, *others = documents
    settings, on_cuda = document["settings"], document["device"] == "cuda"
    gpus = document["sharded"]["gpus"]
    lines = [
        f"{settings['model']}, micro-batch {settings['micro_batch_size']} x {settings['sequence_length']} tokens, "
        + ", ".join(words for name in STEP_LEVERS if (words := SETTINGS[name].words(settings[name])))
        + (f", as {document['stack']['name']} trains" if "stack" in document else "")
        + (f", on each of {gpus} GPUs that share the model (FSDP)" if gpus > 1 else ""),
        "",
    ]
    parts = dict(document["components"])
    if on_cuda:
        parts |= {"allocator slack": document["allocator_slack_bytes"], "CUDA context": document["context_bytes"]}
    largest = max(parts.values())
    for name, size in sorted(parts.items(), key=lambda part: -part[1]):
        bar = "#" * max(1, round(BAR_WIDTH * size / largest)) if size else ""
        lines.append(f"  {name.replace('_', ' '):20s} {memory_text(size):>11s}  {bar}")
    lines += ["", f"Predicted peak: {memory_text(document['allocated_bytes'])} allocated{_reserved(document, on_cuda)}"]
    moment = f" at {document['peak_operation']}" if document["peak_operation"] else ""
    lines.append(f"Moment of the peak: {document['peak_phase']}{moment} ({METHODS[document['method']]}).")
    if on_cuda:
        lines.append(_verdict(document))
    if on_cuda and "largest_micro_batch_size" in document:
        lines.append(_micro_batch(document))
    lines += [f"{_verdict(other)} {_micro_batch(other)}" for other in others]
    if "out_of_memory" in document:
        lines += _out_of_memory(document["out_of_memory"])
    lines += _remedies(document)
    if "cards_needed" in document and on_cuda:
        lines += _cards(document)
    seconds = sum(one["seconds"] for one in documents)
    lines.append(f"All of this is predicted, none of it measured. It took {seconds:.2f} s.")
    return "\n".join(lines)


def _reserved(document: dict[str, Any], on_cuda: bool) -> str:
    if not on_cuda:
        return "."
    low, high = document["interval"]["low_bytes"], document["interval"]["high_bytes"]
    between = f" ({memory_text(low)} to {memory_text(high)})" if low is not None else ""
    reserved, device = memory_text(document["reserved_bytes"]), memory_text(document["device_bytes"])
    return f", {reserved} reserved, {device} of the device{between}."


def _verdict(document: dict[str, Any]) -> str:
    needed, capacity = document["device_bytes"], document["capacity_bytes"]
    share = f"{needed / capacity:.0%} of the {document['gpu']}'s {memory_text(capacity)}"
    if document["fits"]:
        return f"Fits: {share}, {memory_text(max(0, capacity - needed))} to spare."
    return f"Does not fit: {share}, {memory_text(max(0, needed - capacity))} too much."


def _micro_batch(document: dict[str, Any]) -> str:
    largest = document.get("largest_micro_batch_size")
    return f"Largest micro-batch that fits: {largest}." if largest else "Not even one sequence fits."


def _remedies(document: dict[str, Any]) -> list[str]:
    if not document.get("remedies"):
        return []
    lines = ["", "What would bring it down:"]
    for remedy in document["remedies"]:
        needed = memory_text(remedy["allocated_bytes"])
        saved = memory_text(document["allocated_bytes"] - remedy["allocated_bytes"])
        fits = "" if document["device"] == "cpu" else "  fits" if remedy["fits"] else "  does not fit"
        lines.append(f"  {needed:>11s} (-{saved}){fits}  {remedy['change']}")
    return lines


def _cards(document: dict[str, Any]) -> list[str]:
    needed = document["cards_needed"]
    counts = ", ".join(f"{count} x {name}" for name, count in needed.items() if count is not None)
    return ["", f"Cards that hold it, sharded where more than one: {counts or 'none of those known'}."]


if __name__ == "__main__":
    sys.exit(main())
