"""The user's cache folder: whole documents or none, and never an error of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainables.records.disk_cache import cache_folder, cache_key, load_document, source_digest, store_document


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_stored_document_is_read_back_and_nothing_lies_beside_it() -> None:
    store_document("things", "a", json.dumps({"n": 1}))
    assert load_document("things", "a") == {"n": 1}
    assert [file.name for file in cache_folder("things").iterdir()] == ["a.json"]


def test_what_is_not_there_or_broken_is_none() -> None:
    assert load_document("things", "a") is None
    store_document("things", "a", '{"n": ')
    assert load_document("things", "a") is None


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "galactica-sweeps").write_text("a file where the folder would be")
    store_document("things", "a", "{}")
    assert load_document("things", "a") is None


def test_a_key_changes_with_any_fact_and_not_with_the_order_of_names() -> None:
    assert cache_key({"a": 1, "b": 2}) == cache_key({"b": 2, "a": 1})
    assert len({cache_key(1, [2]), cache_key(1, [3]), cache_key(1), cache_key([2], 1)}) == 4


def test_a_source_digest_changes_with_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1\n")
    before = source_digest([file])
    file.write_text("x = 2\n")
    assert source_digest([file]) != before
