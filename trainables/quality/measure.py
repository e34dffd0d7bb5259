"""A trial's samples and losses as its quality report."""

from __future__ import annotations

from collections.abc import Sequence

from trainables.quality.judge import QualityJudge
from trainables.quality.sampling import SamplingSettings
from trainables.quality.score import BATCHES, Parts, ScoredText, TextScores, retention, sample_quality, spill_over
from trainables.records.record import Evaluation, QualityReport, Sample


def measure_quality(
    samples: Sequence[Sample], evaluation: Evaluation, judge: QualityJudge, sampling: SamplingSettings
) -> QualityReport:
    """Score the tuned model's samples beside the base model's, batch by seed."""
    tuned, base = (
        TextScores([ScoredText(text=t, kind=s.kind, ended=e, batch=s.seed % BATCHES) for t, e, s in texts], judge)
        for texts in (
            [(sample.text, sample.ended, sample) for sample in samples],
            [(sample.base_text, True, sample) for sample in samples],
        )
    )
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
    return QualityReport(
        version=judge.version,
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
    )
