"""The base model before tuning: its losses and its samples, measured once for each model of a sweep."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from trainables.quality.sampling import Completion, SamplingSettings
from trainables.records.storage import Storage


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Losses in nats per token, perplexity, and completions by prompt in the sweep's order of prompts.

    `off_domain_loss` is the model's on its own completions of off-domain prompts.
    """

    quote_loss: float
    science_perplexity: float
    off_domain_loss: float
    completions: tuple[tuple[Completion, ...], ...]


def baseline_for(
    storage: Storage, model: str, precision: str, sampling: SamplingSettings, measure: Callable[[], Baseline]
) -> Baseline:
    """The stored baseline of a model, or what `measure` finds, stored for the trials that follow."""
    name = f"{model}-{precision}"
    digest = hashlib.blake2b(f"{name} {sampling}".encode(), digest_size=4).hexdigest()
    path = f"baselines/{re.sub('[^A-Za-z0-9.]+', '-', name).strip('-')}-{digest}.json"
    if storage.exists(path):
        return _from_json(storage.read_text(path))
    baseline = measure()
    storage.write_text(path, json.dumps(dataclasses.asdict(baseline)))
    return baseline


def _from_json(text: str) -> Baseline:
    document = json.loads(text)
    completions = tuple(tuple(Completion(**c) for c in row) for row in document.pop("completions"))
    return Baseline(completions=completions, **document)
