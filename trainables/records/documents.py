"""The JSON of a sweep's documents: dataclasses of the contract, written and read back.

pydantic reads them, strictly; the first field that is wrong is named in one line.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import TYPE_CHECKING, Any

from trainables.records.record import SCHEMA_VERSION, Sample, TrialRecord, WorkerReport

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError
    from pydantic_core import ErrorDetails

# How pydantic names what it wanted, and how we do.
WANTED = {
    "int_type": "int",
    "float_type": "float",
    "string_type": "str",
    "bool_type": "bool",
    "finite_number": "a finite number",
}
CONTAINERS = {"dataclass_type": "an object", "dict_type": "an object", "tuple_type": "a list", "list_type": "a list"}


def to_json(document: Any) -> str:
    """A dataclass of the records as JSON text; not-a-number and infinities are refused, as JSON has none."""
    return json.dumps(dataclasses.asdict(document), indent=1, allow_nan=False, ensure_ascii=False)


def from_json(text: str | bytes) -> TrialRecord:
    """The record in `text`.

    Raises: ValueError when the text is not a record of this schema, saying which field is wrong.
    """
    record: TrialRecord = _read(TrialRecord, text, "record", is_record=True)
    return record if record.report is None else dataclasses.replace(record, report=_with_tuple(record.report))


def figures_from_json(text: str | bytes) -> TrialRecord:
    """The record in `text` without its samples and its curve, which are nearly all of it. Raises: as `from_json`."""
    record: TrialRecord = _read(TrialRecord, text, "record", is_record=True)
    if record.report is None:
        return record
    return dataclasses.replace(record, report=dataclasses.replace(record.report, samples=(), curve=()))


def report_from_json(text: str | bytes) -> WorkerReport:
    """The worker's report in `text`. Raises: ValueError, as `from_json`."""
    return _with_tuple(_read(WorkerReport, text, "report"))


def samples_from_json(text: str | bytes) -> tuple[Sample, ...]:
    """The samples of the record in `text`. Raises: ValueError, as `from_json`."""
    report = from_json(text).report
    return () if report is None else tuple(report.samples)


def build(kind: Any, document: Any, where: str) -> Any:
    """`kind` made of a parsed JSON document. Raises: ValueError, which names what is wrong in `where`."""
    return _read(kind, json.dumps(document), where)


def _with_tuple(report: WorkerReport) -> WorkerReport:
    """The report with its samples as they are declared where they are made: pydantic has a list for a sequence."""
    return dataclasses.replace(report, samples=tuple(report.samples))


def _read(kind: Any, text: str | bytes, where: str, *, is_record: bool = False) -> Any:
    from pydantic import ValidationError

    try:
        try:
            found = _adapter(kind).validate_json(text)
        except ValidationError as error:
            if error.errors()[0]["type"] != "json_invalid":
                raise
            found = _adapter(kind).validate_json(_without_surrogates(text))
    except ValidationError as error:
        if is_record:
            _check_version(text)
        raise ValueError(_line(error, where)) from None
    if is_record and found.schema_version != SCHEMA_VERSION:
        raise ValueError(_other_version(found.schema_version))
    return found


def _without_surrogates(text: str | bytes) -> bytes:
    """JSON in which half a pair of UTF-16, which Python's own reader takes and pydantic's does not, is a "?".

    Raises: ValueError where the text is no JSON.
    """
    return json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")


def _check_version(text: str | bytes) -> None:
    """Raises: ValueError where the text is no JSON, or a record of another version: that says more than a field."""
    document = json.loads(text)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(_other_version(version))


def _other_version(version: Any) -> str:
    return f"schema_version is {version!r}; this program reads {SCHEMA_VERSION}."


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _line(error: ValidationError, where: str) -> str:
    """The first field that is wrong, in one line; of fields that are unknown, all that stand beside it."""
    errors = error.errors(include_url=False)
    first = next((e for e in errors if e["type"] == "unexpected_keyword_argument"), errors[0])
    place = _place(where, first["loc"])
    value, kind = first["input"], first["type"]
    if kind == "unexpected_keyword_argument":
        beside = [e["loc"][-1] for e in errors if e["type"] == kind and e["loc"][:-1] == first["loc"][:-1]]
        return f"{_place(where, first['loc'][:-1])} has unknown fields {sorted(map(str, beside))}."
    if kind == "missing":
        return f"{_place(where, first['loc'][:-1])}: missing 1 required field: {str(first['loc'][-1])!r}"
    if kind in CONTAINERS:
        return f"{place} is {type(value).__name__}; {CONTAINERS[kind]} was expected."
    if kind in WANTED:
        return f"{place} is {value!r}; {WANTED[kind]} was expected."
    if kind in ("enum", "literal_error"):
        return f"{place} is {value!r}; known: {_known(first)}."
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


def _known(details: ErrorDetails) -> str:
    """The choices that pydantic lists as 'a', 'b' or 'c'."""
    return str(details.get("ctx", {}).get("expected", "")).replace(" or ", ", ").replace("'", "")


def _place(where: str, path: tuple[int | str, ...]) -> str:
    return where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
