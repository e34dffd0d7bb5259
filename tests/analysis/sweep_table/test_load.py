"""A sweep is read whole, and what cannot be read is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyarrow import fs as arrow_fs

from analysis.sweep_table import load
from analysis.sweep_table.load import RecordsError, load_sweep
from tests.support.record_factory import default_facts, make_record, write_sweep
from trainables.records.storage import Storage


def test_records_come_back_equal_and_sorted_by_number(tmp_path: Path) -> None:
    made = [make_record(number) for number in (10, 2, 0)]
    sweep = load_sweep(write_sweep(tmp_path / "one", made))
    assert sweep.records == (made[2], made[1], made[0])
    assert sweep.facts == default_facts(trials=3)
    assert sweep.unreadable == ()


def test_samples_are_those_of_the_record_that_was_read(tmp_path: Path) -> None:
    made = make_record()
    (record,) = load_sweep(write_sweep(tmp_path / "one", [made])).records
    (tmp_path / "one" / "trials" / record.trial_id / "record.json").unlink()
    assert record.report is not None
    assert made.report is not None
    assert record.report.samples == made.report.samples


def test_of_many_records_the_samples_stay_in_storage_until_they_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "KEPT_BYTES", 0)
    made = make_record()
    read, lost = load_sweep(write_sweep(tmp_path / "one", [made, make_record(1)])).records
    assert read.report is not None
    assert made.report is not None
    assert lost.report is not None
    file = tmp_path / "one" / "trials" / read.trial_id / "record.json"
    file.write_text(file.read_text().replace("the lamp lit", "the door shut"))
    assert read.report.samples[0].text == "Hope is the thing that keeps the door shut."
    file.unlink()
    assert [s.base_text for s in read.report.samples] == [s.base_text for s in made.report.samples]
    (tmp_path / "one" / "trials" / lost.trial_id / "record.json").unlink()
    assert len(lost.report.samples) == 3  # hope, virus, phosphorylation
    with pytest.raises(RecordsError, match=r"record\.json: its samples cannot be read \(.*No such file"):
        list(lost.report.samples)


def test_a_relative_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep(tmp_path / "results" / "one", [make_record()])
    monkeypatch.chdir(tmp_path)
    assert len(load_sweep("results/one").records) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Expecting property name"),
        ("{}", "schema_version is None"),
        ('{"schema_version": 1, "colour": 3}', "unknown fields ['colour']"),
        ("[]", "schema_version is None"),
    ],
)
def test_a_broken_record_is_named_and_the_others_are_read(tmp_path: Path, text: str, words: str) -> None:
    uri = write_sweep(tmp_path / "one", [make_record(3)])
    broken = tmp_path / "one" / "trials" / "trial-bad"
    broken.mkdir()
    (broken / "record.json").write_text(text)
    sweep = load_sweep(uri)
    assert [record.number for record in sweep.records] == [3]
    assert len(sweep.unreadable) == 1
    assert sweep.unreadable[0].startswith("trials/trial-bad/record.json: ")
    assert words in sweep.unreadable[0]
    assert "\n" not in sweep.unreadable[0]


def test_a_record_that_is_not_text_is_named(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / "one", [])
    broken = tmp_path / "one" / "trials" / "trial-bad"
    broken.mkdir(parents=True)
    (broken / "record.json").write_bytes(b"\xff\xfe\x00")
    assert len(load_sweep(uri).unreadable) == 1


def test_a_trial_without_a_record_is_named(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / "one", [])
    (tmp_path / "one" / "trials" / "0007-c0ffee").mkdir(parents=True)
    assert load_sweep(uri).unreadable == (
        "trials/0007-c0ffee/record.json: not written; the trial is still running or was cut off.",
    )


def test_a_sweep_without_trials_is_empty(tmp_path: Path) -> None:
    sweep = load_sweep(write_sweep(tmp_path / "one", []))
    assert (sweep.records, sweep.unreadable) == ((), ())


def test_a_missing_place_names_the_sweeps_next_to_it(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_sweep(tmp_path / name, [])
    (tmp_path / "notes").mkdir()
    with pytest.raises(RecordsError, match=r"/c does not exist; sweeps next to it: a, b\.$"):
        load_sweep(str(tmp_path / "c"))


def test_the_folder_above_names_the_sweeps_in_it(tmp_path: Path) -> None:
    write_sweep(tmp_path / "a", [])
    with pytest.raises(RecordsError, match=r"holds no sweep .* sweeps in it: a\.$"):
        load_sweep(str(tmp_path))


@pytest.mark.parametrize("place", ["nothing/here", "file.txt"])
def test_a_place_with_no_sweep_near_it_says_what_to_give(tmp_path: Path, place: str) -> None:
    (tmp_path / "file.txt").write_text("no sweep")
    with pytest.raises(RecordsError) as caught:
        load_sweep(str(tmp_path / place))
    assert "\n" not in str(caught.value)
    assert "results/<name>" in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '"sweep"'])
def test_broken_facts_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(RecordsError, match=r"sweep\.json") as caught:
        load_sweep(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_unknown_scheme_is_one_line() -> None:
    with pytest.raises(RecordsError) as caught:
        load_sweep("carrier-pigeon://coop/one")
    assert "\n" not in str(caught.value)


def test_object_storage_is_read_in_parallel_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder behind pyarrow's SubTreeFileSystem stands in for a bucket: it is not local, so threads are used."""
    made = [make_record(number) for number in range(40)]
    write_sweep(tmp_path / "one", made)
    bucket = arrow_fs.SubTreeFileSystem(str(tmp_path), arrow_fs.LocalFileSystem())
    monkeypatch.setattr(load, "open_storage", lambda uri: Storage(uri, bucket, "one"))
    assert load_sweep("s3://bucket/one").records == tuple(made)


def test_options_that_came_later_have_their_defaults(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / "old", [])
    document = json.loads((tmp_path / "old" / "sweep.json").read_text())
    for name in ("levers", "min_retention", "max_copied_share", "row_lengths"):
        del document["options"][name]
    (tmp_path / "old" / "sweep.json").write_text(json.dumps(document))
    assert load_sweep(uri).facts == default_facts(trials=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trials": "12"}, "sweep.options.trials is '12'; int was expected."),
        ({"colour": 1, "age": 2}, "sweep.options has unknown fields ['age', 'colour']."),
        ({"objectives": ["beauty"]}, "sweep.options.objectives has 'beauty'; known: sample_quality, peak_bytes,"),
    ],
)
def test_an_option_of_another_program_is_named_in_one_line(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    uri = write_sweep(tmp_path / "new", [])
    document = json.loads((tmp_path / "new" / "sweep.json").read_text())
    document["options"] |= changes
    (tmp_path / "new" / "sweep.json").write_text(json.dumps(document))
    with pytest.raises(RecordsError) as caught:
        load_sweep(uri)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
