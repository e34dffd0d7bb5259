"""The board over real HTTP: whom it lets in, what it tells, and that it reads a record once."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.board import main
from analysis.serve.board_data import FollowedSweep
from tests.support.record_factory import MIB, make_record, make_samples, write_sweep
from tests.support.waiting import PATIENCE_SECONDS
from trainables.records.documents import to_json
from trainables.records.record import Outcome
from trainables.records.storage import Storage, open_storage

SCRIPT = Path(__file__).resolve().parents[3] / "analysis" / "board.py"
ATTACK = "<script>alert(1)</script>\u202e"
TOKEN = "a-token-of-the-tests"


class Board:
    """The program as a process of its own, and a client of it."""

    def __init__(self, folder: str, *flags: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), folder, "--until-stdin-ends", *flags],
            env=os.environ | {"RAY_AUTH_TOKEN": TOKEN},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.process.stdout.readline())
        assert found is not None, self.process.communicate()
        self.port = int(found[1])

    def ask(
        self, path: str, token: str | None = TOKEN, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, str, dict[str, str]]:
        """Status, body and headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        given = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, body, given | {n.replace("_", "-"): value for n, value in headers.items()})
        answer = connection.getresponse()
        told = answer.status, answer.read().decode(), dict(answer.getheaders())
        connection.close()
        return told

    def end(self) -> int:
        """Close the program's stdin, as the end of its parent does. Returns: its exit code."""
        self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("sweep")
    ended = make_record(0, samples=make_samples(ATTACK, prompt=ATTACK))
    assert ended.report is not None
    assert ended.report.memory is not None
    memory = replace(ended.report.memory, components={"weights": 25 * MIB})
    made = [
        replace(ended, report=replace(ended.report, memory=memory)),
        make_record(1, outcome=Outcome.OUT_OF_MEMORY, error=ATTACK),
    ]
    running = Board(write_sweep(folder, made, name=ATTACK))
    yield running
    assert running.end() == 0


def rows_of(board: Board) -> dict[str, Any]:
    told: dict[str, Any] = {"waiting": 1, "rows": []}
    for _ in range(100):
        told = json.loads(board.ask("/api/rows")[1])
        if len(told["rows"]) == 2 and not told["waiting"]:
            break
    return told


@pytest.mark.parametrize("path", ["/", "/api/rows", "/api/trials/0000-c0ffee", "/page/board.js", "/d/x/", "/nothing"])
@pytest.mark.parametrize("token", [None, "another"])
def test_without_the_token_nothing_is_told(board: Board, path: str, token: str | None) -> None:
    status, text, _ = board.ask(path, token)
    assert status == 401
    assert "c0ffee" not in text


def test_what_ray_asks_before_it_shows_a_frame_is_answered_without_a_token(board: Board) -> None:
    assert json.loads(board.ask("/api/health", None)[1]) == {"database": "ok"}
    alive = json.loads(board.ask("/api/v1/query?query=vector(1)", None)[1])
    assert (alive["status"], len(alive["data"]["result"])) == ("success", 1)
    assert json.loads(board.ask("/api/v1/query?query=up", None)[1])["data"]["result"] == []


def test_foreign_names_and_origins_are_refused(board: Board) -> None:
    assert board.ask("/api/rows", Host="evil.example")[0] == 403
    assert board.ask("/api/rows", Origin="http://evil.example")[0] == 403
    assert board.ask("/api/rows", Origin=f"http://127.0.0.1:{board.port}")[0] == 200


def test_token_in_the_address_or_the_form_becomes_rays_cookie(board: Board) -> None:
    form = {"method": "POST", "body": f"token={TOKEN}", "Content_Type": "application/x-www-form-urlencoded"}
    for status, _, headers in (board.ask(f"/?token={TOKEN}", None), board.ask("/login", None, **form)):
        assert status == 303
        assert headers["Location"] == "/"
        cookie = headers["Set-Cookie"]
        assert cookie.startswith(f"ray-authentication-token={TOKEN};")
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
    assert board.ask("/", None, Cookie=f"ray-authentication-token={TOKEN}")[0] == 200
    assert board.ask("/login", None, **(form | {"body": "token=wrong"}))[0] == 401


def test_nothing_can_be_written(board: Board) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert board.ask("/api/rows", method=method)[0] == 405


def test_only_the_named_page_may_frame_the_board(board: Board) -> None:
    assert board.process.stdin is not None
    assert board.ask("/")[2]["Content-Security-Policy"].endswith("frame-ancestors 'self'")
    board.process.stdin.write("http://127.0.0.1:8265\n")
    board.process.stdin.flush()
    policy = ""
    for _ in range(200):
        policy = board.ask("/")[2]["Content-Security-Policy"]
        if "8265" in policy:
            break
    assert policy.endswith("frame-ancestors 'self' http://127.0.0.1:8265")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_rows_and_detail_hold_what_the_record_holds(board: Board) -> None:
    told = rows_of(board)
    row = {row["trial_id"]: row for row in told["rows"]}["0000-c0ffee"]
    assert (row["outcome"], row["sample_quality"], row["peak_bytes"]) == ("finished", 0.5, 100 * MIB)
    assert board.ask(f"/api/rows?since={told['cursor']}")[0] == 204
    found = json.loads(board.ask("/api/trials/0000-c0ffee")[1])
    assert len(found["samples"]) == 4
    assert (found["predicted"], found["measured"]) == ({"weights": 26 * MIB}, {"weights": 25 * MIB})
    assert found["samples"][0]["tuned"] == "<script>alert(1)</script>⟨U+202E⟩"  # shown by textContent alone
    assert board.ask("/api/trials/..%2f..%2fetc")[0] == 404


class Counting(Storage):
    """A storage that remembers what was read."""

    reads: list[str]

    def read_text(self, path: str) -> str:
        self.reads.append(path)
        return super().read_text(path)


def test_a_record_is_read_once_and_a_running_trial_until_it_ends(tmp_path: Path) -> None:
    write_sweep(tmp_path, [make_record(0), make_record(1)])
    plain = open_storage(str(tmp_path))
    plain.write_text("trials/0002-c0ffee/proposal.json", json.dumps({"model": "nano-1m", "batch_size": 8}))
    storage = Counting(plain.uri, plain.filesystem, plain.root)
    object.__setattr__(storage, "reads", [])
    sweep = FollowedSweep(storage)
    for _ in range(3):
        sweep.look()
    assert [storage.reads.count(f"trials/000{n}-c0ffee/record.json") for n in range(3)] == [1, 1, 3]
    assert storage.reads.count("trials/0002-c0ffee/proposal.json") == 1
    seen = sweep.cursor
    plain.write_text("trials/0002-c0ffee/record.json", to_json(make_record(2)))
    sweep.look()
    news = json.loads(sweep.since(seen))
    assert [(row["number"], row["outcome"]) for row in news["rows"]] == [(2, "finished")]
    assert len(json.loads(sweep.since("another.2"))["rows"]) == 3


def test_a_broken_record_is_shown_as_unreadable(tmp_path: Path) -> None:
    write_sweep(tmp_path, [make_record(0)])
    open_storage(str(tmp_path)).write_text("trials/0001-x/record.json", "{}")
    sweep = FollowedSweep(open_storage(str(tmp_path)))
    sweep.look()
    rows = {row["trial_id"]: row["outcome"] for row in json.loads(sweep.since(None))["rows"]}
    assert rows == {"0000-c0ffee": "finished", "0001-x": "unreadable"}


def test_a_place_without_a_sweep_is_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
