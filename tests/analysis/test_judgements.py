"""Which pairs are shown, what is kept of a choice, and how agreement is counted."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import pytest

from analysis.judging.agreement import Share, agreement, agreement_lines
from analysis.judging.judgements import Choice, Judgement, JudgementStore, Pair, Side, make_deck
from analysis.sweep_table.load import RecordsError
from tests.support.record_factory import make_record
from trainables.records.record import QualityReport, Sample, TrialRecord
from trainables.records.storage import open_storage

KINDS = {"hope": "seen", "solitude": "unseen", "virus": "off_domain"}


def samples(words: str, seeds: int = 2) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            prompt=f"{word}:",
            kind=kind,  # pyright: ignore[reportArgumentType]
            seed=seed,
            text=f"{words} {word} {seed}",
            base_text=f"base {word} {seed}",
            ended=True,
        )
        for word, kind in KINDS.items()
        for seed in range(seeds)
    )


def records(*qualities: float) -> list[TrialRecord]:
    return [make_record(n, quality=quality, samples=samples(f"trial {n}")) for n, quality in enumerate(qualities)]


def judged(choice: Choice, left: str, right: str, kind: str = "seen", pair_id: str = "a") -> Judgement:
    """Sides are trial numbers, or 'base' for the base model of trial 0."""
    sides = [Side(trial_id=f"{0 if s == 'base' else int(s):04d}-c0ffee", is_base=s == "base") for s in (left, right)]
    return Judgement(
        pair_id=pair_id, prompt="x:", kind=kind, seed=0, left=sides[0], right=sides[1], choice=choice, at="2026"
    )


def test_deck_has_both_kinds_of_pairs_and_every_pair_is_of_one_prompt_and_seed() -> None:
    deck = make_deck(records(0.2, 0.8), "a", size=10)
    assert len(deck) == 10
    assert len({pair.pair_id for pair in deck}) == 10
    against_base = [pair for pair in deck if pair.left.is_base or pair.right.is_base]
    assert len(against_base) == 5
    for pair in deck:
        words = {" ".join(text.split()[-2:]) for text in (pair.left_text, pair.right_text)}
        assert words == {f"{pair.prompt[:-1]} {pair.seed}"}
        assert pair.left != pair.right


def test_texts_lie_on_the_side_that_says_whose_they_are() -> None:
    for pair in make_deck(records(0.2, 0.8), "a", size=18):
        for side, text in ((pair.left, pair.left_text), (pair.right, pair.right_text)):
            assert text.startswith("base" if side.is_base else f"trial {int(side.trial_id.split('-')[0])} ")


def test_better_trial_is_not_always_on_one_side() -> None:
    sides = {pair.left.is_base for pair in make_deck(records(0.5), "a", pairs="base")}
    assert sides == {True, False}


def test_same_sweep_and_seed_give_the_same_deck() -> None:
    assert make_deck(records(0.2, 0.8), "a", size=8) == make_deck(records(0.2, 0.8), "a", size=8)
    assert make_deck(records(0.2, 0.8), "a", size=8) != make_deck(records(0.2, 0.8), "b", size=8)


def test_equal_texts_are_no_pair() -> None:
    same = tuple(dataclasses.replace(sample, base_text=f" {sample.text} ") for sample in samples("same"))
    twins = [make_record(0, samples=same), make_record(1, samples=same)]
    assert make_deck(twins, "a") == []


def test_one_sample_is_one_pair_and_no_samples_are_none() -> None:
    assert len(make_deck([make_record(0, samples=samples("one")[:1])], "a")) == 1
    assert make_deck([make_record(0, samples=())], "a") == []
    assert make_deck([], "a") == []


def test_only_the_asked_kind_of_pairs() -> None:
    base = make_deck(records(0.2, 0.8), "a", pairs="base", size=6)
    trials = make_deck(records(0.2, 0.8), "a", pairs="trials", size=6)
    assert all(pair.left.is_base != pair.right.is_base for pair in base)
    assert all({pair.left.trial_id, pair.right.trial_id} == {"0000-c0ffee", "0001-c0ffee"} for pair in trials)
    assert not any(pair.left.is_base or pair.right.is_base for pair in trials)


def test_hundred_thousand_samples_make_a_deck_in_seconds() -> None:
    many = [make_record(n, samples=samples(f"trial {n}", seeds=8_400)) for n in range(4)]
    started = time.process_time()
    assert len(make_deck(many, "a")) == 200
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    # Newcombe 1998, table 1, method 3 (Wilson's score interval).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_interval_is_wilsons(count: int, of: int, low: float, high: float) -> None:
    assert Share(count=count, of=of).interval == pytest.approx((low, high), abs=5e-5)


def test_nothing_judged_has_no_share() -> None:
    assert (Share(count=0, of=0).share, Share(count=0, of=0).interval) == (None, None)
    assert agreement_lines(agreement([], []))[0] == "0 pairs judged, 0 of them ties."


def test_number_agrees_when_the_higher_trial_is_preferred() -> None:
    made = records(0.2, 0.8)
    found = agreement([judged("right", "0", "1"), judged("left", "1", "0"), judged("left", "0", "1")], made)
    assert (found.trials.count, found.trials.of) == (2, 3)
    assert (found.judged, found.ties, found.overall.of) == (3, 0, 3)


def test_tuned_over_base_counts_on_quotation_prompts_and_base_over_tuned_on_scientific_ones() -> None:
    found = agreement(
        [
            judged("left", "0", "base", "seen"),
            judged("left", "base", "0", "unseen"),
            judged("right", "0", "base", "off_domain"),
        ],
        records(0.2),
    )
    assert (found.tuned.count, found.tuned.of) == (1, 2)
    assert (found.far.count, found.far.of) == (1, 1)
    assert (found.overall.count, found.overall.of) == (1, 2)  # the number claims nothing of one scientific pair


def test_ties_and_equal_numbers_are_counted_in_no_share() -> None:
    found = agreement([judged("tie", "0", "1"), judged("left", "0", "1"), judged("left", "0", "7")], records(0.5, 0.5))
    assert (found.judged, found.ties, found.overall.of) == (3, 1, 0)


def test_lines_tell_share_and_interval() -> None:
    found = agreement([judged("right", "0", "1", pair_id=str(n)) for n in range(10)], records(0.2, 0.8))
    # Wilson, 10 of 10: the lower bound is 10 / (10 + 1.96^2) = 0.7225.
    assert "10 of 10 pairs (100%; 95% interval 72% to 100%)" in agreement_lines(found)[1]


def first_pair(made: list[TrialRecord]) -> Pair:
    return make_deck(made, "a")[0]


def test_judgements_survive_a_restart_and_the_last_word_on_a_pair_counts(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    pair = first_pair(records(0.2, 0.8))
    first = JudgementStore(storage)
    first.add(pair, "left")
    again = JudgementStore(storage)
    assert again.latest[pair.pair_id].choice == "left"
    again.add(pair, "tie")
    last = JudgementStore(storage)
    assert last.latest[pair.pair_id].choice == "tie"
    assert len(last.earlier) == 2
    assert (last.latest[pair.pair_id].left, last.latest[pair.pair_id].right) == (pair.left, pair.right)


def test_two_judges_at_once_do_not_overwrite_one_another(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    one, other = JudgementStore(storage), JudgementStore(storage)
    for pair in make_deck(records(0.2, 0.8), "a", size=6):
        (one if pair.left.is_base else other).add(pair, "right")
    assert len(JudgementStore(storage).latest) == 6


@pytest.mark.parametrize("line", ["not JSON", "{}", "[]", '{"choice": "left"}', ""])
def test_line_that_is_no_judgement_is_left_out_and_told(line: str, tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    JudgementStore(storage).add(first_pair(records(0.2, 0.8)), "left")
    (file,) = (tmp_path / "judgements").iterdir()
    whole = json.loads(file.read_text())
    other = json.dumps(whole | {"choice": "beauty"})
    file.write_text(f"{file.read_text()}{line}\n{other}\n")
    store = JudgementStore(storage)
    assert len(store.earlier) == 1
    assert [told.split(":")[1] for told in store.unreadable] == ["2", "3"]


def with_quality(record: TrialRecord, quality: QualityReport) -> TrialRecord:
    assert record.report is not None
    return dataclasses.replace(record, report=dataclasses.replace(record.report, quality=quality))


def test_each_part_of_the_number_is_held_against_the_person_too() -> None:
    one, two = records(0.2, 0.8)
    assert one.report is not None
    assert one.report.quality is not None
    better_novelty = dataclasses.replace(one.report.quality, novelty=0.9, spill_over=0.1, fluency=0.5)
    worse_novelty = dataclasses.replace(one.report.quality, novelty=0.3, spill_over=0.6, fluency=0.5)
    marked = [with_quality(one, better_novelty), with_quality(two, worse_novelty)]
    found = agreement([judged("left", "0", "1", pair_id=name) for name in "abc"] + [judged("right", "0", "1")], marked)
    assert found.parts["novelty"] == Share(count=3, of=4)
    assert found.parts["spill_over"] == Share(count=3, of=4)
    assert found.parts["fluency"] == Share(count=0, of=0)
    assert "novelty 3 of 4, spill over 3 of 4 pairs" in agreement_lines(found)[5]


def test_another_persons_judgements_are_taken_once_and_leave_ones_own_deck_alone(tmp_path: Path) -> None:
    trials = records(0.2, 0.8)
    ids = [record.trial_id for record in trials]
    deck = make_deck(trials, "a", pairs="trials", size=4)
    theirs, ours = (JudgementStore(open_storage(str(tmp_path / name))) for name in ("theirs", "ours"))
    for pair in deck[:3]:
        theirs.add(pair, "left")
    ours.add(deck[0], "left")
    ours.add(deck[1], "right")
    for _ in range(2):
        assert ours.take(theirs.export(), "theirs.jsonl", ids) == 3
    assert set(ours.latest) == {pair.pair_id for pair in deck[:2]}
    assert len(ours.of_everybody) == 5
    found = agreement(ours.of_everybody.values(), trials)
    assert found.people == Share(count=1, of=2)
    assert "Two people who judged one pair said the same on 1 of 2 pairs" in agreement_lines(found)[-1]
    again = JudgementStore(open_storage(str(tmp_path / "ours")))
    assert len(again.of_everybody) == 5
    assert again.export() == ours.export()
    assert len(again.export().splitlines()) == 2


def test_what_is_no_export_of_this_sweep_is_refused_by_its_line(tmp_path: Path) -> None:
    store, trials = JudgementStore(open_storage(str(tmp_path))), records(0.2, 0.8)
    ids = [record.trial_id for record in trials]
    store.add(make_deck(trials, "a", pairs="trials", size=1)[0], "tie")
    for text, told in (
        ("", "it.jsonl: no judgement in it"),
        (store.export() + "nonsense\n", "it.jsonl:2: not a judgement"),
        ('{"choice": "left"}\n', "it.jsonl:1: not a judgement"),
    ):
        with pytest.raises(RecordsError, match=told):
            store.take(text, "it.jsonl", ids)
    with pytest.raises(RecordsError, match=r"it\.jsonl:1: judges a trial that this sweep does not have"):
        store.take(store.export(), "it.jsonl", ids[:1])
