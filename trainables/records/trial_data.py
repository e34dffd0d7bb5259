"""What a sweep's trials read: quotes already cleaned and split, and the frozen judge.

The sweep prepares this once and stores it beside its records; every trial reads the same lines.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy

from data.domain import Domain, shipped_domain
from data.progress import progress
from data.prompts import Prompt
from data.quotes import Quote, read_quotes
from data.replay import draw_replay, replay_count
from data.splits import Digests, Split, distinct_quotes, fingerprint, held_out_mask, split_quotes
from trainables.records.layout import LAYOUT
from trainables.records.storage import Storage, open_storage


@dataclass(frozen=True, kw_only=True)
class TrialData:
    """Quotes to train on and to hold out, and the domain that they are set against."""

    quotes: Split
    domain: Domain

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts that every model of the sweep goes on from."""
        return self.domain.prompts_for([quote.keyword for quote in self.quotes.train])

    @property
    def quote_lines(self) -> Iterator[str]:
        """The line that a model learns of every quote to train on, made as it is asked for."""
        return map(self.domain.line, self.quotes.train)

    def training_lines(self, replay_ratio: float, seed: int) -> list[str]:
        """Every quote to train on, then `replay_ratio` lines of base text for each, drawn by `seed`."""
        quotes = list(self.quote_lines)
        return quotes + draw_replay(self.domain.base_train, replay_count(len(quotes), replay_ratio), seed)


@dataclass(frozen=True, kw_only=True)
class PreparedQuotes:
    """A person's quotes without duplicates, split; `notes` says, a line each, how their file was read.

    `digests` has `digest_of` the text of each quote, those to train on first.
    """

    split: Split
    fingerprint: str
    notes: tuple[str, ...]
    digests: Digests


def prepare_quotes(data: str, columns: str = "") -> PreparedQuotes:
    """Load a person's quotes, drop duplicates and split them; `columns` maps columns of other names.

    Raises: data.errors.DataError, whose message is one line for a person.
    """
    with progress(f"reading {data}") as told:
        loaded = read_quotes(data, columns, told)
    with progress(f"looking for duplicates in {data}") as told:
        distinct = distinct_quotes(loaded.quotes, told)
    quotes, is_held_out = distinct.quotes, held_out_mask(distinct.digests)
    return PreparedQuotes(
        split=split_quotes(quotes, digests=distinct.digests),
        fingerprint=fingerprint(quotes),
        notes=loaded.notes,
        digests=numpy.concatenate([distinct.digests[~is_held_out], distinct.digests[is_held_out]]),
    )


def store_data(storage: Storage, split: Split, domain: Domain) -> None:
    """Write split and domain beside the sweep's records, so that what was trained on can be read later."""
    storage.write_text(LAYOUT.domain, domain.to_json())
    for side, quotes in (("train", split.train), ("validation", split.validation)):
        storage.write_text(LAYOUT.quotes(side), "".join(_to_line(quote) for quote in quotes))


@functools.lru_cache(maxsize=1)
def load_trial_data(sweep_uri: str) -> TrialData:
    """Read what `store_data` wrote; a sweep without a domain has the shipped science.

    It is kept, as one process may serve trial after trial of a sweep.
    """
    storage = open_storage(sweep_uri)
    train, validation = (
        tuple(_from_line(line) for line in storage.read_text(LAYOUT.quotes(side)).splitlines())
        for side in ("train", "validation")
    )
    has_domain = storage.exists(LAYOUT.domain)
    domain = Domain.from_json(storage.read_text(LAYOUT.domain)) if has_domain else shipped_domain()
    return trial_data(Split(train=train, validation=validation), domain)


def trial_data(quotes: Split, domain: Domain | None = None) -> TrialData:
    """A split of quotes set against `domain`, by default the shipped science."""
    return TrialData(quotes=quotes, domain=domain or shipped_domain())


def _to_line(quote: Quote) -> str:
    return json.dumps({"keyword": quote.keyword, "quote": quote.text, "source": quote.source}, ensure_ascii=True) + "\n"


def _from_line(line: str) -> Quote:
    document = json.loads(line)
    return Quote(keyword=document["keyword"], text=document["quote"], source=document["source"])
