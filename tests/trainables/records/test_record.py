import dataclasses
import json
import math
import types
import typing
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.record_factory import make_record
from trainables.records.documents import from_json, report_from_json, to_json
from trainables.records.record import Outcome, TrialRecord, WorkerReport
from trainables.records.settings import TrialSettings

PLAIN = {
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(max_size=20),
    bool: st.booleans(),
}


def anything_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a dataclass, or of the type of one of its fields."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is TrialSettings:
        return allowed_settings()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return st.builds(kind, **{name: anything_of(hint) for name, hint in typing.get_type_hints(kind).items()})
    if origin in (typing.Union, types.UnionType):
        return st.one_of([st.none() if a is type(None) else anything_of(a) for a in arguments])
    if origin in (tuple, Sequence):
        return st.lists(anything_of(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(anything_of(arguments[0]), anything_of(arguments[1]), max_size=2)
    if origin is Literal:
        return st.sampled_from(arguments)
    if issubclass(kind, StrEnum):
        return st.sampled_from(list(kind))
    return PLAIN[kind]


@st.composite
def allowed_settings(draw: st.DrawFn) -> TrialSettings:
    hints = typing.get_type_hints(TrialSettings)
    fields: dict[str, Any] = {name: draw(anything_of(hint)) for name, hint in hints.items()}
    sizes: dict[str, Any] = {
        name: draw(st.integers(1, 64)) for name in ("micro_batch_size", "workers", "sequence_length")
    }
    sizes["batch_size"] = sizes["micro_batch_size"] * sizes["workers"] * draw(st.integers(1, 8))
    sizes["token_budget"] = draw(st.integers(1, 10**12))
    sizes["lora_rank"] = draw(st.integers(0, 64))
    sizes["memory_cap_bytes"] = draw(st.none() | st.integers(1, 2**40))
    sizes["learning_rate"] = draw(st.floats(min_value=0, exclude_min=True, allow_infinity=False))
    positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
    sizes["replay_ratio"], sizes["epochs"] = draw(st.floats(0, 100)), draw(st.none() | positive)
    sizes["samples_per_prompt"] = draw(st.integers(1, 1000))
    sizes["temperature"], sizes["top_p"] = draw(positive), draw(st.floats(0, 1, exclude_min=True))
    if sizes["workers"] == 1 or fields["optimizer"] == "adamw-8bit":
        sizes["parallel"] = "ddp"
    return TrialSettings(**(fields | sizes))


def a_record() -> dict[str, Any]:
    """A finished trial's record as parsed JSON."""
    return json.loads(to_json(make_record()))


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_comes_back_from_json_as_it_went_in(outcome: Outcome) -> None:
    record = make_record(outcome=outcome, error=None if outcome is Outcome.FINISHED else "one line")
    assert from_json(to_json(record)) == record


@settings(max_examples=60, deadline=None)
@given(record=anything_of(TrialRecord))
def test_any_record_at_all_comes_back_from_json_as_it_went_in(record: TrialRecord) -> None:
    record = dataclasses.replace(record, schema_version=1)
    again = from_json(to_json(record))
    assert again == record
    assert type(again.outcome) is Outcome


@settings(max_examples=30, deadline=None)
@given(report=anything_of(WorkerReport))
def test_any_workers_report_comes_back_from_json_as_it_went_in(report: WorkerReport) -> None:
    assert report_from_json(to_json(report)) == report


def test_a_record_is_a_plain_json_object_that_another_program_can_read() -> None:
    document = a_record()
    assert document["schema_version"] == 1
    assert document["outcome"] == "finished"
    assert document["settings"]["model"] == "nano-1m"
    assert document["report"]["memory"]["peak_cuda_allocated_bytes"] is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(make_record(seconds=value))


@pytest.mark.parametrize(("text", "shown"), [("NaN", "nan"), ("-Infinity", "-inf"), ("1e999", "inf")])
def test_what_is_not_a_number_is_not_read(text: str, shown: str) -> None:
    document = to_json(make_record()).replace('"seconds": 21.5', f'"seconds": {text}')
    with pytest.raises(ValueError, match=rf"^record\.seconds is {shown}; a finite number was expected\.$"):
        from_json(document)


WRONG_FIELDS = {
    "an unknown field": (("colour",), "red", "record has unknown fields ['colour']"),
    "an unknown field deep inside": (("report", "memory", "colour"), 1, "record.report.memory has unknown fields"),
    "text for a number": (("number",), "7", "record.number is '7'; int was expected."),
    "a fraction for a count": (("settings", "batch_size"), 8.5, "record.settings.batch_size is 8.5; int was"),
    "a truth value for a count": (("number",), True, "record.number is True; int was expected."),
    "a number for a truth value": (("prediction", "fits"), 1, "record.prediction.fits is 1; bool was expected."),
    "nothing for text": (("sweep",), None, "record.sweep is None; str was expected."),
    "a list for an object": (("settings",), [], "record.settings is list; an object was expected."),
    "an object for a list": (("report", "curve"), {}, "record.report.curve is dict; a list was expected."),
    "text in a list of objects": (("report", "curve"), ["x"], "record.report.curve[0] is str; an object was"),
    "an unknown outcome": (("outcome",), "exploded", "record.outcome is 'exploded'; known: finished, stopped_early,"),
    "an unknown choice": (("settings", "loss"), "mse", "record.settings.loss is 'mse'; known: hf, fused."),
    "a list for a table": (("provenance", "versions"), [], "record.provenance.versions is list; an object was"),
    "text in a table of numbers": (
        ("prediction", "components"),
        {"weights": "4 GiB"},
        "record.prediction.components.weights is '4 GiB'; int was expected.",
    ),
    "settings that no trial can have": (("settings", "batch_size"), 7, "batch_size=7 is not divisible by"),
    "a later schema": (("schema_version",), 2, "schema_version is 2; this program reads 1."),
    "a truth value for the schema": (("schema_version",), True, "record.schema_version is True; int was expected."),
}


@pytest.mark.parametrize("case", WRONG_FIELDS)
def test_a_wrong_field_is_named_in_one_line(case: str) -> None:
    path, value, message = WRONG_FIELDS[case]
    document = a_record()
    place: Any = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is looked at below
        from_json(json.dumps(document))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", [("trial_id",), ("settings", "model"), ("provenance", "git_sha")])
def test_a_missing_field_is_named_in_one_line(path: tuple[str, ...]) -> None:
    document = a_record()
    place: Any = document
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    with pytest.raises(ValueError, match=f"missing 1 required.*'{path[-1]}'$"):
        from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '"record"'])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        from_json(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 6, "micro_batch_size": 4}, "batch_size=6 is not divisible by micro_batch_size=4 x workers=1;"),
        ({"batch_size": 4, "micro_batch_size": 4, "workers": 2}, "batch_size=4 is not divisible by micro_batch_size=4"),
        ({"batch_size": 4, "micro_batch_size": 8}, "batch_size=4 is not divisible by micro_batch_size=8"),
        ({"batch_size": 0}, "batch_size=0; it must be at least 1."),
        ({"micro_batch_size": 0}, "micro_batch_size=0; it must be at least 1."),
        ({"sequence_length": 0}, "sequence_length=0; it must be at least 1."),
        ({"token_budget": -5}, "token_budget=-5; it must be at least 1."),
        ({"workers": 0}, "workers=0; it must be at least 1."),
        ({"parallel": "fsdp"}, "parallel='fsdp' shards over several workers, and workers=1;"),
        ({"workers": 2, "parallel": "fsdp", "optimizer": "adamw-8bit"}, "optimizer='adamw-8bit' cannot be sharded;"),
        ({"memory_cap_bytes": 0}, "memory_cap_bytes=0; it must be at least 1,"),
        ({"learning_rate": -1e-3}, "learning_rate=-0.001; it must be a positive number"),
        ({"learning_rate": 0.0}, "learning_rate=0.0; it must be a positive number"),
        ({"learning_rate": math.nan}, "learning_rate=nan; it must be a positive number"),
        ({"learning_rate": math.inf}, "learning_rate=inf; it must be a positive number"),
    ],
)
def test_impossible_settings_are_refused_with_the_value(changes: dict[str, Any], message: str) -> None:
    possible = make_record().settings
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is looked at below
        dataclasses.replace(possible, **changes)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("batch_size", "micro_batch_size", "workers", "steps"), [(8, 8, 1, 1), (8, 2, 1, 4), (8, 2, 2, 2), (12, 1, 3, 4)]
)
def test_micro_batches_of_all_workers_make_up_the_batch(
    batch_size: int, micro_batch_size: int, workers: int, steps: int
) -> None:
    changes = {"batch_size": batch_size, "micro_batch_size": micro_batch_size, "workers": workers}
    assert dataclasses.replace(make_record().settings, **changes).accumulation_steps == steps
