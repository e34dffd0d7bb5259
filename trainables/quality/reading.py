"""A trial's texts, read by a frozen language model: loaded for that alone, so that a device is as clean afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from data.quotes import Quote
from trainables.quality.reference import load_reference
from trainables.quality.score import ReferenceScores, ScoredText
from trainables.quality.sense import fitted_reference


def read_texts(language_model: str, held_out: Sequence[Quote], texts: Sequence[ScoredText]) -> ReferenceScores:
    """What the language model of this name says of the wanted texts, against what it says of held-out human quotes.

    The off-domain ones are not read: what a quotation should be says nothing of them.
    Raises: trainables.model.models.ModelError for a name that is none.
    """
    model = load_reference(language_model)
    thresholds = fitted_reference(model, [(quote.keyword, quote.text) for quote in held_out])
    wanted = [place for place, text in enumerate(texts) if text.kind != "off_domain"]
    keywords = {quote.keyword for quote in held_out}
    read = model.scores([(texts[place].keyword, texts[place].text) for place in wanted], keywords)
    of_place = dict(zip(wanted, read, strict=True))
    scores = [of_place.get(place) for place in range(len(texts))]
    return ReferenceScores(language_model=language_model, scores=scores, thresholds=thresholds)
