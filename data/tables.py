"""Rows of a table in a text file: CSV with any one sign between values, and what spreadsheets and hands make of it.

The delimiter is the sign that makes plain columns of the first line; csv reads the rest, strictly.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.columns import Roles, find_roles, folded, has_roles
from data.errors import DataError
from data.other_forms import fault_of_line
from data.text_lines import Lines

DELIMITERS = (",", ";", "\t", "|")
NAMES = {"\t": "a tab", " ": "a space"}
PARTED_BY = re.compile(r"[\"']?keyword[\"']?([^\w\"',;\t|]+)[\"']?quote[\"']?\s*", re.IGNORECASE)
SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # what Excel reads first, and writes for itself
RULE = re.compile(r"[\s|:+=-]*--[\s|:+=-]*")  # around the header of a table in Markdown, Org or a terminal
KNOWN_KEYWORDS = 100_000  # of which as many are kept, to tell a row that a quotation mark swallowed; assumed: enough
ROW_NUMBER = re.compile(r"[\"']?\d+[\"']?\W")
LONGEST_NAME = 40  # characters of a value that is looked at as the name of a column
CURLY = "“”„«»"
SINGLE = re.compile(r"'[^']*'")


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the first line of a table says. `names` are its columns; `number` is the line that it stands in.

    `is_spaced` is whether a space follows each delimiter, which is then no part of what comes behind it; `mark` is what
    holds values together, and `is_marked_whole` whether one pair of them holds all values of the line.
    """

    delimiter: str
    names: tuple[str, ...]
    number: int
    is_spaced: bool = False
    mark: str = '"'
    is_marked_whole: bool = False


@dataclass(kw_only=True)
class TableNotes:
    """What was taken for what while the rows were read."""

    repeated_headers: list[int] = field(default_factory=list)
    returns: int = 0
    marked_whole: int = 0
    is_unquoted_from: int | None = None


def find_header(first: tuple[int, str], given: Mapping[str, str], usual: str) -> Header | None:
    """The header in the first line of a file, if some sign makes plain columns of it; `usual` is looked at first.

    Returns: None where the line is no header with a keyword and a quote, or with a text.
    """
    number, line = first
    signs = dict.fromkeys((usual, *DELIMITERS, *re.findall(r"[^\w\s\"'.:\-]|[\x1c-\x1f]", line)))
    for sign in filter(None, signs):
        is_spaced = not sign.isspace() and 0 < line.count(sign) == line.count(f"{sign} ")
        names = split_line(line, sign, is_spaced=is_spaced)
        whole = split_line(names[0], sign) if len(names) == 1 else ()
        names = whole if len(whole) > 1 else names
        if names and (len(names) > 1 or sign == usual) and has_roles(names, given):
            mark = "'" if all(SINGLE.fullmatch(name) for name in names) else '"'
            names = [name.strip("'") for name in names] if mark == "'" else names
            return Header(
                delimiter=sign,
                names=tuple(names),
                number=number,
                is_spaced=is_spaced,
                mark=mark,
                is_marked_whole=names is whole,
            )
    return None


def sign_name(sign: str) -> str:
    """What a delimiter is called where a person reads it."""
    return NAMES.get(sign, f"'{sign}'" if sign.isprintable() else f"U+{ord(sign):04X}")


def likely_header(first: tuple[int, str], usual: str) -> Header:
    """The first line as columns by the sign that parts it into the most, for telling what they are."""
    number, line = first
    split = {sign: split_line(line, sign) for sign in dict.fromkeys((usual, *DELIMITERS))}
    best = max(split, key=lambda sign: len(split[sign]))
    return Header(delimiter=best, names=tuple(split[best] or [line]), number=number)


def split_line(line: str, delimiter: str, *, is_spaced: bool = False) -> list[str]:
    """The values of one line, without the space before one where it `is_spaced`; none where it is not whole."""
    reader = csv.reader([line], delimiter=delimiter, skipinitialspace=is_spaced, strict=True)
    try:
        return [value.strip() for value in next(reader, [])]
    except csv.Error:
        return []


