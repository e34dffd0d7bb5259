"""A board that stands before its sweeps do, as beside a cluster's head: over a bucket, real HTTP to both."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.analysis.serve.test_board import Board
from tests.support.object_store import ObjectStore
from tests.support.record_factory import default_facts, make_record
from tests.support.waiting import wait_until
from trainables.records.documents import to_json
from trainables.records.storage import Storage, open_storage
from trainables.records.sweep_folder import store_facts


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with ObjectStore() as store:
        yield open_storage(store.uri("all"))


def lay_out(bucket: Storage, name: str, created_at: str, trials: int) -> None:
    sweep = bucket.child(name)
    store_facts(sweep, dataclasses.replace(default_facts(name, trials=trials), created_at=created_at))
    for number in range(trials):
        record = make_record(number)
        sweep.write_text(f"trials/{record.trial_id}/record.json", to_json(record))


def ask_until(board: Board, path: str, folder: str, rows: int) -> dict[str, Any]:
    def asked() -> dict[str, Any] | None:
        told = json.loads(board.ask(path)[1])
        return told if told["folder"] == folder and len(told["rows"]) == rows and not told["waiting"] else None

    told = wait_until(asked, f"{rows} rows of {folder!r}")
    assert told is not None
    return told


def test_each_sweep_of_a_bucket_shows_as_it_comes_and_the_newest_first(bucket: Storage) -> None:
    board = Board(bucket.uri, "--every-sweep")
    told = json.loads(board.ask("/api/rows?since=&sweep=")[1])
    assert (told["sweep"], told["sweeps"], told["rows"]) == (None, [], [])
    assert board.ask(f"/api/rows?since={told['cursor']}&sweep=")[0] == 204
    lay_out(bucket, "first", "2026-01-02T00:00:00+00:00", trials=2)
    assert ask_until(board, "/api/rows", "first", 2)["sweeps"] == ["first"]
    lay_out(bucket, "a-second", "2026-01-03T00:00:00+00:00", trials=1)
    assert ask_until(board, "/api/rows", "a-second", 1)["sweeps"] == ["a-second", "first"]
    assert ask_until(board, "/api/rows?sweep=first", "first", 2)["sweep"]["name"] == "first"
    assert len(json.loads(board.ask("/api/trials/0001-c0ffee?sweep=first")[1])["samples"]) == 3
    assert board.ask("/api/trials/0001-c0ffee?sweep=a-second")[0] == 404
    assert json.loads(board.ask("/api/rows?sweep=..%2Ffirst")[1])["sweep"] is None
    assert board.end() == 0
