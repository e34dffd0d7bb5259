"""How often each command reads a record: once. In a bucket every read is a request, with its time and its cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis import export, judge, report
from analysis.serve.board_data import FollowedSweep
from sweeps import rebuild_study
from tests.support.record_factory import default_facts, make_record, make_samples, write_sweep
from tests.support.tuned_trial import train_trial
from trainables.records.storage import Storage, open_storage
from trainables.records.sweep_folder import store_proposal


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file of any storage was read since the test began."""
    counted: Counter[str] = Counter()
    read_text = Storage.read_text

    def counting(storage: Storage, path: str) -> str:
        counted[f"{storage.root}/{path}"] += 1
        return read_text(storage, path)

    monkeypatch.setattr(Storage, "read_text", counting)
    return counted


def sweep_in(folder: Path, name: str = "made-up") -> str:
    """Ten trials, more than a forest asks for; 8 points of the default space differ in rate and batch."""
    points = [(rate, size) for rate in (1e-4, 3e-4, 1e-3, 3e-3) for size in (8, 16, 32)][:10]
    made = [
        make_record(n, rate=rate, batch_size=size, quality=0.05 * n, peak_mib=50 + n, samples=make_samples(f"text {n}"))
        for n, (rate, size) in enumerate(points)
    ]
    uri = write_sweep(folder, made, name=name)
    plan = default_facts().plan
    for record in made:
        proposal = {setting: getattr(record.settings, setting) for setting in plan.space}
        store_proposal(open_storage(uri), record.trial_id, proposal)
    return uri


def follow(uri: str) -> None:
    board = FollowedSweep(open_storage(uri))
    for _ in range(3):
        board.look()


COMMANDS: dict[str, Callable[[str], object]] = {
    "report": lambda uri: report.main([uri]),
    "export": lambda uri: export.main([uri, "--trial", "best", "--out", f"{uri}-model"]),
    "judge": lambda uri: judge.main([uri, "--agreement"]),
    "rebuild": lambda uri: rebuild_study.main([uri]),
    "board": follow,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_reads_each_record_once(tmp_path: Path, reads: Counter[str], command: str) -> None:
    uri = sweep_in(tmp_path / "sweep")
    if command == "export":
        train_trial(Path(uri), 9)  # the best, with a model to export
    reads.clear()
    assert COMMANDS[command](uri) in (0, None)
    found = {path: count for path, count in reads.items() if path.endswith("record.json")}
    assert len(found) == 10
    assert set(found.values()) == {1}


def test_a_comparison_reads_each_record_of_both_once(tmp_path: Path, reads: Counter[str]) -> None:
    one, other = sweep_in(tmp_path / "one"), sweep_in(tmp_path / "other", name="other")
    reads.clear()
    assert report.main(["--compare", one, other, "--out", str(tmp_path / "both.html")]) == 0
    found = {path: count for path, count in reads.items() if path.endswith("record.json")}
    assert len(found) == 20
    assert set(found.values()) == {1}