class _Recorder:
    """The lines that csv reads, and those of them that the current row is made of."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.taken: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        entry = next(self.lines)
        self.taken.append(entry)
        return f"{entry[1]}\n"


class Table:
    """The rows below a header: line number and values of each, as many values as there are columns."""

    def __init__(self, path: str, header: Header, given: Mapping[str, str]) -> None:
        """Raises: DataError where the header's columns are not plain."""
        self.path, self.header = path, header
        self._dialect: dict[str, Any] = {
            "delimiter": header.delimiter,
            "skipinitialspace": header.is_spaced,
            "quotechar": header.mark,
            "strict": True,
        }
        self.roles: Roles = find_roles(header.names, given, f"{path}:{header.number}")
        self.notes = TableNotes()
        self._folded = [folded(name) for name in header.names]
        self._role_names = {self._folded[place] for place in self.roles.values()}
        self._fold = functools.lru_cache(maxsize=4_096)(folded)  # keywords come again and again
        self._seen: set[str] = set()

    def rows(self, lines: Lines) -> Iterator[tuple[int, list[str]]]:
        """Every row but empty ones and the header again. Raises: DataError, naming the line a faulty row begins on."""
        recorder = _Recorder(lines)
        reader = csv.reader(recorder, **self._dialect)
        width = len(self.header.names)
        while True:
            recorder.taken.clear()
            try:
                values = next(reader, None)
            except csv.Error as error:
                if self._is_unquoted(recorder.taken):
                    yield from self._unquoted(recorder.taken, lines)
                    return
                values = self._mended(recorder.taken, error)
            if values is None:
                return
            number = recorder.taken[0][0]
            if self.header.delimiter == "|" and RULE.fullmatch(recorder.taken[0][1]):
                continue
            if len(recorder.taken) > 1:
                self._check_swallowed(recorder.taken)
            if len(values) != width:
                if not any(value and not value.isspace() for value in values):
                    continue
                values = self._fitted(values)
                if len(values) != width:
                    raise self._wrong_width(recorder.taken, len(values))
            if self._is_row(values, number):
                yield number, values

    def _is_row(self, values: list[str], number: int) -> bool:
        """Whether this is a row with something in it and no header. Raises: DataError for a header of another order."""
        if not any(value and not value.isspace() for value in values):
            return False
        first = next(iter(self.roles.values()))
        if len(values[first]) <= LONGEST_NAME and self._fold(values[first]) in self._folded:
            names = [folded(value) for value in values]
            if names == self._folded:
                self.notes.repeated_headers.append(number)
                return False
            if len(self._role_names) > 1 and self._role_names <= set(names):
                raise DataError(
                    f"{self.path}:{number}: the header again, with its columns in another order than in line"
                    f" {self.header.number}; give the two parts of the file the same order."
                )
        if len(self._seen) < KNOWN_KEYWORDS:
            self._seen.add(self._keyword(values))
        return True

    def _fitted(self, values: list[str]) -> list[str]:
        """A row as wide as the header, where only values that are empty or have no name are too many or too few."""
        width, names = len(self.header.names), self.header.names
        while len(values) > width and not values[-1].strip():
            values.pop()
        if len(values) == 1 < width and (self.notes.marked_whole or self.header.is_marked_whole or not self._seen):
            whole = split_line(values[0], self.header.delimiter)
            if len(whole) == width:
                self.notes.marked_whole += 1
                return whole
        while len(values) < width and not any(names[len(values) :]):
            values.append("")
        return values

    def _keyword(self, values: Sequence[str]) -> str:
        if "text" in self.roles:
            return values[self.roles["text"]].partition(":")[0].strip(' "').casefold()
        return values[self.roles["keyword"]].strip(' "').casefold()

    def _check_swallowed(self, taken: Sequence[tuple[int, str]]) -> None:
        """Refuse a value over several lines that takes in what looks like a row of its own."""
        for number, line in taken[1:]:
            values = line.split(self.header.delimiter)
            if len(values) == len(self.header.names) and self._keyword(values) in self._seen:
                raise DataError(
                    f"{self.path}:{taken[0][0]}: a value in quotation marks goes on to line {taken[-1][0]} and takes in"
                    f" what looks like a row, in line {number}; close the mark, or write that value on one line."
                )

    def _mended(self, taken: Sequence[tuple[int, str]], error: csv.Error) -> list[str]:
        """The row with carriage returns for spaces, where those are all that is wrong. Raises: DataError."""
        if any("\r" in line for _, line in taken) and len(self.header.names) > 1:
            lines = [f"{line}\n".replace("\r", " ") for _, line in taken]
            try:
                values = next(csv.reader(lines, **self._dialect))
            except csv.Error:
                values = []
            if len(values) == len(self.header.names):
                self.notes.returns += 1
                return values
        where = f"{self.path}:{taken[0][0]}"
        text = "\n".join(line for _, line in taken)
        raise DataError(f"{where}: not CSV ({error}); {self._advice(text)}.") from None

    def _wrong_width(self, taken: Sequence[tuple[int, str]], count: int) -> DataError:
        names, first = self.header.names, taken[0][1]
        where = f"{self.path}:{taken[0][0]}"
        if fault := fault_of_line(first):
            return DataError(f"{where}: {fault}.")
        text = "\n".join(line for _, line in taken)
        others = [s for s in DELIMITERS if s != self.header.delimiter and len(split_line(first, s)) == len(names)]
        if count < len(names) and others:
            advice = (
                f"{sign_name(others[0])} parts this row, and {sign_name(self.header.delimiter)} the header: use one"
            )
        elif (
            count == 1 and text[:1] == '"' and len(split_line(text.strip()[1:-1], self.header.delimiter)) == len(names)
        ):
            advice = "quotation marks hold the whole row: take them off"
        elif count < len(names):
            advice = "the row ends early: write the rest, or take it out"
        elif count == len(names) + 1 and ROW_NUMBER.match(first):
            advice = "each row seems to begin with its number (as R writes it): name a column for it in the header"
        else:
            advice = self._advice(text)
        return DataError(f"{where}: {count} values for {len(names)} columns ({', '.join(names)}); {advice}.")

    def _advice(self, text: str) -> str:
        """What to do about a row that does not come apart as it should."""
        sign = sign_name(self.header.delimiter)
        if len(text) > csv.field_size_limit():
            return "one value has as many characters: write one quote a row, and see that each quotation mark is closed"
        if self.header.mark == "'":
            return (
                "single quotation marks hold values here, as in the header: double ('') those that belong to the text"
            )
        if "\r" in text:
            return "there is a carriage return in it: write it as a line end, or as a space"
        if '\\"' in text:
            return 'there is a backslash before a quotation mark (\\"): CSV doubles the mark in its place ("")'
        if '"' in text:
            return 'a quotation mark has no partner: close it, and double ("") those that belong to the text'
        if any(mark in text for mark in CURLY):
            return f'typographic marks ({CURLY}) hold no value together: put straight ones (") around text with {sign}'
        if re.search(rf"(^|{re.escape(self.header.delimiter)})\s*'", text):
            return f'single quotation marks hold no value together: put double ones (") around text with {sign} in it'
        return f'put quotation marks (") around text that has {sign} in it'

    def _is_unquoted(self, taken: Sequence[tuple[int, str]]) -> bool:
        """Whether a row that csv cannot read is one of a tab-separated file whose quotation marks are text."""
        return (
            self.header.delimiter == "\t"
            and any('"' in line for _, line in taken)
            and taken[0][1].count("\t") + 1 == len(self.header.names)
        )

    def _unquoted(self, taken: Iterable[tuple[int, str]], lines: Lines) -> Iterator[tuple[int, list[str]]]:
        """The rest of a tab-separated file, a row a line."""
        for entries in (tuple(taken), lines):
            for number, line in entries:
                self.notes.is_unquoted_from = self.notes.is_unquoted_from or number
                values = [self._unmarked(value, number) for value in line.split("\t")]
                if not line.strip():
                    continue
                if len(values) != len(self.header.names):
                    raise self._wrong_width([(number, line)], len(values))
                if self._is_row(values, number):
                    yield number, values

    def _unmarked(self, value: str, number: int) -> str:
        """A value without quotation marks that hold the whole of it, as csv reads it. Raises: DataError for others."""
        inner = value.strip()[1:-1]
        if value.strip() != f'"{inner}"' or (inner.count('"') and '"' in inner.replace('""', "")):
            return value
        if '"' in inner:
            raise DataError(
                f"{self.path}:{number}: quotation marks hold this value and are text in line"
                f" {self.notes.is_unquoted_from}; write them around values that begin with one, everywhere or nowhere."
            )
        return inner
