"""Sample quality on texts whose worth is known: human lines, spoiled human lines, and what nano models wrote."""

from __future__ import annotations

import functools
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.domain import without_head
from data.prompts import PROMPTS
from data.quotes import load_quotes, load_science
from data.splits import is_validation, remove_duplicates, split_quotes
from trainables.quality.judge import QualityJudge, fit_judge
from trainables.quality.reference import ReferenceScore
from trainables.quality.score import (
    BATCHES,
    Parts,
    ReferenceScores,
    ScoredText,
    TextScores,
    retention,
    sample_quality,
    spill_over,
)
from trainables.quality.sense import ReferenceThresholds, thresholds_of

pytestmark = pytest.mark.slow

SUPPORT = Path(__file__).resolve().parents[2] / "support"
NANO_SAMPLES = SUPPORT / "nano_samples"
SEEDS = (0, 1, 2)
TUNED = "tuned-with-replay"
WANTED = [prompt.kind for prompt in PROMPTS if prompt.kind != "off_domain"]
LINES = 128  # eight for each of the sixteen prompts; the held-out quotes, halved, give no more
BAD = (
    *("copied training lines", "one repeated token", "one quote repeated", "ten lines cycled", "science", "empty"),
    *("half copied", "near copies", "chain of word pairs", "chain of word triples", "words in reverse"),
    *("every fourth word changed", "every third word put in", "spans of training lines", "halves of training lines"),
    *("signs that do not show", "capitals", "between dashes"),
)


@functools.cache
def corpora() -> tuple[list[str], list[str], list[str], list[str]]:
    """Training quotes, held-out quotes, base text and held-out base text."""
    split, science = split_quotes(remove_duplicates(load_quotes("shipped"))), load_science()
    return (
        [quote.text for quote in split.train],
        [quote.text for quote in split.validation],
        without_head([line for line in science if not is_validation(line)]),
        without_head([line for line in science if is_validation(line)]),
    )


@functools.cache
def judge_and_control(seed: int, *, swapped: bool = False) -> tuple[QualityJudge, list[str], list[str]]:
    """A judge whose thresholds come from one half of the held-out quotes; the other half, and held-out science."""
    train, held_out, base, science = corpora()
    chance = random.Random(seed)
    held_out, science = chance.sample(held_out, len(held_out)), chance.sample(science, len(science))
    half = len(held_out) // 2
    of_judge, control = held_out[:half], held_out[half:]
    if swapped:
        of_judge, control = control, of_judge
    return fit_judge(train, of_judge, base), control[:LINES], science


def quality_of(
    judge: QualityJudge,
    texts: list[ScoredText],
    base_style: float = 0.0,
    kept: float = 1.0,
    reference: ReferenceScores | None = None,
) -> tuple[float, Parts, Callable[[], float | None]]:
    """The quality, its parts, and a call for its standard error, which takes ten times as long."""
    scores = TextScores(texts, judge, reference=reference)

    def quality(parts: Parts) -> float:
        return sample_quality(parts, spill_over(parts.style_off_domain or 0.0, base_style), kept)

    return quality(scores.parts()), scores.parts(), lambda: scores.standard_error(quality)


