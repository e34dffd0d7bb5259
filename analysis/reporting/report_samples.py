"""The report's samples: base model's text beside the tuned model's, for every prompt, as text."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from analysis.reporting.html_parts import joined, part
from analysis.sweep_table.load import Sweep
from analysis.sweep_table.table import MISSING, cell_text, rate_text, trial_row
from trainables.records.record import Outcome, Sample, TrialRecord

SHOWN_PROMPTS = ("hope", "solitude", "virus", "phosphorylation")
SAMPLES_A_PROMPT = 3
SAMPLED_TRIALS = 60  # the page stays small; every record keeps all of its own samples
KINDS = {
    "seen": "keyword seen in training",
    "unseen": "keyword not in training",
    "off_domain": "off-domain: the style is not wanted here",
}


def samples(sweep: Sweep) -> Markup:
    """A few prompts at the best trial and that of lowest quality, then a choice of trial with all of its prompts."""
    sampled = [record for record in sweep.records if _samples_of(record)]
    if not sampled:
        return part("paragraph", "No trial wrote samples.", "muted")
    ranked = sorted(sampled, key=_quality, reverse=True)
    best = next((record for record in sampled if record.trial_id == sweep.standing.best), ranked[0])
    worst = ranked[-1] if _quality(ranked[-1]) < _quality(best) else None
    chosen = [best, *(record for record in ranked if record is not best)][:SAMPLED_TRIALS]
    return joined(_fixed_prompts(best, worst), _matrix(best, worst), _chooser(chosen, len(sampled)))


def _fixed_prompts(best: TrialRecord, worst: TrialRecord | None) -> Markup:
    """Base, best and lowest side by side; readable without JavaScript."""
    by_prompt = {_bare(sample.prompt): sample for sample in reversed(_samples_of(best))}
    prompts = [prompt for prompt in SHOWN_PROMPTS if prompt in by_prompt] or list(reversed(by_prompt))[:3]
    parts = []
    for prompt in prompts:
        sample = by_prompt[prompt]
        texts = [
            ("Base model", f"{best.settings.model}, before tuning", sample.base_text),
            ("Best trial", _named(best), sample.text),
        ]
        others = [other for other in _samples_of(worst) if _bare(other.prompt) == prompt] if worst else []
        if worst and others:
            texts.append(("Lowest quality", _named(worst), others[0].text))
        parts.append(part("prompt", sample.prompt, KINDS.get(sample.kind, sample.kind), texts))
    return joined(*parts)


def _matrix(best: TrialRecord, worst: TrialRecord | None) -> Markup:
    """Every prompt against base, best and lowest, nearest first; folded, and readable without JavaScript."""
    firsts = {sample.prompt: sample for sample in reversed(_samples_of(best))}
    others = {sample.prompt: sample.text for sample in reversed(_samples_of(worst))} if worst else {}
    heads = ["Prompt", "Base model", "Best trial", *(["Lowest quality"] if worst else [])]
    rows = []
    for kind in KINDS:
        for prompt in sorted(prompt for prompt, sample in firsts.items() if sample.kind == kind):
            sample = firsts[prompt]
            cells = [sample.base_text, sample.text, *([others.get(prompt, MISSING)] if worst else [])]
            rows.append((prompt, KINDS[kind], cells))
    return part("matrix", heads, rows)


def _chooser(chosen: Sequence[TrialRecord], total: int) -> Markup:
    """The data from which the page's script lets a person choose a trial; hidden until that script runs."""
    payload = [
        {
            "label": f"{_named(record)}: {_settings(record)}",
            "samples": [
                {
                    "prompt": sample.prompt,
                    "kind": KINDS.get(sample.kind, sample.kind),
                    "seed": f"seed {sample.seed}" + ("" if sample.ended else ", cut at the length limit"),
                    "base": sample.base_text,
                    "tuned": sample.text,
                }
                for sample in _samples_of(record)
                if sample.seed < SAMPLES_A_PROMPT
            ],
        }
        for record in chosen
    ]
    left_out = f" The {len(chosen)} best of {total:,} trials are here." if total > len(chosen) else ""
    return part("chooser", SAMPLES_A_PROMPT, left_out, payload)


def _samples_of(record: TrialRecord) -> Sequence[Sample]:
    return record.report.samples if record.report else ()


def _quality(record: TrialRecord) -> float:
    quality = record.report.quality if record.report and record.outcome is Outcome.FINISHED else None
    return quality.sample_quality if quality else float("-inf")


def _named(record: TrialRecord) -> str:
    quality = trial_row(record).sample_quality
    return f"trial {record.number}" + ("" if quality is None else f", quality {cell_text(quality, 'decimal')}")


def _settings(record: TrialRecord) -> str:
    settings = record.settings
    return f"{settings.model}, batch {settings.batch_size}, learning rate {rate_text(settings.learning_rate)}"


def _bare(prompt: str) -> str:
    """The keyword of a prompt, without the row's frame: `</s>Hope:` is `hope`."""
    return prompt.removeprefix("</s>").strip().removesuffix(":").strip().lower()
