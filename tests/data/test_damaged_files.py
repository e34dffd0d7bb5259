"""Files in every form that people have, and then damaged: the right rows come out, or one line says why none do."""

import csv
import io
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from data.errors import DataError
from data.quotes import LoadedQuotes, read_quotes

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))  # of each test; 2,000 now and then
KEYWORDS = ("hope", "love", "time", "wisdom", "liberté")
NOUNS = ("lamp", "river", "clock", "garden", "moss", "bridge", "élan", "door")
VERBS = ("waits for", "forgets", "carries", "answers", "outlives")
TAILS = ("", ", and waits", "; so it goes", ' "as they say"', ": always")
PIECES = (
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b",",
    b";",
    b"\t",
    b":",
    b"\\",
    b"{",
    b"]",
    b"\xff",
    b'""',
    b"</s>",
    b"<|endoftext|>",
)
PIECES += (
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\x0c",
    b"\x1b",
    b"://",
    b"::",
    b"||",
    b"|--|\n",
    b"<<<<<<< a\n",
    b"keyword: quote\n",
    b"</b>",
)
PIECES += (b"keyword,quote\n", b"\xef\xbb\xbf", b"null", b"\xc3", b"a: b\n", b'"\n', b"'")

Row = tuple[str, str]
MARKS = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}  # codecs that begin with a mark


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that holds `rows`: each in a piece of its own, between a first and a last piece."""

    name: str
    rows: tuple[Row, ...]
    pieces: tuple[bytes, ...]


@st.composite
def rows_of_quotes(draw: st.DrawFn) -> tuple[Row, ...]:
    """Two to a dozen rows, in which no text stands twice."""
    words = st.tuples(*map(st.sampled_from, (KEYWORDS, NOUNS, VERBS, NOUNS)))
    drawn = draw(st.lists(words, min_size=2, max_size=12))
    tail = draw(st.sampled_from(TAILS))
    return tuple(
        (keyword, f"The {one} {verb} the {two} in night {number}{tail}.")
        for number, (keyword, one, verb, two) in enumerate(drawn)
    )


def table_row(values: Sequence[str], end: str, delimiter: str, mark: str, *, all_quoted: bool) -> str:
    file = io.StringIO()
    quoting = csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting, quotechar=mark).writerow(values)
    return file.getvalue()


@st.composite
def files(draw: st.DrawFn) -> File:
    """A file in some form that is read."""
    rows = draw(rows_of_quotes())
    end = draw(st.sampled_from(["\n", "\r\n"]))
    kind = draw(st.sampled_from(["lines", "table", "JSON lines", "JSON array"]))
    first = last = ""
    if kind == "lines":
        before, after = draw(
            st.sampled_from([("", ""), ("<|endoftext|>", "<|endoftext|>"), ("<s>", "</s>"), ("", "</s>")])
        )
        texts, suffix = [f"{before}{keyword}: {text}{after}{end}" for keyword, text in rows], "txt"
    elif kind == "table":
        delimiter, all_quoted = draw(st.sampled_from([",", ";", "\t", "|"])), draw(st.booleans())
        mark = draw(st.sampled_from("\"'")) if all_quoted else '"'
        whole = (("Keyword", "Quote"), *rows)
        first, *texts = [table_row(row, end, delimiter, mark, all_quoted=all_quoted) for row in whole]
        suffix = draw(st.sampled_from(["csv", "tsv", "txt"]))
    else:
        is_array = kind == "JSON array"
        comma = "," if is_array else ""
        texts = [json.dumps({"keyword": k, "quote": t}, ensure_ascii=False) + comma + end for k, t in rows]
        if is_array:
            first, texts[-1], last = f"[{end}", texts[-1].replace(f",{end}", end), "]"
        suffix = "json"
    codec = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]))
    plain = MARKS.get(codec, codec)
    mark = "\ufeff".encode(plain) if codec in MARKS else b""
    pieces = (mark + first.encode(plain), *(text.encode(plain) for text in texts), last.encode(plain))
    return File(name=f"quotes.{suffix}", rows=rows, pieces=pieces)


Origin = tuple[int, int]  # of a byte: its piece, and its place there


def places_of(pieces: Sequence[bytes]) -> list[tuple[int, Origin | None]]:
    return [(byte, (piece, place)) for piece, content in enumerate(pieces) for place, byte in enumerate(content)]


@st.composite
def damaged(draw: st.DrawFn, file: File) -> list[tuple[int, Origin | None]]:
    """The file's bytes, with one to three pieces changed, lost, doubled or put in, or the rest cut off."""
    content = places_of(file.pieces)
    for _ in range(draw(st.integers(1, 3))):
        if not content:
            break
        start = draw(st.integers(0, len(content) - 1))
        end = draw(st.integers(start + 1, min(len(content), start + 40)))
        anything = st.one_of(st.sampled_from(PIECES), st.binary(min_size=1, max_size=3))
        put_in: list[tuple[int, Origin | None]] = [(byte, None) for byte in draw(anything)]
        kind = draw(st.sampled_from(["change", "put in", "lose", "double", "cut"]))
        if kind == "change":
            content[start : start + len(put_in)] = put_in
        elif kind == "put in":
            content[start:start] = put_in
        elif kind == "double":
            content[start:start] = [(byte, None) for byte, _ in content[start:end]]
        else:
            del content[start : end if kind == "lose" else None]
    return content


def untouched(file: File, content: Sequence[tuple[int, Origin | None]]) -> list[int]:
    """The rows whose bytes all stand together as they did, behind the character that they stood behind."""
    at = {origin: place for place, (_, origin) in enumerate(content) if origin is not None}
    whole = []
    for piece in range(1, len(file.rows) + 1):
        length = len(file.pieces[piece - 1])
        before = [(piece - 1, place) for place in range(max(0, length - 4), length)]
        origins = before + [(piece, place) for place in range(len(file.pieces[piece]))]
        places = [at.get(origin, -1) for origin in origins]
        begins_well = places[0] == 0 if piece == 1 and length <= 4 else places[0] >= 0  # at most a mark before it
        if begins_well and places == list(range(places[0], places[0] + len(places))):
            whole.append(piece - 1)
    return whole


def read(name: str, content: bytes) -> LoadedQuotes | str:
    """What is read, or the line of a refusal."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        try:
            return read_quotes(str(file))
        except DataError as error:
            return str(error).replace(f"{folder}{os.sep}", "")


@settings(max_examples=EXAMPLES)
@given(files())
def test_every_form_of_a_file_gives_its_rows(file: File) -> None:
    found = read(file.name, b"".join(file.pieces))
    assert isinstance(found, LoadedQuotes), found
    assert [(quote.keyword, quote.text) for quote in found.quotes] == list(file.rows)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_damaged_file_gives_every_row_that_is_whole_or_one_line(data: st.DataObject) -> None:
    file = data.draw(files())
    content = data.draw(damaged(file))
    damaged_bytes = bytes(byte for byte, _ in content)
    assume(damaged_bytes != b"".join(file.pieces))
    found = read(file.name, damaged_bytes)
    if isinstance(found, str):
        assert found.startswith(file.name)
        assert "\n" not in found
        return
    rows = [(quote.keyword, quote.text) for quote in found.quotes]
    whole = [file.rows[number] for number in untouched(file, content)]
    if not any("are taken for the keyword" in note for note in found.notes):
        others = list(rows)
        for row in whole:
            assert row in others, f"{row} is not among {rows}"
            others.remove(row)
        assert len(others) <= len(file.rows) - len(whole) + 3
    assert not any(text in other and text != other for _, text in whole for _, other in rows)
