"""A trial's samples and losses as its quality report."""

from __future__ import annotations

from collections.abc import Sequence

from trainables.quality.judge import QualityJudge
from trainables.quality.sampling import SamplingSettings
from trainables.quality.score import (
    BATCHES,
    Parts,
    ReferenceScores,
    ScoredText,
    TextScores,
    retention,
    sample_quality,
    spill_over,
)
from trainables.quality.sense import measure_4_version
from trainables.records.record import Evaluation, QualityReport, Sample


def tuned_texts(samples: Sequence[Sample]) -> list[ScoredText]:
    """The tuned model's texts, batch by seed."""
    return [_text(sample, sample.text, sample.ended) for sample in samples]


def _text(sample: Sample, text: str, ended: bool) -> ScoredText:
    keyword = sample.prompt.removesuffix(":")
    return ScoredText(text=text, kind=sample.kind, ended=ended, batch=sample.seed % BATCHES, keyword=keyword)


def measure_quality(
    samples: Sequence[Sample],
    evaluation: Evaluation,
    judge: QualityJudge,
    sampling: SamplingSettings,
    readings: ReferenceScores | None = None,
) -> QualityReport:
    """Score the tuned model's samples beside the base model's; `readings` are those of `tuned_texts`, if any."""
    tuned = TextScores(tuned_texts(samples), judge, reference=readings)
    base = TextScores([_text(sample, sample.base_text, True) for sample in samples], judge)
    kept = retention(
        evaluation.science_perplexity_before,
        evaluation.science_perplexity,
        evaluation.off_domain_loss_before,
        evaluation.off_domain_loss,
    )
    base_style = base.styles()
    base_off_domain = base_style["off_domain"] or 0.0

    def spilled(parts: Parts) -> float:
        return spill_over(parts.style_off_domain or 0.0, base_off_domain)

    def quality(parts: Parts) -> float:
        return sample_quality(parts, spilled(parts), kept)

    parts = tuned.parts()
    read = parts.reference
    return QualityReport(
        version=judge.version if readings is None else measure_4_version(judge.version, readings.language_model),
        sample_quality=quality(parts),
        standard_error=tuned.standard_error(quality),
        adherence=parts.adherence,
        form=parts.form,
        style_seen=parts.style_seen or 0.0,
        style_unseen=parts.style_unseen or 0.0,
        style_off_domain=parts.style_off_domain or 0.0,
        base_style_seen=base_style["seen"] or 0.0,
        base_style_unseen=base_style["unseen"] or 0.0,
        base_style_off_domain=base_off_domain,
        fluency=parts.fluency,
        word_order=parts.word_order,
        known_words=parts.known_words,
        diversity=parts.diversity,
        novelty=parts.novelty,
        copied_share=parts.copied_share,
        spill_over=spilled(parts),
        retention=kept,
        sample_count=len(samples),
        sampling_seed=sampling.seed,
        max_new_tokens=sampling.max_new_tokens,
        greedy=sampling.greedy,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        language_model=readings.language_model if readings else None,
        likely=read.likely if read else None,
        one_piece=read.one_piece if read else None,
        sense=read.sense if read else None,
    )
