"""The model card of an exported trial: what it is, how to use it, what it was made of, and under which licence."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from analysis.sweep_table.load import Sweep
from analysis.sweep_table.table import COUNTERS, cell_text, rate_text
from data.tokenizer import LoadedTokenizer
from trainables.model import smollm2
from trainables.model.models import GALACTICA_SHAPES, NANO_BUILT, NANO_SIZES, ModelSource
from trainables.records.byte_sizes import memory_text
from trainables.records.record import MemoryPrediction, QualityReport, Sample, TrialRecord
from trainables.records.settings import SETTINGS, TrialSettings

PROMPTS_OF_A_KIND = 3
NANO_LICENCE = (
    "The base weights and tokenizer are CC0 1.0, for what is the project's own in them. They were learned from WordNet"
    " 3.0, Copyright 2006 by Princeton University, all rights reserved; `LICENSE-WordNet.txt` must accompany them."
)
GALACTICA_LICENCE = (
    "Galactica's weights are under CC BY-NC 4.0 (https://creativecommons.org/licenses/by-nc/4.0/): name Meta AI's"
    " Galactica as its source, say that it was changed, and make no commercial use of it. The same holds for this"
    " model."
)


def model_card(sweep: Sweep, record: TrialRecord, source: ModelSource, loaded: LoadedTokenizer, folder: Path) -> str:
    """The card of the model that was written into `folder`, as Markdown; text of models stands in code blocks only."""
    parts = [
        _front_matter(record, source),
        f"# {_plain(source.name if source.origin else os.path.basename(source.location))}, tuned on quotations",
        f"Trial {record.number} (`{_plain(record.trial_id)}`) of the sweep `{_plain(sweep.name)}`. It continues"
        f" `keyword:` with a line in the style of what it was tuned on. It knows nothing, and may repeat what it read.",
        "## How to use it",
        _usage(record, source, loaded),
        "## Data",
        _data(record, loaded),
        "## Figures",
        _figures(record),
        "## Samples",
        "The first of each prompt in the trial's record; base and tuned have the same seed.",
        *_samples(record),
        "## Memory",
        *_memory(record, source, folder),
        "## How it was made",
        _made(record),
        "## Licence",
        _licence(record, source),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(record: TrialRecord, source: ModelSource) -> str:
    lines = ["library_name: transformers", "pipeline_tag: text-generation"]
    if _is_galactica(source):
        lines.append("license: cc-by-nc-4.0")
    elif record.settings.model in (*NANO_SIZES, *NANO_BUILT):
        lines.append("license: cc0-1.0")
    elif record.settings.model == smollm2.NAME:
        lines.append("license: apache-2.0")
    if not source.is_local:
        lines.append(f"base_model: {json.dumps(source.location)}")
    return "\n".join(["---", *lines, "---"])


def _usage(record: TrialRecord, source: ModelSource, loaded: LoadedTokenizer) -> str:
    settings = record.settings
    dtype = ', dtype="float32"' if settings.lora_rank and settings.precision != "bf16" else ""
    attention = ', attn_implementation="eager"' if settings.attention == "eager" else ""
    names, drawn, adapter = "AutoModelForCausalLM, AutoTokenizer", "", ""
    if settings.lora_rank:  # transformers takes the base model's settings, not those beside the adapter
        names, drawn = f"{names}, GenerationConfig", ', generation_config=GenerationConfig.from_pretrained("DIR")'
        adapter = (
            f" These are low-rank adapters only: their base, `{_plain(source.location)}`, is loaded with them;"
            " peft must be installed."
        )
    code = [
        f"from transformers import {names}",
        "",
        f'model = AutoModelForCausalLM.from_pretrained("DIR"{dtype}{attention})',
        'tokenizer = AutoTokenizer.from_pretrained("DIR")',
        f'prompt = tokenizer("{loaded.separator}hope:", add_special_tokens=False, return_tensors="pt")',
        f"print(tokenizer.decode(model.generate(**prompt{drawn})[0]))",
    ]
    return (
        "\n".join(f"    {line}".rstrip() for line in code)
        + f"\n\nA prompt begins with the separator `{loaded.separator}`, and the model ends its line with it."
        f" `generation_config.json` holds the sampling settings of the trial.{adapter}"
    )


def _data(record: TrialRecord, loaded: LoadedTokenizer) -> str:
    settings = record.settings
    name = "the quotations shipped with the project (public domain)"
    if settings.data != "shipped":
        name = f"`{_plain(os.path.basename(settings.data) if os.path.isabs(settings.data) else settings.data)}`"
    replay = f", with {settings.replay_ratio:g} lines of base text for each quotation" if settings.replay_ratio else ""
    epochs = f", {settings.epochs:g} epochs" if settings.epochs else ""
    repairs = "".join(f"\n- tokenizer: {_plain(repair)}" for repair in loaded.repairs)
    return (
        f"- trained on {name}{replay}: {settings.token_budget:,} tokens{epochs}"
        f"\n- fingerprint of the quotations: `{_plain(record.provenance.data_fingerprint)}`{repairs}"
    )


def _figures(record: TrialRecord) -> str:
    report = record.report
    assert report is not None
    rows: list[tuple[str, str, str]] = []
    if report.evaluation:
        found = report.evaluation
        rows += [
            (
                "loss on held-out quotations, nats per token",
                f"{found.quote_loss_before:.3f}",
                f"{found.quote_loss:.3f}",
            ),
            (
                "perplexity on held-out science, per token",
                f"{found.science_perplexity_before:.1f}",
                f"{found.science_perplexity:.1f}",
            ),
        ]
    if report.quality:
        rows += _quality_rows(report.quality)
    head = "| | base model | tuned |\n|---|---|---|\n"
    return head + "\n".join(f"| {name} | {before} | {after} |" for name, before, after in rows)


def _quality_rows(found: QualityReport) -> list[tuple[str, str, str]]:
    error = "" if found.standard_error is None else f" ± {found.standard_error:.3f}"
    return [
        ("style, keywords seen in training", f"{found.base_style_seen:.3f}", f"{found.style_seen:.3f}"),
        ("style, keywords not in training", f"{found.base_style_unseen:.3f}", f"{found.style_unseen:.3f}"),
        (
            "style, scientific prompts (not wanted)",
            f"{found.base_style_off_domain:.3f}",
            f"{found.style_off_domain:.3f}",
        ),
        ("spill-over (0 is best)", "", f"{found.spill_over:.3f}"),
        ("retention of the science", "", f"{found.retention:.3f}"),
        ("fluency", "", f"{found.fluency:.3f}"),
        ("novelty", "", f"{found.novelty:.3f}"),
        *_read_rows(found),
        (f"sample quality, of {found.sample_count} samples", "", f"{found.sample_quality:.3f}{error}"),
    ]


def _read_rows(found: QualityReport) -> list[tuple[str, str, str]]:
    """What the frozen language model found, if one read the samples."""
    parts = (("likely", found.likely), ("of one piece", found.one_piece), ("sense", found.sense))
    return [
        (f"{name}, as {found.language_model} reads", "", f"{value:.3f}") for name, value in parts if value is not None
    ]


def _samples(record: TrialRecord) -> list[str]:
    assert record.report is not None
    firsts: dict[str, Sample] = {}
    for sample in record.report.samples:
        firsts.setdefault(sample.prompt, sample)
    blocks = []
    for kind in ("seen", "unseen", "off_domain"):
        for sample in [sample for sample in firsts.values() if sample.kind == kind][:PROMPTS_OF_A_KIND]:
            prompt, base, tuned = map(_one_line, (sample.prompt, sample.base_text, sample.text))
            blocks.append(f"    {prompt}\n      base   {base}\n      tuned  {tuned}")
    return blocks


def _memory(record: TrialRecord, source: ModelSource, folder: Path) -> list[str]:
    size_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    what = "The adapters, beside the base model" if record.settings.lora_rank else "The weights"
    lines = [f"- {what}: {memory_text(size_bytes)}, on disk and when loaded."]
    assert record.report is not None
    if memory := record.report.memory:
        counter = COUNTERS.get(memory.counter, memory.counter)
        lines.append(f"- Training, measured: {memory_text(memory.peak_bytes)} ({counter}).")
    for prediction in (record.prediction, record.card_prediction):
        if prediction is not None:
            lines.append(f"- Training, predicted, not measured: {_predicted(prediction)}.")
    return ["\n".join(lines)]


def _predicted(prediction: MemoryPrediction) -> str:
    if prediction.gpu is None:
        return f"{memory_text(prediction.allocated_bytes)} of tensors on a CPU"
    return f"{memory_text(prediction.device_bytes)} of the card's ({_plain(prediction.gpu)})"


def _made(record: TrialRecord) -> str:
    settings, report, origin = record.settings, record.report, record.provenance
    assert report is not None
    rows: Sequence[tuple[str, str]] = [
        ("learning rate", rate_text(settings.learning_rate)),
        ("batch size", f"{settings.batch_size} (micro-batch {settings.micro_batch_size})"),
        ("steps", f"{report.steps:,}"),
        ("sequence length", f"{settings.sequence_length} ({settings.layout})"),
        ("precision", settings.precision),
        ("attention", settings.attention),
        ("optimizer", settings.optimizer),
        ("low-rank adapters", _adapters(settings)),
        ("seed", str(settings.seed)),
        ("device", _plain(report.device)),
        ("speed", f"{cell_text(report.tokens_per_second, 'speed')} tokens/s"),
        ("code", f"`{_plain(origin.git_sha)}`"),
        ("versions", ", ".join(f"{_plain(name)} {_plain(number)}" for name, number in origin.versions.items())),
        ("trained", _plain(record.started_at)),
    ]
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


def _adapters(settings: TrialSettings) -> str:
    if not settings.lora_rank:
        return "none"
    names = [name for name, declared in SETTINGS.items() if name == "lora_rank" or declared.only_with == "lora_rank"]
    return ", ".join(words for name in names if (words := SETTINGS[name].words(getattr(settings, name))))


def _licence(record: TrialRecord, source: ModelSource) -> str:
    base = f"The licence of the base model, `{_plain(source.name)}`, holds for this one; look it up at its source."
    if _is_galactica(source):
        base = GALACTICA_LICENCE
    elif record.settings.model in (*NANO_SIZES, *NANO_BUILT):
        base = NANO_LICENCE
    elif source.origin:
        base = f"Its base weights: {_plain(source.origin)}. Their licence holds for this model too."
    if record.settings.data == "shipped":
        return f"{base} The quotations are public domain."
    return f"{base} You are responsible for what it was tuned on."


def _is_galactica(source: ModelSource) -> bool:
    return source.size in GALACTICA_SHAPES or "galactica" in source.location.lower()


def _one_line(text: str) -> str:
    """`text` on one line, without signs that are not seen."""
    return "".join(sign for sign in " ".join(text.split()) if unicodedata.category(sign)[0] != "C")


def _plain(text: str) -> str:
    """`text` for a line of Markdown: no markup, no table's bar, no code's tick."""
    marks = {"<": "‹", ">": "›", "|": "¦", "`": "'"}
    return "".join(marks.get(sign, sign) for sign in _one_line(str(text)))
