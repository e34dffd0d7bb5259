"""The table on the terminal, read as text: in a log, on a screen, and at the end."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.watch.live_table import LiveTable, print_end
from tests.support.record_factory import default_facts, make_curve, make_record
from trainables.records.record import Outcome, TrialRecord


def printed_end(records: list[TrialRecord], width: int = 160) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_end(records, default_facts().plan, BATCH_MEMORY, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def row(lines: list[str], trial_id: str) -> list[str]:
    """The cells of a trial's row, split at white space; the star after its id stays with it."""
    (line,) = [line for line in lines if line.startswith(trial_id)]
    return line.replace(f"{trial_id} *", f"{trial_id}*").split()


def end_in_log(record: TrialRecord, capsys: pytest.CaptureFixture[str]) -> str:
    with LiveTable(BATCH_MEMORY.columns, Console(file=io.StringIO())) as table:
        table.started(record.trial_id, record.settings)
        table.progressed(record.trial_id, make_curve(1e-3)[:6], 12)
        assert capsys.readouterr().out == ""  # in a log only the end of a trial counts
        table.ended(record)
    return capsys.readouterr().out


def test_without_a_terminal_each_ended_trial_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    record = make_record(3, quality=0.625, peak_mib=64, speed=1234.5, rate=3e-4, batch_size=16, micro_batch_size=2)
    loss = make_curve(3e-4)[-1].loss
    assert end_in_log(record, capsys) == (
        "trial 0003  size nano-1m  batch 16  micro 2  lr 3e-4"
        f"  loss {loss:.3f}  quality 0.625  peak 64.0 MiB  tokens/s 1,234  outcome finished\n"
    )


@pytest.mark.parametrize(
    "outcome", [Outcome.OUT_OF_MEMORY, Outcome.PREDICTED_NOT_TO_FIT, Outcome.DIVERGED, Outcome.FAILED]
)
def test_what_was_not_measured_is_a_dash(outcome: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    line = end_in_log(make_record(1, outcome=outcome, error="no room"), capsys)
    shown = outcome.value.replace("_", " ")
    assert line.endswith(f"loss –  quality –  peak –  tokens/s –  outcome {shown}\n")


def test_random_weights_show_no_quality(capsys: pytest.CaptureFixture[str]) -> None:
    line = end_in_log(make_record(1, quality=None), capsys)
    assert "quality –  peak 100 MiB" in line


def test_on_a_terminal_a_running_trial_shows_loss_and_percent() -> None:
    screen = io.StringIO()
    with LiveTable(BATCH_MEMORY.columns, Console(file=screen, force_terminal=True, width=160, _environ={})) as table:
        table.started("0000-c0ffee", make_record(0).settings)
        table.started("0001-c0ffee", make_record(1, model="nano-4m").settings)
        table.progressed("0001-c0ffee", make_curve(1e-3)[:6], 12)
    last = screen.getvalue().splitlines()[-5:]  # the last picture, and what takes it away
    assert row(last, "0000") == ["0000", "nano-1m", "8", "4", "1e-3", "–", "–", "–", "–", "starting"]
    running = row(last, "0001")
    assert running[:6] == ["0001", "nano-4m", "8", "4", "1e-3", f"{make_curve(1e-3)[5].loss:.3f}"]
    assert running[-1] == "50%"


def test_the_end_table_has_a_row_a_trial_and_marks_the_front() -> None:
    lines = printed_end(
        [
            make_record(0, quality=0.5, peak_mib=100, speed=1000),
            make_record(1, quality=0.4, peak_mib=110, speed=900),  # worse than 0 in all three
            make_record(2, quality=0.3, peak_mib=50, speed=800),  # the smallest
            make_record(3, outcome=Outcome.OUT_OF_MEMORY, error="no room"),
        ]
    )
    assert lines[0].split() == [
        "trial",
        "size",
        "batch",
        "micro",
        "lr",
        "loss",
        "quality",
        "peak",
        "tokens/s",
        "outcome",
    ]
    assert [row(lines, f"{number:04d}")[0] for number in range(4)] == [
        "0000*",
        "0001",
        "0002*",
        "0003",
    ]
    assert row(lines, "0003")[-3:] == ["out", "of", "memory"]
    assert any("* 2 of 4 trials are on the Pareto front" in line for line in lines)


def test_no_trial_on_the_front_when_none_finished() -> None:
    lines = printed_end([make_record(0, outcome=Outcome.FAILED, error="worker died")])
    assert any("* 0 of 1 trials are on the Pareto front" in line for line in lines)


def test_a_model_name_is_never_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    name = "owner/[red]model[/red]"
    record = make_record(0, model=name)
    assert f"size {name}  " in end_in_log(record, capsys)
    assert row(printed_end([record]), "0000")[1] == name
    screen = io.StringIO()
    with LiveTable(BATCH_MEMORY.columns, Console(file=screen, force_terminal=True, width=160, _environ={})) as table:
        table.started("0000-c0ffee", record.settings)
    assert name in screen.getvalue()


def test_a_long_model_name_leaves_the_figures_readable() -> None:
    record = make_record(0, model="a-very-long-owner/" + "a-very-long-model-name-" * 4, quality=0.5, speed=987)
    text = "\n".join(printed_end([record], width=120))
    assert "0000 *" in text
    for figure in ("0.500", "100 MiB", "987", "finished"):
        assert figure in text
