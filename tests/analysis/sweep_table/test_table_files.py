"""The trials' table as CSV and Parquet: the same figures, read back by the libraries that people use."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

from pyarrow import BufferReader, parquet

from analysis.report import write_report
from analysis.sweep_table.table import TrialRow, csv_text, parquet_bytes, plain_row, trial_row
from tests.support.record_factory import make_record, write_sweep

NAMES = [field.name for field in dataclasses.fields(TrialRow) if field.name != "further"]


def rows() -> list[TrialRow]:
    return [trial_row(make_record(0, quality=0.25, peak_mib=64)), trial_row(make_record(1, quality=None))]


def test_csv_holds_what_the_table_holds() -> None:
    read = list(csv.DictReader(io.StringIO(csv_text(rows()))))
    assert list(read[0]) == NAMES
    assert float(read[0]["sample_quality"]) == 0.25
    assert int(read[0]["peak_bytes"]) == 64 * 2**20
    assert read[1]["sample_quality"] == ""


def test_parquet_holds_the_rows_and_keeps_the_types_of_empty_columns() -> None:
    table = parquet.read_table(BufferReader(parquet_bytes(rows())))
    assert table.to_pylist() == [plain_row(row) for row in rows()]
    empty = parquet.read_table(BufferReader(parquet_bytes([])))
    assert empty.schema.equals(table.schema)
    assert str(empty.schema.field("peak_bytes").type) == "int64"


def test_a_text_that_a_spreadsheet_would_run_is_only_text() -> None:
    row = dataclasses.replace(rows()[0], model="=HYPERLINK(0)", error="-1+1", learning_rate=1e-3)
    (read,) = csv.DictReader(io.StringIO(csv_text([row])))
    assert read["model"] == "'=HYPERLINK(0)"
    assert read["error"] == "'-1+1"
    assert float(read["learning_rate"]) == 1e-3


def test_tables_stand_beside_the_report_under_its_name(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", [make_record(0), make_record(1)])
    write_report(sweep)
    assert len((tmp_path / "s" / "trials.csv").read_text().splitlines()) == 3
    assert parquet.read_table(tmp_path / "s" / "trials.parquet").num_rows == 2
    write_report(sweep, str(tmp_path / "mine.html"))
    assert sorted(path.name for path in tmp_path.glob("mine.*")) == ["mine.csv", "mine.html", "mine.parquet"]
