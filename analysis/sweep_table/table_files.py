"""The report's table of trials as files for other programs: CSV and Parquet, with the same figures."""

from __future__ import annotations

import csv
import dataclasses
import io
import typing
from collections.abc import Sequence

import pyarrow as pa
from pyarrow import parquet

from analysis.sweep_table.table import TrialRow

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Sequence[TrialRow]) -> str:
    """The rows under their field names. A text that a spreadsheet would run as a formula gets an apostrophe before."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(TrialRow))
    for row in rows:
        writer.writerow("" if value is None else _plain(value) for value in dataclasses.astuple(row))
    return file.getvalue()


def parquet_bytes(rows: Sequence[TrialRow]) -> bytes:
    """The rows as a Parquet file; a column keeps its type where no trial has a value."""
    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    hints = typing.get_type_hints(TrialRow)
    fields = []
    for field in dataclasses.fields(TrialRow):
        kind = next(k for k in (typing.get_args(hints[field.name]) or (hints[field.name],)) if k is not type(None))
        fields.append(pa.field(field.name, kinds[kind]))
    table = pa.Table.from_pylist([dataclasses.asdict(row) for row in rows], schema=pa.schema(fields))
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) else value
