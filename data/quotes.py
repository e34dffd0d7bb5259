"""Quotes from a file, a Hugging Face data set or the shipped corpus; when they are wrong, one line that says how."""

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from data.errors import UserError

CORPORA = Path(__file__).parent / "corpora"
SHIPPED = "shipped"
SUFFIXES = (".txt", ".csv", ".jsonl")
SEPARATORS = ("<|endoftext|>", "</s>", "<s>", "<pad>")
COLUMNS = "'keyword' and 'quote' (and 'source' if you like), or a single 'text' holding 'keyword: quote'"
EXAMPLE = "'love: When love is not madness, it is not love.'"
LONGEST_LINE_BYTES = 2**20
"""A longer line is taken for something that is not text (assumed); it also bounds the memory that one line takes."""

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


class DataError(UserError):
    """A mistake in a person's data; the message is one line that says what, where and how to mend it."""


@dataclass(frozen=True, kw_only=True)
class Quote:
    """One quotation, the word it is filed under, and where it comes from."""

    keyword: str
    text: str
    source: str = ""

    @property
    def line(self) -> str:
        """The line that a model learns: `keyword: text`."""
        return f"{self.keyword}: {self.text}"


def load_quotes(data: str) -> list[Quote]:
    """The quotes that `data` names, in their order, duplicates included; runs of white space become one space.

    `data` is 'shipped', a .txt, .csv or .jsonl file, or the owner/name of a data set on the Hugging Face hub.
    Raises: DataError, naming the file and the line where there is one.
    """
    path = CORPORA / "quotes.jsonl" if data == SHIPPED else Path(data).expanduser()
    if os.path.isdir(path):
        raise DataError(f"{data} is a folder; give one {', '.join(SUFFIXES)} file in it.")
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        read = {".txt": _read_txt, ".csv": _read_csv, ".jsonl": _read_jsonl}[suffix]
        quotes = list(read(path))
    elif os.path.exists(path):
        raise DataError(f"{data}: files ending in '{suffix}' are not read; save it as one of {', '.join(SUFFIXES)}.")
    elif HUB_NAME.fullmatch(data) and not os.path.isdir(path.parent):
        quotes = list(_read_hub(data))
    else:
        raise DataError(
            f"{data}: no such file; give '{SHIPPED}', a {', '.join(SUFFIXES)} file, or owner/name of a data set."
        )
    if not quotes:
        raise DataError(f"{data}: there is no quote in it; write lines such as {EXAMPLE}")
    return quotes


def load_science() -> list[str]:
    """The shipped scientific base text, one `headword: definition` a line."""
    return [line for _, line in read_lines(CORPORA / "science.txt") if line.strip()]


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line, without its end, byte order mark or memory of the lines before."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    with file:
        number = 0
        while raw := _line(file, path):
            number += 1
            where = f"{path}:{number}"
            if b"\0" in raw:
                raise DataError(f"{where}: a NUL byte, so this is no text in UTF-8; save it as UTF-8 text.")
            if len(raw) > LONGEST_LINE_BYTES:
                raise DataError(f"{where}: the line is longer than {LONGEST_LINE_BYTES} bytes; write one quote a line.")
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError as error:
                byte = raw[error.start]
                raise DataError(f"{where}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8 text.") from None
            if "\r" in text:
                raise DataError(f"{where}: a carriage return inside the line; save it with Unix or Windows line ends.")
            yield number, text


def _line(file: BinaryIO, path: Path) -> bytes:
    try:
        return file.readline(LONGEST_LINE_BYTES + 1)
    except OSError as error:  # a file that can be opened and not read, as on a broken disk
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None


def _read_txt(path: Path) -> Iterator[Quote]:
    for number, line in read_lines(path):
        if line.strip():
            yield _from_line(line, f"{path}:{number}")


def _read_csv(path: Path) -> Iterator[Quote]:
    # The csv and json modules rather than `datasets`: its errors do not say in which line of the file they arose.
    reader = csv.reader((f"{line}\n" for _, line in read_lines(path)), strict=True)
    columns: list[str] = []
    while True:
        where = f"{path}:{reader.line_num + 1}"
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{where}: not CSV ({error}); put quotes around text that has commas in it.") from None
        if values is None:
            return
        if not any(value.strip() for value in values):
            continue
        if not columns:
            columns = [value.strip().lower() for value in values]
            _check_columns(columns, where)
        elif len(values) != len(columns):
            raise DataError(
                f"{where}: {len(values)} values for {len(columns)} columns ({', '.join(columns)}); "
                f"put quotes around text that has commas in it."
            )
        else:
            yield _from_mapping(dict(zip(columns, values, strict=True)), where)


def _read_jsonl(path: Path) -> Iterator[Quote]:
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise DataError(f'{where}: not a JSON object; write {{"keyword": "love", "quote": "…"}}.')
        _check_columns(values, where)
        yield _from_mapping(values, where)


def _read_hub(name: str) -> Iterator[Quote]:
    import datasets
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # Its retries would speak before our one line does.
    try:
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
    finally:
        logging.set_verbosity(verbosity)
    assert isinstance(rows, datasets.Dataset)
    _check_columns(rows.column_names, name)
    for number, values in enumerate(rows, 1):
        assert isinstance(values, dict)
        yield _from_mapping(values, f"{name}, row {number}")


def _check_columns(columns: Iterable[str], where: str) -> None:
    columns = list(columns)
    if "text" not in columns and not {"keyword", "quote"} <= set(columns):
        found = ", ".join(repr(column[:40]) for column in columns[:10]) or "none"
        raise DataError(f"{where}: has {found}, but needs {COLUMNS}.")


def _from_mapping(values: Mapping[str, Any], where: str) -> Quote:
    if "keyword" in values and "quote" in values:
        keyword, text = (_string(values, name, where) for name in ("keyword", "quote"))
        source = _string(values, "source", where) if values.get("source") is not None else ""
        return _checked(keyword, text, source, where)
    return _from_line(_string(values, "text", where), where)


def _string(values: Mapping[str, Any], name: str, where: str) -> str:
    value = values[name]
    if not isinstance(value, str):
        raise DataError(f"{where}: '{name}' is {type(value).__name__}, not text; put quotation marks around it.")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(f"{where}: '{name}' holds half of a surrogate pair, which no UTF-8 text can; remove it.")
    return value


def _from_line(line: str, where: str) -> Quote:
    _refuse_separators(line, where)  # first: a separator without a colon should be named for what it is
    keyword, colon, text = line.partition(":")
    if not colon:
        raise DataError(f"{where}: no ':' between keyword and quote; write {EXAMPLE}")
    return _checked(keyword, text, "", where)


def _checked(keyword: str, text: str, source: str, where: str) -> Quote:
    keyword, text, source = (" ".join(part.split()) for part in (keyword, text, source))
    _refuse_separators(f"{keyword} {text}", where)
    if not keyword:
        raise DataError(f"{where}: no keyword before the quote; write {EXAMPLE}")
    if not text:
        raise DataError(f"{where}: no quote after the keyword '{keyword[:40]}'; write {EXAMPLE}")
    if ":" in keyword:
        raise DataError(f"{where}: the keyword '{keyword[:40]}' has a ':' in it, which ends a keyword; remove it.")
    return Quote(keyword=keyword, text=text, source=source)


def _refuse_separators(line: str, where: str) -> None:
    for separator in SEPARATORS:
        if separator in line:
            raise DataError(f"{where}: has {separator} in it; remove it, the program adds separators itself.")