def as_samples(wanted: list[str], off_domain: list[str]) -> list[ScoredText]:
    """Texts dealt out to the prompts in turn."""
    prompts = len(WANTED)
    texts = [ScoredText(text=text, kind=WANTED[i % prompts], batch=i // prompts) for i, text in enumerate(wanted)]
    return texts + [ScoredText(text=text, kind="off_domain", batch=i // 8) for i, text in enumerate(off_domain)]


def shuffled(text: str, chance: random.Random) -> str:
    """The words of `text` in another order, still with a capital first and its own punctuation last."""
    words = text.rstrip(".?!").lower().split()
    mixed = " ".join(chance.sample(words, len(words)))
    return mixed[:1].upper() + mixed[1:] + text[-1]


def with_words_changed(text: str, every: int, chance: random.Random, kept: int = 0) -> str:
    """A training line in which every so many words one from another training line stands, or is put before one."""
    words = text.split()
    for place in range(every - 1, len(words) + (len(words) // every) * kept, every + kept):
        words[place : place + 1 - kept] = [chance.choice(chance.choice(corpora()[0]).split())]
    return " ".join(words)


def spliced(lines: list[str], spans: int, chance: random.Random) -> str:
    """Three or four words from here and there in `lines`, `spans` times."""
    words = []
    while len(words) < 3 * spans:
        line, count = chance.choice(lines).split(), chance.randint(3, 4)
        start = chance.randrange(max(1, len(line) - count))
        words += line[start : start + count]
    return f"{' '.join(words)[:1].upper()}{' '.join(words)[1:].rstrip(',;:.')}."


def halves(one: str, other: str) -> str:
    first, second = one.split(), other.split()
    return " ".join(first[: len(first) // 2] + second[len(second) // 2 :])


@functools.cache
def followers(order: int) -> dict[tuple[str, ...], list[str]]:
    """What follows each run of `order` words in the training quotes; an empty word marks both ends."""
    found: dict[tuple[str, ...], list[str]] = {}
    for text in corpora()[0]:
        words = [""] * order + text.split() + [""]
        for place in range(order, len(words)):
            found.setdefault(tuple(words[place - order : place]), []).append(words[place])
    return found


def chain(order: int, chance: random.Random) -> list[str]:
    """Lines of a Markov chain fitted on the training quotes: every run of `order` + 1 words is theirs."""
    lines = []
    for _ in range(LINES):
        words = [""] * order
        while len(words) < order + 40 and (word := chance.choice(followers(order)[tuple(words[-order:])])):
            words.append(word)
        lines.append(" ".join(words[order:]))
    return lines


def spoiled(name: str, human: list[str], science: list[str], seed: int) -> list[str]:
    chance = random.Random(seed)
    copied = chance.sample(corpora()[0], LINES)
    return {
        "shuffled words": [shuffled(text, chance) for text in human],
        "copied training lines": copied,
        "one repeated token": ["love " * 12] * LINES,
        "one quote repeated": [human[seed]] * LINES,
        "ten lines cycled": [human[index % 10] for index in range(LINES)],
        "science": science[64 : 64 + LINES],
        "empty": [""] * LINES,
        "half copied": human[: LINES // 2] + copied[: LINES // 2],
        "near copies": [with_words_changed(text, 6, chance) for text in copied],
        "chain of word pairs": chain(1, chance),
        "chain of word triples": chain(2, chance),
        "every fourth word changed": [with_words_changed(text, 4, chance) for text in copied],
        "every third word put in": [with_words_changed(text, 3, chance, kept=1) for text in copied],
        "spans of training lines": [spliced(corpora()[0], 5, chance) for _ in copied],
        "halves of training lines": list(map(halves, copied, copied[1:] + copied[:1])),
        "signs that do not show": ["\u200b".join(text) for text in copied],
        "capitals": [text.upper() for text in human],
        "between dashes": [text.replace(" ", " -- ") for text in human],
        "words in reverse": [" ".join(reversed(text.split())) for text in human],
    }[name]


def spoiled_quality(name: str, seed: int) -> float:
    judge, human, science = judge_and_control(seed)
    return quality_of(judge, as_samples(spoiled(name, human, science, seed), science[:64]))[0]


@functools.cache
def human_quality(seed: int) -> float:
    """The mean of both ways round: 150 lines by many hands, against another 150, are 0.05 of their mean apart."""
    both = (judge_and_control(seed), judge_and_control(seed, swapped=True))
    return sum(quality_of(judge, as_samples(human, science[:64]))[0] for judge, human, science in both) / 2


@functools.cache
def nano(name: str, seed: int) -> tuple[dict[str, Any], list[ScoredText]]:
    """Losses and samples of a nano model, as tests/support/build_nano_samples.py wrote them."""
    facts, *rows = map(json.loads, (NANO_SAMPLES / f"{name}-{seed}.jsonl").read_text().splitlines())
    texts = [
        ScoredText(text=row["text"], kind=row["kind"], ended=row["ended"], batch=index % 20 % BATCHES)
        for index, row in enumerate(rows)
    ]
    return facts, texts


@functools.cache
def nano_quality(name: str, seed: int) -> tuple[float, Parts, Callable[[], float | None]]:
    judge = judge_and_control(seed)[0]
    untuned, untuned_texts = nano("untuned", seed)
    base_style = TextScores(untuned_texts, judge).styles()["off_domain"]
    before, after = untuned["science_perplexity"], nano(name, seed)[0]["science_perplexity"]
    kept = retention(before, after, math.log(before), math.log(after))
    return quality_of(judge, nano(name, seed)[1], base_style or 0.0, kept)


@functools.cache
def read_by_smollm2(name: str) -> tuple[list[str], list[ReferenceScore | None]]:
    """Texts and what SmolLM2-135M says of them, as tests/support/build_reference_scores.py wrote it."""
    rows = map(json.loads, (SUPPORT / "reference_scores.jsonl").read_text(encoding="utf-8").splitlines())
    rows = [(row["text"], row["score"]) for row in rows if row["set"] == name]
    scores = [
        values and ReferenceScore(nats_per_token=values[0], seam_gain=values[1], keyword_wins=values[2])
        for _, values in rows
    ]
    return [text for text, _ in rows], scores


def places_of(lines: list[str]) -> list[int]:
    """Where human lines stand in what SmolLM2 read; their spoiled forms stand there in the other sets."""
    place = {text: number for number, text in enumerate(read_by_smollm2("human")[0])}
    return [place[line] for line in lines]


@functools.cache
def reference_thresholds(seed: int, *, swapped: bool = False) -> ReferenceThresholds:
    """From the half of the held-out lines that the n-gram judge's thresholds come from."""
    places = places_of(judge_and_control(seed, swapped=not swapped)[1])
    human, seams = ([read_by_smollm2(name)[1][place] for place in places] for name in ("human", "spliced"))
    return thresholds_of(human, seams)


@functools.cache
def measure_4(name: str, seed: int) -> tuple[float, float]:
    """Whole quality of human lines or of a spoiled form of them, and the reference's factor: means of both ways."""
    found = []
    for swapped in (False, True):
        judge, human, science = judge_and_control(seed, swapped=swapped)
        texts, scores = read_by_smollm2(name)
        places = places_of(human)
        read = [scores[place] for place in places] + [None] * 64
        limits = reference_thresholds(seed, swapped=swapped)
        reference = ReferenceScores(language_model="smollm2-135m", scores=read, thresholds=limits)
        samples = as_samples([texts[place] for place in places], science[:64])
        quality, parts, _ = quality_of(judge, samples, reference=reference)
        assert parts.reference is not None
        found.append((quality, parts.reference.factor))
    quality, factor = (sum(values) / len(found) for values in zip(*found, strict=True))
    return quality, factor


@pytest.mark.parametrize("seed", SEEDS)
def test_with_a_language_model_human_lines_score_nine_tenths_and_spliced_halves_three_at_most(seed: int) -> None:
    assert measure_4("human", seed)[0] >= 0.9
    assert measure_4("spliced", seed)[0] <= 0.3
    assert measure_4("shuffled", seed)[0] <= 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_with_a_language_model_lines_under_other_keywords_score_seven_tenths_of_the_right_ones_at_most(
    seed: int,
) -> None:
    assert measure_4("other keywords", seed)[0] <= 0.7 * measure_4("human", seed)[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_held_out_human_lines_score_at_least_nine_tenths(seed: int) -> None:
    assert human_quality(seed) >= 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_shuffled_words_score_at_most_a_tenth_for_their_order_alone(seed: int) -> None:
    assert spoiled_quality("shuffled words", seed) <= 0.1
    judge, human, science = judge_and_control(seed)
    parts = quality_of(judge, as_samples(spoiled("shuffled words", human, science, seed), []))[1]
    assert min(parts.adherence, parts.diversity, parts.novelty) > 0.9
    assert parts.word_order < 0.1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", BAD)
def test_a_known_bad_text_scores_next_to_nothing(name: str, seed: int) -> None:
    assert spoiled_quality(name, seed) <= 0.05


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["untuned", "hot"])
def test_an_untuned_model_and_a_hot_one_score_next_to_nothing(name: str, seed: int) -> None:
    assert nano_quality(name, seed)[0] <= 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tuned_model_lies_between_and_above_a_hardly_tuned_one(seed: int) -> None:
    tuned, _, standard_error = nano_quality(TUNED, seed)
    hardly, error = nano_quality("hardly-tuned", seed)[0], standard_error()
    assert error is not None
    assert 0.1 < tuned < human_quality(seed)
    assert hardly < tuned - 3 * error


@pytest.mark.parametrize("seed", SEEDS)
def test_without_replay_the_style_spills_over_and_the_science_is_lost(seed: int) -> None:
    untuned, without, replayed = (nano_quality(n, seed)[1] for n in ("untuned", "tuned-without-replay", TUNED))
    assert (untuned.style_off_domain or 0.0) < 0.05
    assert (without.style_seen or 0.0) > 0.9
    assert (without.style_off_domain or 0.0) > 0.9
    assert (replayed.style_off_domain or 1.0) < 0.3
    science = [nano(name, seed)[0]["science_perplexity"] for name in ("untuned", TUNED, "tuned-without-replay")]
    assert science[1] < 1.5 * science[0] < 5 * science[0] < science[2]
    assert nano_quality("tuned-without-replay", seed)[0] < nano_quality(TUNED, seed)[0] / 2


@pytest.mark.parametrize("seed", SEEDS)
def test_the_standard_error_of_480_samples_is_at_most_two_hundredths(seed: int) -> None:
    for name in ("untuned", "hardly-tuned", "tuned-without-replay", TUNED):
        error = nano_quality(name, seed)[2]()
        assert error is not None
        assert error <= 0.02
        assert len(nano(name, seed)[1]) == 480


def test_the_same_samples_score_the_same_to_the_last_bit_after_a_round_trip() -> None:
    judge = judge_and_control(0)[0]
    again = QualityJudge.from_json(judge.to_json())
    assert again.version == judge.version
    texts = nano(TUNED, 0)[1]
    assert quality_of(again, texts)[:2] == quality_of(judge, texts)[:2]


def test_every_part_lies_between_nought_and_one() -> None:
    for name in ("untuned", "hardly-tuned", "tuned-without-replay", TUNED, "hot"):
        quality, parts, _ = nano_quality(name, 0)
        for value in (quality, *vars(parts).values()):
            assert value is None or 0 <= value <= 1
