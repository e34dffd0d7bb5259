"""Rows of a JSON file: an object a line, or one document of any shape in which each row's keys are plain."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from data.columns import has_roles
from data.errors import DataError
from data.text_lines import Lines

LARGEST_DOCUMENT = 2**28
"""Characters of a document that is not an object a line; it is held in memory whole, some five times over (assumed)."""

EXAMPLE = '{"keyword": "love", "quote": "…"}'
SHOWN = 5

Row = dict[str, Any] | str
"""An object by its keys, or a line of text."""


class _TwiceError(ValueError):
    """A key that stands twice in one object, of which JSON's reader would drop the first."""


def json_rows(path: str, lines: Lines, given: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    """Each row and where it stands. Raises: DataError, naming the line or the entry."""
    filled = ((number, line) for number, line in lines if line.strip())
    head = list(itertools.islice(filled, 2))
    whole = itertools.chain(head, filled)
    if not head:
        return
    first = _parsed(head[0][1])
    if isinstance(first, dict) and (len(head) > 1 or _rows_within(path, first, given) is None):
        yield from _of_lines(path, whole, given)
    else:
        yield from _of_document(path, _document(path, whole), given)


def _of_lines(path: str, lines: Lines, given: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    for number, line in lines:
        where = f"{path}:{number}"
        try:
            value = json.loads(line.rstrip().removesuffix(","), object_pairs_hook=_object)
        except _TwiceError as error:
            raise DataError(f"{where}: {error}; keep one.") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not a JSON object{_reason(line, error)}; write {EXAMPLE}.") from None
        if not isinstance(value, dict):
            raise DataError(f"{where}: not a JSON object, but {kind_of(value)}; write {EXAMPLE}.")
        yield where, _row_in(value, given) or value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text.rstrip().removesuffix(","), object_pairs_hook=dict)
    except (ValueError, RecursionError):
        return None


def _document(path: str, lines: Lines) -> Any:
    """The document that all lines make, or a list of those that stand one behind the other."""
    taken: list[str] = []
    characters = 0
    for _, line in lines:
        taken.append(line)
        characters += len(line) + 1
        if characters > LARGEST_DOCUMENT:
            raise DataError(f"{path}: one JSON value of over {LARGEST_DOCUMENT:,} characters; write an object a line.")
    text, decoder, values, place = "\n".join(taken), json.JSONDecoder(object_pairs_hook=_object), [], 0
    del taken
    while (place := _filled(text, place)) < len(text):
        try:
            value, end = decoder.raw_decode(text, place)
        except _TwiceError as error:
            raise DataError(f"{path}: {error}; keep one.") from None
        except (ValueError, RecursionError) as error:
            at = getattr(error, "pos", place)
            line = text.count("\n", 0, at) + 1
            excerpt = text[text.rfind("\n", 0, at) + 1 :].partition("\n")[0]
            raise DataError(f"{path}:{line}: not a JSON object{_reason(excerpt, error)}; write {EXAMPLE}.") from None
        values.append(value)
        place = end
    if len(values) > 1 and all(_is_list_of_rows(value) and isinstance(value[0], dict) for value in values):
        return list(itertools.chain.from_iterable(values))  # files of one list each, joined
    return values[0] if len(values) == 1 else values


def _filled(text: str, place: int) -> int:
    """The next place from `place` on with more than space or a comma."""
    while place < len(text) and (text[place].isspace() or text[place] == ","):
        place += 1
    return place


def _of_document(path: str, document: Any, given: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    entries: Iterable[Any]
    if isinstance(document, dict):
        within = _rows_within(path, document, given)
        entries = [document] if within is None else within
    elif isinstance(document, list):
        entries = document
    else:
        raise DataError(f"{path}: not a JSON object, but {kind_of(document)}; write {EXAMPLE}.")
    names: list[str] | None = None
    for number, entry in enumerate(entries, 1):
        where = f"{path}, entry {number}"
        if isinstance(entry, list):  # rows as lists, the first of which holds the names
            if names is None:
                names = [name if isinstance(name, str) else "" for name in entry]
                if number > 1 or not has_roles(names, given):
                    raise DataError(f"{where}: a list, whose values have no names; write {EXAMPLE}.")
                continue
            if len(entry) != len(names):
                raise DataError(f"{where}: {len(entry)} values for {len(names)} columns ({', '.join(names)}).")
            entry = dict(zip(names, entry, strict=True))
        if not isinstance(entry, dict | str) or (names is not None and isinstance(entry, str)):
            raise DataError(f"{where}: not a JSON object, but {kind_of(entry)}; write {EXAMPLE}.")
        yield where, _row_in(entry, given) or entry


def _rows_within(path: str, document: dict[str, Any], given: Mapping[str, str]) -> Iterable[Any] | None:
    """The rows in an object: whole columns, rows by name or number, or the one list of rows; None where it is a row."""
    while (only := _only_object_in(document, given)) is not None:
        document = only
    if has_roles(list(document), given):
        return _rows_of_columns(path, document) if _is_columns(document) else None
    values = list(document.values())
    inner = [value for value in values if isinstance(value, dict)]
    if len(inner) == 1 and has_roles(list(inner[0]), given) and _is_columns(inner[0]):
        return _rows_of_columns(path, inner[0])
    names, rows = document.get("columns"), document.get("data")
    if isinstance(names, list) and isinstance(rows, list):
        return [names, *rows]
    if values and all(isinstance(value, dict) and has_roles(list(value), given) for value in values):
        return values
    lists = [key for key, value in document.items() if _is_list_of_rows(value)]
    plain = [key for key in lists if all(_row_in(entry, given) is not None for entry in document[key])]
    if len(plain or lists) == 1:
        return document[(plain or lists)[0]]
    if lists:
        shown = ", ".join(map(repr, lists[:SHOWN]))
        raise DataError(f"{path}: has rows in {shown}; write {EXAMPLE} for each that is meant.")
    return None


def _only_object_in(document: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any] | None:
    """The one object in an object that is no row, has no list in it and no other object; itself no row either."""
    inner = [value for value in document.values() if isinstance(value, dict | list)]
    is_row = has_roles(list(document), given)
    only = inner[0] if len(inner) == 1 and isinstance(inner[0], dict) and not is_row else None
    return None if only is None or has_roles(list(only), given) else only


def _row_in(value: Any, given: Mapping[str, str]) -> dict[str, Any] | None:
    """An object that is a row, or the one in it that is, as data sets are downloaded in; None where there is none."""
    if not isinstance(value, dict) or has_roles(list(value), given):
        return value if isinstance(value, dict) else None
    inner = [one for one in value.values() if isinstance(one, dict) and has_roles(list(one), given)]
    return inner[0] if len(inner) == 1 else None


def _is_columns(document: Mapping[str, Any]) -> bool:
    """Whether an object holds whole columns: lists of one length, or objects with the same keys."""
    values = list(document.values())
    return bool(values) and any(all(isinstance(value, kind) for value in values) for kind in (list, dict))


def _rows_of_columns(path: str, document: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    columns = list(document.values())
    keys = [list(column) if isinstance(column, dict) else range(len(column)) for column in columns]
    if any(key != keys[0] for key in keys):
        lengths = ", ".join(f"{len(column)} in {name!r}" for name, column in itertools.islice(document.items(), SHOWN))
        raise DataError(f"{path}: its columns differ in length or order ({lengths}); write one object for each row.")
    return ({name: column[key] for name, column in document.items()} for key in keys[0])


def _is_list_of_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict | str) for entry in value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises: _TwiceError where a key of a row stands in it twice."""
    document = dict(pairs)
    if len(document) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _TwiceError(f"the key {twice[:40]!r} stands twice in one object")
    return document


def kind_of(value: Any) -> str:
    """What a value of JSON is, in its own words."""
    if value is None or value != value:  # NaN is unlike itself
        return "null" if value is None else "NaN"
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return kinds.get(type(value), "a number")


def _reason(line: str, error: Exception) -> str:
    """What is wrong with a line, where it can be told, in brackets."""
    if line.lstrip().startswith(("{'", "['", "[{'")):
        return " (it has single quotation marks, as Python's; JSON has double ones: write it with json.dumps)"
    if isinstance(error, json.JSONDecodeError):
        before, after = line[: error.colno - 1].rstrip(), line[error.colno - 1 :].lstrip()
        if not after:
            return f" (it ends early, at character {error.colno}: get a whole copy)"
        if error.msg.startswith("Invalid control character"):
            return f" (a tab or line end within a text, at character {error.colno}: it is \\t or \\n in JSON)"
        if after[:1] in ("]", "}") and before[-1:] in (",", ""):
            return f" (a comma before a closing bracket, at character {error.colno}: take it out)"
        if after.startswith(("//", "/*", "#")):
            return f" (a comment, at character {error.colno}: JSON has none, take it out)"
        return f" ({error.msg}, at character {error.colno})"
    return ""


def is_json(text: str) -> bool:
    """Whether a text begins as JSON with rows does, and no line of words."""
    start = "".join(text[:200].split())[:2]
    return start in ("{", "[", '{"', "{}", "{'", '["', "[{", "[[", "[]")
