"""Pairs of completions to judge blind, and what a person said of them, stored with the sweep."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from analysis.sweep_table.load import RecordsError
from trainables.records.layout import LAYOUT
from trainables.records.record import Sample, TrialRecord
from trainables.records.storage import Storage

Choice = Literal["left", "right", "tie"]
PairKind = Literal["both", "base", "trials"]

DECK_SIZE = 200  # pairs: an hour of a person's patience, and an interval of about 14 points
DRAWS_PER_PAIR = 20


@dataclass(frozen=True, kw_only=True)
class Side:
    """Whose text a side is: a trial's, or that of the base model of that trial."""

    trial_id: str
    is_base: bool


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two completions of one prompt and seed. `pair_id` says nothing of whose they are, nor on which side."""

    pair_id: str
    prompt: str
    kind: str
    seed: int
    left: Side
    right: Side
    left_text: str
    right_text: str


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a person said of a pair, and when (UTC, ISO 8601). `judge` is '' for this sweep's own, else who else."""

    pair_id: str
    prompt: str
    kind: str
    seed: int
    left: Side
    right: Side
    choice: Choice
    at: str
    judge: str = ""


def make_deck(
    records: Sequence[TrialRecord], seed: str, *, pairs: PairKind = "both", size: int = DECK_SIZE
) -> list[Pair]:
    """At most `size` pairs with texts that differ, drawn and shuffled by `seed`; the same for the same records.

    Takes time and memory in proportion to the samples, not to the pairs that they could make.
    """
    generator = random.Random(f"deck/{seed}")
    samples = [(record.trial_id, sample) for record in records if record.report for sample in record.report.samples]
    wanted = {"both": (size - size // 2, size // 2), "base": (size, 0), "trials": (0, size)}[pairs]
    deck: dict[str, Pair] = {}
    against_base = [(trial, sample) for trial, sample in samples if sample.text.strip() != sample.base_text.strip()]
    for trial, sample in generator.sample(against_base, min(wanted[0], len(against_base))):
        tuned = (Side(trial_id=trial, is_base=False), sample.text)
        base = (Side(trial_id=trial, is_base=True), sample.base_text)
        _add(deck, sample, tuned, base, generator)
    by_prompt: dict[tuple[str, int], list[tuple[str, Sample]]] = {}
    for trial, sample in samples:
        by_prompt.setdefault((sample.prompt, sample.seed), []).append((trial, sample))
    groups = [group for group in by_prompt.values() if len(group) > 1]
    enough = len(deck) + wanted[1]
    for _ in range(DRAWS_PER_PAIR * wanted[1] if groups else 0):
        if len(deck) >= enough:
            break
        (one, first), (other, second) = generator.sample(generator.choice(groups), 2)
        if one != other and first.text.strip() != second.text.strip():
            sides = [(Side(trial_id=t, is_base=False), s.text) for t, s in ((one, first), (other, second))]
            _add(deck, first, sides[0], sides[1], generator)
    shuffled = list(deck.values())
    generator.shuffle(shuffled)
    return shuffled


class JudgementStore:
    """A sweep's judgements: one file for each run of the judge, each rewritten whole, so that none is ever torn."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._own: list[Judgement] = []
        self._name = LAYOUT.judgement_file(f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")
        self.earlier, self.unreadable = _read(storage)

    def add(self, pair: Pair, choice: Choice) -> None:
        """Store what a person said of `pair`; a pair judged again counts as it was judged last."""
        self._own.append(
            Judgement(
                pair_id=pair.pair_id,
                prompt=pair.prompt,
                kind=pair.kind,
                seed=pair.seed,
                left=pair.left,
                right=pair.right,
                choice=choice,
                at=datetime.now(UTC).isoformat(),
            )
        )
        self._storage.write_text(self._name, "".join(f"{_to_line(item)}\n" for item in self._own))

    @property
    def latest(self) -> dict[str, Judgement]:
        """The last judgement of each pair by this sweep's own person, by pair id."""
        return {pair_id: item for (judge, pair_id), item in self.of_everybody.items() if not judge}

    @property
    def of_everybody(self) -> dict[tuple[str, str], Judgement]:
        """The last judgement of each pair by each person, by judge and pair id."""
        ordered = sorted([*self.earlier, *self._own], key=lambda item: item.at)
        return {(item.judge, item.pair_id): item for item in ordered}

    def export(self) -> str:
        """This sweep's own judgements, the last of each pair, as text for another's `take`."""
        return "".join(f"{_to_line(item)}\n" for item in self.latest.values())

    def take(self, text: str, source: str, trial_ids: Collection[str]) -> int:
        """Store what another person's `export` gave; a second time changes nothing. Returns: how many judgements.

        Raises: RecordsError, naming the line, where it is none, or speaks of no trial of `trial_ids`.
        """
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
        taken = []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                item = _from_json(json.loads(line))
            except (ValueError, TypeError, KeyError):
                raise RecordsError(f"{source}:{number}: not a judgement; give what --export wrote.") from None
            if not {item.left.trial_id, item.right.trial_id} <= set(trial_ids):
                raise RecordsError(
                    f"{source}:{number}: judges a trial that this sweep does not have; it belongs to another sweep."
                )
            taken.append(dataclasses.replace(item, judge=item.judge or digest))
        if not taken:
            raise RecordsError(f"{source}: no judgement in it; give what --export wrote.")
        self._storage.write_text(
            LAYOUT.judgement_file(f"from-{digest}"), "".join(f"{_to_line(item)}\n" for item in taken)
        )
        self.earlier, self.unreadable = _read(self._storage)
        return len(taken)


def _to_line(judgement: Judgement) -> str:
    return json.dumps(dataclasses.asdict(judgement))


def _add(
    deck: dict[str, Pair], sample: Sample, one: tuple[Side, str], other: tuple[Side, str], generator: random.Random
) -> None:
    names = sorted(f"{side.trial_id}/{side.is_base}" for side, _ in (one, other))
    question = json.dumps([sample.prompt, sample.seed, *names, sorted((one[1], other[1]))])
    pair_id = hashlib.blake2b(question.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    left, right = (one, other) if generator.random() < 0.5 else (other, one)
    deck.setdefault(
        pair_id,
        Pair(
            pair_id=pair_id,
            prompt=sample.prompt,
            kind=sample.kind,
            seed=sample.seed,
            left=left[0],
            right=right[0],
            left_text=left[1],
            right_text=right[1],
        ),
    )


def _read(storage: Storage) -> tuple[list[Judgement], list[str]]:
    """The judgements of earlier runs, and a line for each that cannot be read."""
    found, unreadable = [], []
    for name in storage.list_files(LAYOUT.judgements):
        if not name.endswith(".jsonl"):
            continue
        for number, line in enumerate(storage.read_text(f"{LAYOUT.judgements}/{name}").splitlines(), 1):
            try:
                found.append(_from_json(json.loads(line)))
            except (ValueError, TypeError, KeyError):
                unreadable.append(f"{LAYOUT.judgements}/{name}:{number}: not a judgement of this program; left out.")
    return found, unreadable


def _from_json(document: dict[str, Any]) -> Judgement:
    fields: dict[str, Any] = document | {side: Side(**document[side]) for side in ("left", "right")}
    judgement = Judgement(**fields)
    if judgement.choice not in get_args(Choice) or not isinstance(judgement.at, str):
        raise ValueError(judgement.choice)
    return judgement
