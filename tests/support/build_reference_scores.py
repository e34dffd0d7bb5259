"""Write tests/support/reference_scores.jsonl: what SmolLM2-135M says of texts of known worth and of what models wrote.

    python tests/support/build_reference_scores.py [SWEEP]

Held-out human lines, the same spliced, under one another's keywords and shuffled; and of a sweep of SmolLM2 the wanted
samples of each trial and of the untuned model. About four minutes of one core. The tests of measure 4 read this file,
so that they need no model.
"""

from __future__ import annotations

import dataclasses
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from data.quotes import load_quotes
from data.splits import remove_duplicates, split_quotes
from trainables.quality.reference import Pair, ReferenceScore, load_reference
from trainables.quality.sense import spliced, under_other_keywords

HERE = Path(__file__).resolve().parent
MODEL = "smollm2-135m"


def shuffled(text: str, chance: random.Random) -> str:
    """The words in another order, still with a capital first and its own punctuation last."""
    words = text.rstrip(".?!").lower().split()
    mixed = " ".join(chance.sample(words, len(words)))
    return mixed[:1].upper() + mixed[1:] + text[-1]


def text_sets(sweep: str | None) -> Iterator[tuple[str, list[Pair]]]:
    """Names, and keywords with texts."""
    human = [(q.keyword, q.text) for q in split_quotes(remove_duplicates(load_quotes("shipped"))).validation]
    chance = random.Random(0)
    yield "human", human
    yield "spliced", spliced(human)
    yield "other keywords", under_other_keywords(human)
    yield "shuffled", [(keyword, shuffled(text, chance)) for keyword, text in human]
    for place, path in enumerate(sorted(Path(sweep).glob("trials/*/record.json")) if sweep else []):
        samples = [s for s in json.loads(path.read_text())["report"]["samples"] if s["kind"] != "off_domain"]
        if not place:
            yield "untuned", [(s["prompt"].removesuffix(":"), s["base_text"]) for s in samples]
        yield f"trial {place}", [(s["prompt"].removesuffix(":"), s["text"]) for s in samples]


def main() -> None:
    """Score each set that the file has not, and add it there: what was scored is never scored again."""
    path = HERE / "reference_scores.jsonl"
    found = (
        {json.loads(line)["set"] for line in path.read_text(encoding="utf-8").splitlines()} if path.is_file() else set()
    )
    model = load_reference(MODEL)
    for name, pairs in text_sets(sys.argv[1] if len(sys.argv) > 1 else None):
        if name in found:
            continue
        keywords = {quote.keyword for quote in load_quotes("shipped")}
        scores = model.scores(pairs, keywords)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(_row(name, *pair, score) for pair, score in zip(pairs, scores, strict=True))
        print(f"{name}: {len(pairs)} texts", flush=True)


def _row(name: str, keyword: str, text: str, score: ReferenceScore | None) -> str:
    values = [round(value, 4) for value in dataclasses.astuple(score)] if score else None
    return json.dumps({"set": name, "keyword": keyword, "text": text, "score": values}) + "\n"


if __name__ == "__main__":
    main()
