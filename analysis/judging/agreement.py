"""How far `sample_quality` agrees with a person who does not know whose text is whose."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from analysis.judging.judgements import Judgement
from trainables.records.record import QualityReport, TrialRecord

PARTS = ("adherence", "fluency", "diversity", "novelty", "retention", "spill_over")
CONFIDENCE_Z = 1.959964  # the normal quantile of a two-sided interval of 95%


@dataclass(frozen=True, kw_only=True)
class Share:
    """`count` of `of`, with the Wilson interval of 95%; all None of nothing.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """

    count: int
    of: int

    @property
    def share(self) -> float | None:
        """The share itself, in [0, 1]."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Lower and upper bound, in [0, 1]."""
        if not self.of:
            return None
        share, n, z = self.count / self.of, self.of, CONFIDENCE_Z
        shrink = 1 + z**2 / n
        centre = (share + z**2 / (2 * n)) / shrink
        half = z / shrink * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far `sample_quality` and the person say the same; ties count in none of the shares.

    `trials`: of two trials the person preferred the one with the higher number. `tuned`: on quotation prompts the
    person preferred the tuned text to the base model's, as any number above 0 says. `far`: on scientific prompts the
    person preferred the base model's text, of which the number says nothing for a single pair. `parts` has for each
    part of the number what `trials` has for the whole; `people`, of two who judged one pair, those who said the same.
    """

    judged: int
    ties: int
    trials: Share
    tuned: Share
    far: Share
    parts: dict[str, Share]
    people: Share

    @property
    def overall(self) -> Share:
        """All pairs on which the number makes a claim."""
        return Share(count=self.trials.count + self.tuned.count, of=self.trials.of + self.tuned.of)


def agreement(judgements: Iterable[Judgement], records: Iterable[TrialRecord]) -> Agreement:
    """How far the trials' `sample_quality` says what the person said."""
    reports = {r.trial_id: r.report.quality for r in records if r.report and r.report.quality}
    quality = {trial_id: report.sample_quality for trial_id, report in reports.items()}
    counts = {"trials": [0, 0], "tuned": [0, 0], "far": [0, 0]}
    parts = {name: [0, 0] for name in PARTS}
    choices: dict[str, list[str]] = {}
    judged = ties = 0
    for item in judgements:
        choices.setdefault(item.pair_id, []).append(_preferred(item))
        judged += 1
        if item.choice == "tie":
            ties += 1
            continue
        chosen, other = (item.left, item.right) if item.choice == "left" else (item.right, item.left)
        if chosen.is_base or other.is_base:
            group = "far" if item.kind == "off_domain" else "tuned"
            agreed = chosen.is_base if group == "far" else other.is_base
        else:
            group = "trials"
            for name in PARTS if {chosen.trial_id, other.trial_id} <= reports.keys() else ():
                better, worse = (_part(reports[side.trial_id], name) for side in (chosen, other))
                parts[name][0] += better > worse
                parts[name][1] += better != worse
            one, two = quality.get(chosen.trial_id), quality.get(other.trial_id)
            if one is None or two is None or one == two:
                continue
            agreed = one > two
        counts[group][0] += agreed
        counts[group][1] += 1
    shares = {name: Share(count=count, of=of) for name, (count, of) in counts.items()}
    pairs = [pair for of_pair in choices.values() for pair in itertools.combinations(of_pair, 2)]
    return Agreement(
        judged=judged,
        ties=ties,
        parts={name: Share(count=count, of=of) for name, (count, of) in parts.items()},
        people=Share(count=sum(one == two for one, two in pairs), of=len(pairs)),
        **shares,
    )


def _preferred(item: Judgement) -> str:
    """Whose text was preferred, whichever side it stood on."""
    if item.choice == "tie":
        return "tie"
    side = item.left if item.choice == "left" else item.right
    return f"{side.trial_id}/{side.is_base}"


def _part(report: QualityReport, name: str) -> float:
    """A part of the number, more is better."""
    value = float(getattr(report, name))
    return -value if name == "spill_over" else value


def agreement_lines(found: Agreement) -> list[str]:
    """The agreement in sentences for a person."""
    parts = [f"{name.replace('_', ' ')} {share.count} of {share.of}" for name, share in found.parts.items() if share.of]
    lines = [
        f"{found.judged} pairs judged, {found.ties} of them ties.",
        f"sample_quality agrees with the person on {share_text(found.overall)}.",
        f"Of two trials, the one with the higher number was preferred on {share_text(found.trials)}.",
        f"On quotation prompts, the tuned text was preferred to the base model's on {share_text(found.tuned)}.",
        f"On scientific prompts, the base model's text was preferred on {share_text(found.far)}.",
    ]
    if parts:
        lines.append(f"Of two trials, the one with the better part was preferred: {', '.join(parts)} pairs.")
    if found.people.of:
        lines.append(f"Two people who judged one pair said the same on {share_text(found.people)}.")
    return lines


def share_text(found: Share) -> str:
    """A share as a person reads it, with its interval."""
    if found.share is None or found.interval is None:
        return "0 of 0 pairs"
    low, high = found.interval
    return f"{found.count} of {found.of} pairs ({found.share:.0%}; 95% interval {low:.0%} to {high:.0%})"
