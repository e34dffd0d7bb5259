"""Sample quality, first form: style where it is wanted, no spill-over where it is not, base knowledge kept.

sample_quality = style on quotation prompts x (1 - spill-over) x retention, each in [0, 1]. A product, because a mean
lets one good part buy off a ruined one.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainables.quality.sampling import SamplingSettings
from trainables.quality.style import StyleJudge
from trainables.records import Evaluation, QualityReport, Sample

GROUPS = {"seen": ("seen",), "unseen": ("unseen",), "wanted": ("seen", "unseen"), "off_domain": ("off_domain",)}


def measure_quality(
    samples: Sequence[Sample], evaluation: Evaluation, judge: StyleJudge, sampling: SamplingSettings
) -> QualityReport:
    """Score the tuned model's samples beside the base model's.

    Spill-over is how much quotation style the off-domain samples gained over the base model's; retention is the base
    model's science perplexity over the tuned model's, at most 1.
    """
    tuned = {group: _mean_style([s.text for s in samples if s.kind in kinds], judge) for group, kinds in GROUPS.items()}
    base = {
        group: _mean_style([s.base_text for s in samples if s.kind in kinds], judge) for group, kinds in GROUPS.items()
    }
    spill_over = max(0.0, tuned["off_domain"] - base["off_domain"])
    retention = min(1.0, evaluation.science_perplexity_before / evaluation.science_perplexity)
    return QualityReport(
        version=judge.version,
        sample_quality=tuned["wanted"] * (1 - spill_over) * retention,
        style_seen=tuned["seen"],
        style_unseen=tuned["unseen"],
        style_off_domain=tuned["off_domain"],
        base_style_seen=base["seen"],
        base_style_unseen=base["unseen"],
        base_style_off_domain=base["off_domain"],
        spill_over=spill_over,
        retention=retention,
        sample_count=len(samples),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
    )


def _mean_style(texts: Sequence[str], judge: StyleJudge) -> float:
    return float(judge.scores(texts).mean()) if texts else 0.0
