"""The lines of a text file, whatever its encoding and its line ends, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.errors import DataError
from data.text_encoding import Encoding, find_encoding, has_nul

LONGEST_LINE = 2**20
"""A line of more characters is taken for something that is not text (assumed); it also bounds the memory of one."""

Lines = Iterator[tuple[int, str]]
OUT_OF_STEP = "\u0a00"  # a line feed in UTF-16 or UTF-32 whose bytes are swapped; no character has this number
MARK = "\ufeff"  # the byte-order mark; amid a file where files with one each were joined
BEFORE = f"{MARK}\r"  # a carriage return comes first where line ends are turned round (LF CR)


def read_lines(path: Path, encoding: Encoding | None = None, longest: int = LONGEST_LINE) -> Lines:
    """Number (from 1) and text of each line, without its end, byte-order mark or memory of the lines before.

    `encoding` is found where it is not given. Raises: DataError, naming the line.
    """
    encoding = encoding or find_encoding(path)
    try:
        with path.open(encoding=encoding.codec, newline=encoding.line_end) as file:
            number = 0
            while line := file.readline(longest + 1):
                number += 1
                if len(line) > longest:
                    raise DataError(
                        f"{path}:{number}: the line is longer than {longest:,} characters; write one quote a line."
                    )
                if "\0" in line:
                    raise has_nul(f"{path}:{number}", ends_so=not line.strip("\0"))
                if OUT_OF_STEP in line:
                    raise DataError(
                        f"{path}:{number}: its bytes are out of step from here or before; get a whole copy."
                    )
                yield number, line.lstrip(BEFORE).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:  # what changed since its encoding was found
        raise DataError(f"{path}: cannot be read ({error}); see that nothing writes to it.") from None


def beginning(path: Path, encoding: Encoding) -> str:
    """The first characters of a file that are no space; '' where there are none within the first thousands."""
    with path.open(encoding=encoding.codec, newline="") as file:
        return file.read(4_096).lstrip(f"{MARK} \t\r\n")
