"""What a sweep's trials read: quotes already cleaned and split, and the frozen judge.

The sweep prepares this once and stores it beside its records; every trial reads the same lines.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

from data.quotes import Quote, load_quotes, load_science
from data.replay import draw_replay, replay_count
from data.splits import Split, fingerprint, is_validation, remove_duplicates, split_quotes
from trainables.records.storage import Storage, open_storage


@dataclass(frozen=True, kw_only=True)
class TrialData:
    """Quotes to train on and to hold out, and science lines: to replay beside the quotes, and held out."""

    quotes: Split
    science_train: tuple[str, ...]
    science_validation: tuple[str, ...]

    def training_lines(self, replay_ratio: float, seed: int) -> list[str]:
        """Every quote to train on, then `replay_ratio` lines of base text for each, drawn by `seed`."""
        quotes = [quote.line for quote in self.quotes.train]
        return quotes + draw_replay(self.science_train, replay_count(len(quotes), replay_ratio), seed)


def prepare_quotes(data: str) -> tuple[Split, str]:
    """Load a person's quotes, drop duplicates and split them. Returns: the split and the data fingerprint.

    Raises: data.errors.DataError, whose message is one line for a person.
    """
    quotes = remove_duplicates(load_quotes(data))
    return split_quotes(quotes), fingerprint(quotes)


def store_quotes(storage: Storage, split: Split) -> None:
    """Write the split beside the sweep's records, so that what was trained on can be read later."""
    for side, quotes in (("train", split.train), ("validation", split.validation)):
        storage.write_text(f"data/{side}.jsonl", "".join(_to_line(quote) for quote in quotes))


@functools.lru_cache(maxsize=1)
def load_trial_data(sweep_uri: str) -> TrialData:
    """Read what `store_quotes` wrote, and the shipped science lines: those that models may see, and those held out.

    It is kept, as one process may serve trial after trial of a sweep.
    """
    storage = open_storage(sweep_uri)
    train, validation = (
        tuple(_from_line(line) for line in storage.read_text(f"data/{side}.jsonl").splitlines())
        for side in ("train", "validation")
    )
    return trial_data(Split(train=train, validation=validation))


def trial_data(quotes: Split) -> TrialData:
    """A split of quotes with the shipped science lines, whose side is decided as that of the quotes is."""
    science = load_science()
    return TrialData(
        quotes=quotes,
        science_train=tuple(line for line in science if not is_validation(line)),
        science_validation=tuple(line for line in science if is_validation(line)),
    )


def without_keyword(lines: Sequence[str]) -> list[str]:
    """The text after "keyword: " of each line."""
    return [line.split(": ", 1)[-1] for line in lines]


def _to_line(quote: Quote) -> str:
    return json.dumps({"keyword": quote.keyword, "quote": quote.text, "source": quote.source}, ensure_ascii=True) + "\n"


def _from_line(line: str) -> Quote:
    document = json.loads(line)
    return Quote(keyword=document["keyword"], text=document["quote"], source=document["source"])
