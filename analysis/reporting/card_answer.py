"""What to use on which card: the best finished trial that each card has room for, as far as it was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from analysis.reporting.html_parts import joined, part, plain_table
from analysis.sweep_table.front import contender_of, decide
from analysis.sweep_table.load import Sweep
from analysis.sweep_table.table import MISSING, TrialRow, cell_text, rate_text, trial_row
from trainables.memory.cards import Card, listed_cards
from trainables.records.byte_sizes import memory_text
from trainables.records.record import MemoryPrediction, Outcome, TrialRecord


@dataclass(frozen=True, kw_only=True)
class CardAnswer:
    """Cards that share an answer, the smallest first, and the trial to use on them; None where none fits."""

    cards: tuple[Card, ...]
    best: TrialRecord | None


def answers_by_card(sweep: Sweep) -> list[CardAnswer]:
    """The best finished trial that fits each card of `trainables.memory.cards`, cards with one answer together.

    Empty where no trial that could be best has a prediction for a card.
    """
    candidates = [(record, needed_bytes(record), contender_of(record, sweep.facts.aims)) for record in sweep.records]
    known = [(record, size, one) for record, size, one in candidates if size is not None and one is not None]
    by_id = {record.trial_id: record for record, _, _ in known}
    answers: list[CardAnswer] = []
    for card in _by_size():
        best_id = decide(one for _, size, one in known if card.holds(size)).best
        best = None if best_id is None else by_id[best_id]
        if answers and answers[-1].best is best:
            answers[-1] = CardAnswer(cards=(*answers[-1].cards, card), best=best)
        else:
            answers.append(CardAnswer(cards=(card,), best=best))
    return answers if known else []


def _by_size() -> list[Card]:
    return sorted(listed_cards(), key=lambda card: card.capacity_bytes or 0)


def needed_bytes(record: TrialRecord) -> int | None:
    """Device bytes that a card must have: the upper end of what was predicted; None without a prediction for a card."""
    prediction = card_prediction(record)
    return None if prediction is None else prediction.high_bytes or prediction.device_bytes


def card_prediction(record: TrialRecord) -> MemoryPrediction | None:
    """The record's prediction for a CUDA card: beside the CPU's own, or the one for the GPU that trained."""
    for prediction in (record.card_prediction, record.prediction):
        if prediction is not None and prediction.gpu is not None:
            return prediction
    return None


def cards_table(sweep: Sweep) -> Markup:
    """The answers as a table; empty where no finished trial has a prediction for a card."""
    records, answers = sweep.records, answers_by_card(sweep)
    if not answers:
        return Markup("")
    predicted_for = sorted({prediction.gpu or "" for r in records if (prediction := card_prediction(r))})
    heads = [
        "Card",
        "Memory",
        "Use trial",
        "Model",
        "Batch",
        "Micro-batch",
        "Learning rate",
        "Quality",
        "Predicted need",
    ]
    caption = (
        f"The best finished trial for each card. The need is predicted (for {', '.join(predicted_for)}, upper end), not"
        " measured; other cards differ by some tens of MiB."
    )
    rows, words = [_cells(answer) for answer in answers], ("Memory", "Model")
    return joined(plain_table(heads, rows, caption, "cards", words), _never_run(records))


def _cells(answer: CardAnswer) -> list[str]:
    names = ", ".join(str(card.name) for card in answer.cards)
    sizes = [memory_text(card.capacity_bytes or 0) for card in answer.cards]
    memory = sizes[0] if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    if answer.best is None:
        return [names, memory, "none fits", *[MISSING] * 6]
    row: TrialRow = trial_row(answer.best)
    return [
        names,
        memory,
        str(row.number),
        row.model,
        str(row.batch_size),
        str(row.micro_batch_size),
        rate_text(row.learning_rate),
        cell_text(row.sample_quality, "decimal"),
        memory_text(needed_bytes(answer.best) or 0),
    ]


def _never_run(records: Sequence[TrialRecord]) -> Markup:
    """Says that what had no room here may have it elsewhere: unfit trials have no quality, so no answer above."""
    unfit = [record for record in records if record.outcome is Outcome.PREDICTED_NOT_TO_FIT and needed_bytes(record)]
    if not unfit:
        return Markup("")
    largest = max(needed_bytes(record) or 0 for record in unfit)
    roomy = [card for card in _by_size() if card.holds(largest)]
    where = f"; from a {roomy[0].name} up all of them are predicted to fit" if roomy else ""
    count = f"{len(unfit)} trial was" if len(unfit) == 1 else f"{len(unfit)} trials were"
    return part("paragraph", f"{count} predicted not to fit where this ran, so never judged{where}.", "muted")
