"""Score samples of any model: python analysis/score_samples.py FILE.jsonl [--train DATA] [--reference DATA] [--json]
    [--language-model smollm2-135m]

FILE holds one sample a line: {"prompt": "hope:", "text": "Hope is …"}. They are measured as a sweep measures its own
(trainables/quality/README.md), but for retention, which needs the model itself and is left out of the product.
With a language model, a frozen one reads them as well (measure 4): how likely they are, whether they are of one piece,
and whether they say what their keyword asks for.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, arg

from data.command_line import command, parse

TOLD_FROM = 10_000  # samples from which progress is reported
PROGRESS_STEPS = 20
SHOWN_CHARACTERS = 100


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which samples to score, and against what."""

    file: Annotated[Positional[str], arg(metavar="FILE.jsonl")]
    """Samples, one a line: {"prompt": "hope:", "text": "…"}."""
    train: str = "shipped"
    """The training quotes: a file, or the name of a data set."""
    reference: Annotated[str | None, arg(help_behavior_hint="")] = None
    """Human quotes that were not trained on. [the lines of --train that sweeps hold out]"""
    columns: Annotated[str | None, arg(help_behavior_hint="")] = None
    """Columns of --train and --reference that go by other names: keyword=tag,quote=body."""
    language_model: Annotated[str | None, arg(help_behavior_hint="")] = None
    """A frozen causal language model that reads the samples too: smollm2-135m, or any name that a sweep takes."""
    json: bool = False
    """Print one JSON object."""


@command
def main(arguments: Sequence[str]) -> int:
    """The command line. Returns: the exit code, 2 for a person's mistake, with one line on stderr."""
    options = parse(Options, arguments, "Score samples of any model as a sweep scores its own.")
    result = score(options.file, options.train, options.reference, options.columns or "", options.language_model)
    print(json.dumps(result, indent=1) if options.json else _page(result))
    return 0


def score(
    file: str, train: str, reference: str | None, columns: str = "", language_model: str | None = None
) -> dict[str, Any]:
    """The parts and the whole for the samples in `file`. Raises: UserError for a mistake in any of them."""
    from analysis.sample_file import read_samples
    from data.domain import without_head
    from data.quotes import load_science, read_quotes
    from data.splits import is_validation, remove_duplicates, split_quotes
    from trainables.quality.judge import fitted_judge
    from trainables.quality.score import Parts, TextScores, sample_quality
    from trainables.quality.sense import measure_4_version

    files = [read_quotes(name, columns) for name in (train, reference) if name is not None]
    quotes = remove_duplicates(files[0].quotes)
    if reference is None:
        split = split_quotes(quotes)
        trained, held_out = split.train, split.validation
    else:
        trained, held_out = tuple(quotes), tuple(remove_duplicates(files[1].quotes))
    base_lines = [line for line in load_science() if not is_validation(line)]
    headwords = {line.partition(": ")[0] for line in base_lines}
    samples = read_samples(file, {quote.keyword for quote in trained}, headwords)
    judge = fitted_judge([q.text for q in trained], [q.text for q in held_out], without_head(base_lines))
    readings = None
    if language_model is not None:
        from trainables.quality.reading import read_texts

        readings = read_texts(language_model, held_out, samples)
    progress = _Progress(len(samples)) if len(samples) >= TOLD_FROM else None
    scores = TextScores(samples, judge, progress, readings)

    def quality(parts: Parts) -> float:
        return sample_quality(parts, parts.style_off_domain or 0.0, 1.0)

    parts = scores.parts()
    of_parts = dataclasses.asdict(parts)
    of_reference = of_parts.pop("reference") or {}
    not_measured = ["retention"] + [kind for kind in ("spill_over",) if parts.style_off_domain is None]
    return {
        "version": judge.version if language_model is None else measure_4_version(judge.version, language_model),
        "language_model": language_model,
        "samples": len(samples),
        "sample_quality": quality(parts),
        "standard_error": scores.standard_error(quality),
        **of_parts,
        **of_reference,
        "spill_over": parts.style_off_domain,
        "not_measured": not_measured,
        "read_as": [note for read in files for note in read.notes],
        "best": [sample.text for sample in scores.ranked(3)],
        "worst": [sample.text for sample in scores.ranked(-3)],
    }


class _Progress:
    """Reports on stderr how many samples are scored, about twenty times in all."""

    def __init__(self, total: int) -> None:
        self._total, self._next = total, 0

    def __call__(self, done: int) -> None:
        if done >= self._next or done == self._total:
            print(f"scored {done:,} of {self._total:,} samples", file=sys.stderr, flush=True)
            self._next = done + self._total // PROGRESS_STEPS


def _page(result: dict[str, Any]) -> str:
    from analysis.sample_file import visible

    lines = []
    for name, value in result.items():
        if isinstance(value, list):
            lines.append(f"{name}:")
            lines += [f"  {visible(text)[:SHOWN_CHARACTERS]}" for text in value]
        else:
            shown = f"{value:.3f}" if isinstance(value, float) else "not measured" if value is None else str(value)
            lines.append(f"{name:<18}{shown}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
