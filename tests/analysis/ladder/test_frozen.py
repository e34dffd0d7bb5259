"""Predictions stay as they were written."""

import json

import pytest

from analysis.ladder.frozen import freeze, frozen
from data.errors import UserError
from tests.analysis.ladder.test_gate import prediction
from trainables.records.storage import open_storage


def test_a_prediction_comes_back_as_it_was_written(tmp_path):
    storage, told = open_storage(str(tmp_path)), prediction()
    written = freeze(storage, 2, told)
    assert frozen(storage, 2) == (told, written)


def test_a_second_prediction_of_the_same_rung_changes_nothing(tmp_path):
    storage, first = open_storage(str(tmp_path)), prediction()
    written = freeze(storage, 2, first)
    assert freeze(storage, 2, prediction(loss=(2.0, 1.9, 2.1))) == written
    assert frozen(storage, 2)[0] == first


@pytest.mark.parametrize("change", ["a digit", "cut off", "no hash"])
def test_a_prediction_that_was_touched_is_refused(tmp_path, change):
    storage = open_storage(str(tmp_path))
    freeze(storage, 1, prediction())
    path = tmp_path / "ladder" / "rung-1.json"
    text = path.read_text()
    document = json.loads(text)
    del document["sha256"]
    changed = {"a digit": text.replace("2.5", "2.6"), "cut off": text[:40], "no hash": json.dumps(document)}
    path.write_text(changed[change])
    with pytest.raises(UserError, match="is not as it was written"):
        frozen(storage, 1)


def test_a_rung_without_a_prediction_has_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        frozen(open_storage(str(tmp_path)), 1)
