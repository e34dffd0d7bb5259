"""What can be made without learning to write, and still scores?

Question: what `sample_quality` gives to texts that a lazy or a broken model could put out: training lines spoiled,
spliced or disguised, chains, templates, human lines out of order, and good text on some of the prompts alone.
Command: PYTHONPATH=tests python tests/benchmarks/quality_attacks.py [PATTERN]
Hardware: 2 cores of an Intel Xeon (virtual machine with other work), no GPU; 30 s of CPU time.
Result: docs/results/quality.md, "sample quality on texts of known worth".
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence

from tests.trainables.quality.test_known_cases import (
    LINES,
    SEEDS,
    WANTED,
    as_samples,
    corpora,
    followers,
    halves,
    judge_and_control,
    quality_of,
    shuffled,
    spliced,
    with_words_changed,
)

Texts = list[str]
LOOKALIKES = str.maketrans("aeocpi", "аеосрі")  # Cyrillic
FILLERS = ("of", "the", "and", "unto", "very", "my")
NOUNS = ("heart", "soul", "mind", "king", "servant", "fool", "friend", "light", "day", "night", "world", "child")
VERBS = ("is the light of", "shall keep", "knows the way of", "giveth strength to", "is better than", "maketh glad")


def deleted(text: str, every: int) -> str:
    """`text` without one word in `every`."""
    words = text.split()
    return " ".join(word for place, word in enumerate(words, 1) if place % every or place == len(words))


def in_groups(text: str, size: int, chance: random.Random) -> str:
    """The words of `text` in groups of `size`, and these in another order."""
    words = text.rstrip(".?!").lower().split()
    groups = [words[start : start + size] for start in range(0, len(words), size)]
    mixed = " ".join(word for group in chance.sample(groups, len(groups)) for word in group)
    return mixed[:1].upper() + mixed[1:] + text[-1]


def clauses_swapped(text: str) -> str:
    """`text` from its second clause on, then the first."""
    first, *others = [part.rstrip(",;:.!?") for part in re.split(r"(?<=[,;:]) ", text)]
    swapped = ", ".join([*others, first]).lower()
    return swapped[:1].upper() + swapped[1:] + text[-1]


def with_followers(text: str, every: int, chance: random.Random) -> str:
    """`text` with every so many words another that training has after the word before."""
    words = text.split()
    for place in range(every - 1, len(words), every):
        words[place] = chance.choice([w for w in followers(1).get((words[place - 1],), []) if w] or [words[place]])
    return " ".join(words)


def in_turn(one: str, other: str, size: int) -> str:
    """`size` words of one line, then the next of another, to the end of the shorter."""
    first, second = one.split(), other.split()
    shorter = min(len(first), len(second))
    words = [(first, second)[place // size % 2][place] for place in range(shorter - 1)]
    return " ".join([*words, second[shorter - 1]])


def forgetful_chain(lines: Sequence[str], order: int, forgets: float, chance: random.Random) -> str:
    """A line of a Markov chain that now and then forgets the oldest word of its context, and so makes new n-grams."""
    words = [""] * order
    while len(words) < order + 40:
        context = order
        while context and (chance.random() < forgets or tuple(words[-context:]) not in _table(lines, context)):
            context -= 1
        word = chance.choice(_table(lines, context)[tuple(words[len(words) - context :])])
        if not word and (len(words) > order + 4 or not forgets):
            break
        words += [word] if word else []
    return " ".join(words[order:])


_TABLES: dict[tuple[int, int], dict[tuple[str, ...], list[str]]] = {}


def _table(lines: Sequence[str], order: int) -> dict[tuple[str, ...], list[str]]:
    found = _TABLES.setdefault((id(lines), order), {})
    if not found:
        for line in lines:
            words = [""] * order + line.split() + [""]
            for place in range(order, len(words)):
                found.setdefault(tuple(words[place - order : place]), []).append(words[place])
    return found


def template(chance: random.Random) -> str:
    """One sentence of two clauses with its nouns and verbs drawn."""
    noun, verb = (lambda: chance.choice(NOUNS)), (lambda: chance.choice(VERBS))
    return f"{noun().title()} {verb()} the {noun()}, and the {noun()} {verb()} the {noun()}."


def attacks(
    train: Texts, human: Texts, science: Texts, base: Texts, chance: random.Random
) -> Iterator[tuple[str, Texts]]:
    """Each attack's name and texts. `train` are lines that were trained on, `human` and `science` held-out ones."""
    everything = corpora()[0]
    mixed = [*everything, *base[: len(everything)]]
    nexts = [*train[1:], train[0]]

    def each(make: Callable[[str], str], lines: Texts) -> Texts:
        return [make(line) for line in lines]

    for every in (2, 3, 4):
        name = f"training, one word in {every}"
        yield f"{name} another", [with_words_changed(text, every, chance) for text in train]
        yield f"{name} another that fits", [with_followers(text, every, chance) for text in train]
        yield f"{name} left out", [deleted(text, every) for text in train]
    yield "training, a word put in after three", each(lambda t: with_words_changed(t, 3, chance, kept=1), train)
    yield "training, clauses swapped", each(clauses_swapped, train)
    yield "training, halves of two lines", list(map(halves, train, nexts))
    yield "training, spans of three or four words", [spliced(everything, 5, chance) for _ in train]
    yield "training, two lines word by word", [in_turn(one, other, 1) for one, other in zip(train, nexts, strict=True)]
    yield "training, two lines three words in turn", [in_turn(o, t, 3) for o, t in zip(train, nexts, strict=True)]
    yield "training, first six words", each(lambda t: " ".join(t.split()[:6]).rstrip(",;:") + ".", train)
    yield "training, a sign that does not show in each word", each(lambda t: t.replace("e", "e\u200b"), train)
    yield (
        "training, lookalike letters in one word of six",
        each(lambda t: " ".join(w.translate(LOOKALIKES) if n % 6 == 3 else w for n, w in enumerate(t.split())), train),
    )
    for order, forgets in ((1, 0.15), (1, 0.3), (2, 0.15), (2, 0.3), (3, 0.3), (4, 0.3)):
        texts = [forgetful_chain(everything, order, forgets, chance) for _ in train]
        yield f"chain of {order}, forgets {forgets:.0%}", texts
    for order in (1, 2, 3):
        texts = [forgetful_chain(mixed, order, 0.0, chance) for _ in train]
        yield f"chain of {order} over quotes and base text", texts
    yield "one template", [template(chance) for _ in train]
    yield (
        "Bible openings, then six words of training",
        each(lambda t: f"And it came to pass that {' '.join(t.split()[:6]).rstrip(',;:')}.", train),
    )
    yield "human", human
    yield "human, halves of two lines", list(map(halves, human, [*human[1:], human[0]]))
    yield "human, clauses swapped", each(clauses_swapped, human)
    for size in (1, 2, 3, 4):
        yield f"human, groups of {size} in another order", [in_groups(text, size, chance) for text in human]
    yield "human, one word in 4 another", each(lambda t: with_words_changed(t, 4, chance), human)
    yield "human, one opening of eight words", [" ".join([*human[0].split()[:8], *t.split()[-6:]]) for t in human]
    yield "human, first four words", each(lambda t: " ".join(t.split()[:4]).rstrip(",;:") + ".", human)
    yield "human in capitals", each(str.upper, human)
    yield "human between dashes", each(lambda t: t.replace(" ", " -- "), human)
    yield "human after the prompt's echo", [f"hope: {text}" for text in human]
    yield "human and nothing in turn", [text if place % 2 else "" for place, text in enumerate(human)]
    seen = [kind == "seen" for _, kind in zip(human, WANTED * LINES, strict=False)]
    yield (
        "human on seen keywords, shuffled on others",
        [text if known else shuffled(text, chance) for text, known in zip(human, seen, strict=True)],
    )
    yield (
        "human on seen keywords, science on others",
        [text if known else other for text, other, known in zip(human, science[64:], seen, strict=False)],
    )


def main(arguments: Sequence[str]) -> None:
    """Print each attack's score for every seed, and the parts of the last."""
    for seed in SEEDS:
        judge, human, science = judge_and_control(seed)
        chance = random.Random(seed)
        train = chance.sample(corpora()[0], LINES)
        print(f"seed {seed}: quality, adherence, fluency, diversity, novelty")
        for name, texts in attacks(train, human, science, corpora()[2], chance):
            if not arguments or re.search(arguments[0], name):
                quality, parts, _ = quality_of(judge, as_samples(texts, science[:64]))
                shown = (parts.adherence, parts.fluency, parts.diversity, parts.novelty)
                print(f"{name:<52}{quality:.3f}   " + "  ".join(f"{part:.2f}" for part in shown), flush=True)
        print("human; off-domain: quotes", quality_of(judge, as_samples(human, train[:64]))[0])


if __name__ == "__main__":
    main(sys.argv[1:])
