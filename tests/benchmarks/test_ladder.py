"""The ladder's benchmark over small tables of the published kind, made here."""

import csv
import json
import math

import ladder
from ladder_laws import draw

from tests.support.ladders import bowl_loss

FIELDS = {
    *("table", "ladders", "lr_octaves_median", "lr_coverage", "lr_width_octaves_median", "excess_loss_mean"),
    *("loss_error_median", "loss_coverage"),
}


def write_table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def grid_rows():
    """Three sizes 4 times apart, best rates half an octave an octave lower, over 9 rates x 5 batches."""
    for step in range(3):
        bottom = 2 + 2 * 2 ** (-0.6 * step)
        for rate in (2.0 ** (power / 2) for power in range(-26, -8)):
            for batch in (8, 16, 32, 64, 128):
                best = {"best_rate": 2 ** (-7 - step), "best_batch": 32}
                loss = bowl_loss(rate, batch, **best, bottom=bottom)
                yield {
                    "group": "made",
                    "n": 10**7 * 4**step,
                    "d": 1,
                    "lr": rate,
                    "batch_sequences": batch,
                    "loss": loss,
                }


def test_the_planner_finds_the_best_cell_of_a_made_table(tmp_path, capsys):
    write_table(tmp_path / "steplaw_dense.csv", list(grid_rows()))
    assert ladder.main(["--tables", str(tmp_path), "--synthetic", "0", "--json"]) == 0
    rows = {row["table"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows["steplaw_dense"]) == FIELDS
    assert rows["steplaw_dense"]["ladders"] == 1
    assert rows["steplaw_dense"]["lr_octaves_median"] < 0.5
    assert rows["steplaw_dense"]["lr_coverage"] == 1
    assert rows["steplaw_dense"]["excess_loss_mean"] < 0.002


def test_losses_by_size_alone_are_predicted_too(tmp_path, capsys):
    sizes = [10**7 * 4**step for step in range(4)]
    rows = [{"group": "made", "d": 1, "n": n, "loss": 2 + 2 * (n / 10**7) ** -0.3} for n in sizes]
    write_table(tmp_path / "farseer.csv", rows)
    assert ladder.main(["--tables", str(tmp_path), "--synthetic", "0", "--json"]) == 0
    (row, _) = json.loads(capsys.readouterr().out)
    assert row["ladders"] == 2  # the third size from two, the fourth from three
    assert row["loss_coverage"] == 1
    assert row["lr_octaves_median"] is None


def test_a_folder_without_tables_says_so_and_runs_synthetic_ladders_alone(tmp_path, capsys):
    assert ladder.main(["--tables", str(tmp_path), "--synthetic", "2", "--json"]) == 0
    told = capsys.readouterr()
    assert "has no tables" in told.err
    assert [row["table"] for row in json.loads(told.out)] == ["synthetic"]


def test_a_synthetic_law_costs_nothing_at_its_best_point_and_more_beside_it():
    law = draw(3)
    rate, batch = 2 ** law.best_rates[0], 2 ** law.best_batches[0]
    assert math.isclose(law.cost(0, rate, batch), 0, abs_tol=1e-12)
    assert law.cost(0, 2 * rate, batch) > law.cost(0, rate / 2, batch) > 0
