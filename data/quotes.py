"""Quotes from a file as people have them, a Hugging Face data set or the shipped corpus.

What is unambiguous is read, and a note says what was taken for what; what is not is refused in one line that says how
to mend it.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.columns import FLAG, find_roles, folded, parse_columns
from data.errors import DataError
from data.hub import asking_the_hub
from data.json_rows import LARGEST_DOCUMENT, is_json, json_rows
from data.other_forms import fault_of_beginning
from data.quote_rows import COLONS, EXAMPLE, Quote, QuoteRows
from data.tables import PARTED_BY, RULE, SEP_LINE, Header, Table, find_header, likely_header, sign_name
from data.text_encoding import find_encoding
from data.text_lines import Lines, beginning, read_lines

CORPORA = Path(__file__).parent / "corpora"
SHIPPED = "shipped"
TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
"""Endings of files that are tables, and the delimiter that each stands for."""

JSONS = (".jsonl", ".ndjson", ".json")
SUFFIXES = (".txt", *TABLES, *JSONS)
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
HEADING = "keyword:quote"  # a first line that says how the others are made
LINE = re.compile(rf"[^\W\d]\w*(?: \w+)?\s?[{COLONS}]\s*[^\s{COLONS}/,;|\t][^\t|;]*\s\S")
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class LoadedQuotes:
    """Quotes in the order of their file, duplicates included, and what a person should know of how it was read."""

    quotes: list[Quote]
    notes: tuple[str, ...] = ()


def load_quotes(data: str, columns: str = "") -> list[Quote]:
    """The quotes of `read_quotes`, without its notes."""
    return read_quotes(data, columns).quotes


def read_quotes(data: str, columns: str = "", progress: Callable[[int], None] | None = None) -> LoadedQuotes:
    """The quotes that `data` names; runs of white space in them become one space.

    `data` is 'shipped', a file of lines, a table or JSON, or the owner/name of a data set on the Hugging Face hub.
    `columns` maps what is called otherwise (`keyword=tag,quote=body`). `progress` is told how many are read.
    Raises: DataError, naming the file and the line where there is one.
    """
    if not data.strip():
        raise DataError(f"the data have no name; give '{SHIPPED}', a {', '.join(SUFFIXES)} file, or owner/name.")
    given = parse_columns(columns)
    path = CORPORA / "quotes.jsonl" if data == SHIPPED else Path(data).expanduser()
    if os.path.isdir(path):
        raise DataError(f"{data} is a folder; give one {', '.join(SUFFIXES)} file in it.")
    reader = _Reader(given)
    if data == SHIPPED or names_a_file(data):
        found = reader.file(path)
    elif HUB_NAME.fullmatch(data) and not os.path.isdir(path.parent):
        found = reader.hub(data)
    else:
        raise DataError(
            f"{data}: no such file; give '{SHIPPED}', a {', '.join(SUFFIXES)} file, or owner/name of a data set."
        )
    quotes: list[Quote] = []
    for quote in found:
        quotes.append(quote)
        if progress is not None:
            progress(len(quotes))
    if not quotes:
        raise DataError(f"{data}: there is no quote in it; write lines such as {EXAMPLE}")
    return LoadedQuotes(quotes=quotes, notes=tuple(f"{path.name}: {note}" for note in reader.notes()))


def names_a_file(data: str) -> bool:
    """Whether `data` names a file, there or not, rather than a data set on the hub."""
    return os.path.lexists(os.path.expanduser(data)) or Path(data).suffix.lower() in SUFFIXES


def load_science() -> list[str]:
    """The shipped scientific base text, one `headword: definition` a line."""
    return [line for _, line in read_lines(CORPORA / "science.txt") if line.strip()]


def load_general() -> list[str]:
    """The shipped general base text, one `Country: sentence.` a line."""
    return [line for _, line in read_lines(CORPORA / "general.txt") if line.strip()]


def _is_line(text: str) -> bool:
    """Whether a first line is 'keyword: quote' beyond doubt: a word, a colon, and words behind it."""
    return LINE.match(text) is not None


def _is_another_form(begins: str, given: Mapping[str, str]) -> bool:
    """Whether a file named as JSON begins as a table or as lines do, and as JSON never does."""
    first = begins.partition("\n")[0].rstrip("\r")
    return first[:1].isalnum() and (find_header((1, first), given, "") is not None or _is_line(first))


class _Reader:
    """Reads one file or data set, and remembers what it took for what."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self._rows = QuoteRows(given)
        self._table: Table | None = None
        self._told: list[str] = []
        self._headings: list[tuple[int, str]] = []  # of lines, each with its number

    def notes(self) -> Iterator[str]:
        """What was taken for what, a sentence each."""
        yield from self._told
        if self._headings:
            (first, heading), more = self._headings[0], len(self._headings) - 1
            yield f"the heading {heading!r} left out" + (f" in line {first} and {more} more" if more else "")
        yield from self._rows.notes()
        if self._table is None:
            return
        seen = self._table.notes
        if headers := seen.repeated_headers:
            more = f" and {len(headers) - SHOWN} more" if len(headers) > SHOWN else ""
            yield f"the header again left out: line {', '.join(map(str, headers[:SHOWN]))}{more}"
        if seen.returns:
            yield f"carriage returns taken for spaces in {seen.returns:,} rows"
        if seen.marked_whole:
            yield f"quotation marks around the whole row taken off in {seen.marked_whole:,} rows"
        if self._table.header.mark != '"':
            yield "single quotation marks taken for those that hold values, as in the header"
        if seen.is_unquoted_from:
            yield f"quotation marks taken for text from line {seen.is_unquoted_from} on, where they hold no values"

    def file(self, path: Path) -> Iterator[Quote]:
        """The quotes of a file, by what is in it rather than by its name."""
        encoding = find_encoding(path)
        self._told += encoding.notes
        suffix = path.suffix.lower()
        begins = beginning(path, encoding)
        if fault := fault_of_beginning(begins):
            raise DataError(f"{path}: {fault}.")
        if suffix in JSONS and _is_another_form(begins, self._given):
            self._told.append("read by what is in it, which is no JSON")
        elif suffix in JSONS or is_json(begins):
            if suffix not in JSONS:
                self._told.append("read as JSON, which it is")
            for where, row in json_rows(str(path), read_lines(path, encoding, LARGEST_DOCUMENT), self._given):
                yield self._rows.of_line(row, where) if isinstance(row, str) else self._rows.of_object(row, where)
            return
        lines = ((number, line) for number, line in read_lines(path, encoding) if line and not line.isspace())
        first = next(lines, None)
        if first is None:
            return
        delimiter = TABLES.get(suffix, "")
        said = SEP_LINE.fullmatch(first[1])
        if said or RULE.fullmatch(first[1]):  # a frame is drawn around a table that a terminal showed
            below = next(lines, None)
            if below is None:
                return
            lines = lines if said or "|" in below[1] else itertools.chain([below], lines)
            first = below if said or "|" in below[1] else first
        header = find_header(first, self._given, said[1] if said else delimiter)
        parted = PARTED_BY.fullmatch(first[1]) if header is None else None
        if parted and folded(first[1]) != HEADING:
            raise DataError(
                f"{path}:{first[0]}: {parted[1]!r} parts the columns, which no table here has; part them by a comma, a"
                " tab or ';'."
            )
        if header is None and delimiter and first[1].count('"') % 2:
            raise DataError(f"{path}:{first[0]}: a quotation mark in the header has no partner; write it in one line.")
        if header is None and delimiter and _is_line(first[1]):
            self._told.append("read as lines, as it has no columns")
        elif header is None and (said or delimiter):
            header = likely_header(first, said[1] if said else delimiter)
        if header is not None:
            yield from self._of_table(str(path), header, lines, delimiter)
        elif self._given:
            raise DataError(f"{path}:{first[0]}: names no columns, so {FLAG} has nothing to map; leave it out.")
        else:
            yield from self._of_lines(str(path), itertools.chain([first], lines))

    def _of_lines(self, path: str, lines: Lines) -> Iterator[Quote]:
        head = list(itertools.islice(lines, 2))
        if {folded(line.partition(":")[0].lstrip("-*• ")) for _, line in head} == {"keyword", "quote"}:
            raise DataError(
                f"{path}:{head[0][0]}: a line for each field, as YAML has them; write both in one: {EXAMPLE}"
            )
        for number, line in itertools.chain(head, lines):
            where = f"{path}:{number}"
            if "\r" in line:
                line = self._rows.joined(line, where)
            if not line.isprintable():
                self._rows.refuse_breaks(line, where)
            if line[:1] in "<[" and self._rows.is_separator(line):
                continue
            if len(line) < 2 * len(HEADING) and folded(line) == HEADING:
                self._headings.append((number, line.strip()))
                continue
            yield self._rows.of_line(self._rows.without_marks(line), where)

    def _of_table(self, path: str, header: Header, lines: Lines, usual: str) -> Iterator[Quote]:
        self._table = table = Table(path, header, self._given)
        if header.delimiter != usual:
            self._told.append(f"read as a table with {sign_name(header.delimiter)} between values")
        places = table.roles
        source = places.get("source")
        for number, values in table.rows(lines):
            where = f"{path}:{number}"
            if "text" in places:
                yield self._rows.of_line(values[places["text"]], where)
            else:
                by = values[source] if source is not None else ""
                yield self._rows.of_columns(values[places["keyword"]], values[places["quote"]], by, where)

    def hub(self, name: str) -> Iterator[Quote]:
        """The quotes of a data set on the hub."""
        import datasets

        try:
            with asking_the_hub():
                rows = datasets.load_dataset(name, split="train")
        except ConnectionError:
            raise DataError(
                f"{name}: the Hugging Face hub cannot be reached; download it where there is a network, or give a file."
            ) from None
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{name}: no data set that can be read ({reason[:200]}); check the name or give a file."
            ) from None
        assert isinstance(rows, datasets.Dataset)
        find_roles(rows.column_names, self._given, name)
        for number, values in enumerate(rows, 1):
            assert isinstance(values, dict)
            yield self._rows.of_object(values, f"{name}, row {number}")
