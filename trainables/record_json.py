"""Records as JSON documents, and back: every field checked, by name, on the way in."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal

from trainables.records import SCHEMA_VERSION, Sample, TrialRecord, WorkerReport


def to_json(record: Any) -> str:
    """A dataclass of the records as JSON text; not-a-number and infinities are refused, as JSON has none."""
    return json.dumps(dataclasses.asdict(record), indent=1, allow_nan=False, ensure_ascii=False)


def from_json(text: str) -> TrialRecord:
    """The record in `text`.

    Raises: ValueError when the text is not a record of this schema, saying which field is wrong.
    """
    return from_document(json.loads(text))


def from_document(document: Any) -> TrialRecord:
    """The record that a parsed JSON document is. Raises: ValueError, as `from_json`."""
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {version!r}; this program reads {SCHEMA_VERSION}.")
    return _build(TrialRecord, document, "record")


def samples_from_json(text: str) -> tuple[Sample, ...]:
    """The samples of the record in `text`. Raises: ValueError, as `from_json`."""
    report = json.loads(text)["report"]
    return _build(tuple[Sample, ...], report["samples"], "record.report.samples")


def report_from_json(text: str) -> WorkerReport:
    """The worker's report in `text`. Raises: ValueError, as `from_json`."""
    return _build(WorkerReport, json.loads(text), "report")


def _build(kind: Any, value: Any, where: str) -> Any:
    """Build `kind` (a dataclass, tuple, union or plain type) from parsed JSON, naming the field that does not match."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {type(value).__name__}; an object was expected.")
        hints = _hints(kind)
        unknown = set(value) - set(hints)
        if unknown:
            raise ValueError(f"{where} has unknown fields {sorted(unknown)}; known: {sorted(hints)}.")
        try:
            return kind(**{name: _build(hints[name], item, f"{where}.{name}") for name, item in value.items()})
        except TypeError as error:
            raise ValueError(f"{where}: {error}") from None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _build(next(a for a in arguments if a is not type(None)), value, where)
    if origin in (tuple, Sequence):
        if not isinstance(value, list):
            raise ValueError(f"{where} is {type(value).__name__}; a list was expected.")
        return tuple(_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {type(value).__name__}; an object was expected.")
        return {name: _build(arguments[1], item, f"{where}.{name}") for name, item in value.items()}
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is {value!r}; known: {', '.join(arguments)}.")
        return value
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in tuple(kind):
            raise ValueError(f"{where} is {value!r}; known: {', '.join(kind)}.")
        return kind(value)
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value!r}; a finite number was expected.")
    if kind in _PLAIN and (not isinstance(value, _PLAIN[kind]) or (isinstance(value, bool) and kind is not bool)):
        raise ValueError(f"{where} is {value!r}; {kind.__name__} was expected.")
    return value


_PLAIN: dict[Any, Any] = {int: int, float: (int, float), str: str, bool: bool}
_hints = functools.cache(typing.get_type_hints)
