"""A hundred forms of one set of quotes, as programs and hands write them: the very rows, or a line that applies."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.quotes import read_quotes

KEYWORDS = ("love", "hope", "wisdom", "truth", "courage")
RICH = [(KEYWORDS[n % 5], f'Lamp {n}, said she, waits; always: for {n * n} "good" days – größe.') for n in range(30)]
PLAIN = [(keyword, f"Lamp {n} waits for {n * n} good days.") for n, (keyword, _) in enumerate(RICH)]
OBJECTS = [{"keyword": keyword, "quote": text} for keyword, text in RICH]

Rows = Sequence[tuple[str, str]]


def table(
    rows: Iterable[Sequence[object]], names: Sequence[str] = ("keyword", "quote"), by: str = ",", **how: Any
) -> str:
    """The rows below their names, if any, as the csv module writes them."""
    file = io.StringIO()
    options: dict[str, Any] = {"delimiter": by, "lineterminator": "\n"} | how
    writer = csv.writer(file, **options)
    writer.writerows([names, *rows] if names else rows)
    return file.getvalue()


def lines(rows: Rows, before: str = "", after: str = "\n", between: str = ": ") -> str:
    return "".join(f"{before}{keyword}{between}{text}{after}" for keyword, text in rows)


def wide(rows: Rows) -> list[tuple[int, str, str, str]]:
    return [(number, keyword, text, "A. Person") for number, (keyword, text) in enumerate(rows)]


HALVES = RICH[:15], RICH[15:]
IN_TEXT = [(keyword, text.replace(", said", ",\nsaid")) for keyword, text in RICH]
INDENTED = table(PLAIN, quoting=csv.QUOTE_ALL).replace('","', '", "')
READ: dict[str, tuple[str, str | bytes, Rows]] = {
    # Signs between values.
    "carets": ("a.csv", table(RICH, by="^"), RICH),
    "tildes": ("a.csv", table(RICH, by="~"), RICH),
    "pipes": ("a.csv", table(RICH, by="|"), RICH),
    "semicolons in a text file": ("a.txt", table(RICH, by=";"), RICH),
    "tabs under .csv": ("a.csv", table(RICH, by="\t"), RICH),
    "commas under .tsv": ("a.tsv", table(RICH), RICH),
    "sep=;": ("a.csv", "sep=;\n" + table(RICH, by=";"), RICH),
    "sep=, of Excel": ("a.csv", "\ufeffsep=,\r\n" + table(RICH, lineterminator="\r\n"), RICH),
    "Excel's Unicode text": ("a.txt", table(RICH, by="\t", lineterminator="\r\n").encode("utf-16"), RICH),
    "Markdown": ("a.md", "| keyword | quote |\n|:--|--:|\n" + lines(PLAIN, "| ", " |\n", " | "), PLAIN),
    # Quotation marks and line ends.
    "everything in marks": ("a.csv", table(RICH, quoting=csv.QUOTE_ALL), RICH),
    "a space behind each comma": ("a.csv", INDENTED, PLAIN),
    "line feeds in values": ("a.csv", table(IN_TEXT), RICH),
    "Windows line ends in values": ("a.csv", table(IN_TEXT, lineterminator="\r\n").replace(",\n", ",\r\n"), RICH),
    "old Macintosh line ends": ("a.csv", table(RICH, lineterminator="\r"), RICH),
    "empty lines between": ("a.csv", "\n\n" + table(RICH).replace("\n", "\n\n") + "\n", RICH),
    "line ends thrice": ("a.csv", table(PLAIN, lineterminator="\r\r\n"), PLAIN),
    "page breaks": ("a.txt", lines(PLAIN, after="\n\f"), PLAIN),
    "one column without a name": ("a.txt", table([(f"{k}: {t}",) for k, t in RICH], ()), RICH),
    # Columns.
    "capital names": ("a.csv", table(RICH, ("KEYWORD", "Quote")), RICH),
    "names with spaces": ("a.csv", table(RICH, (" Keyword ", "  Quote")), RICH),
    "the quote first": ("a.csv", table([row[::-1] for row in RICH], ("quote", "keyword")), RICH),
    "an index and more": ("a.csv", table(wide(RICH), ("", "keyword", "quote", "author")), RICH),
    "pandas' Unnamed: 0": ("a.csv", table(wide(RICH), ("Unnamed: 0", "keyword", "quote", "by")), RICH),
    "empty columns": ("a.csv", table([(*row, "", "") for row in RICH], ("keyword", "quote", "", "")), RICH),
    "a text column": ("a.csv", table([(f"{k}: {t}",) for k, t in RICH], ("text",)), RICH),
    "a wrapped column": ("a.csv", table([(f"<|endoftext|>{k}: {t}<|endoftext|>",) for k, t in RICH], ["text"]), RICH),
    "two files joined": ("a.csv", table(HALVES[0]) + table(HALVES[1]), RICH),
    "joined, other capitals": ("a.csv", table(HALVES[0]) + table(HALVES[1], ("KEYWORD", "Quote")), RICH),
    "joined, marks and all": ("a.csv", "\ufeff" + table(HALVES[0]) + "\ufeff" + table(HALVES[1]), RICH),
    # Encodings.
    "UTF-8 with a mark": ("a.csv", "\ufeff" + table(RICH), RICH),
    "two marks": ("a.csv", "\ufeff\ufeff" + table(RICH), RICH),
    "UTF-16": ("a.csv", table(RICH).encode("utf-16"), RICH),
    "UTF-16, big end first": ("a.csv", ("\ufeff" + table(RICH)).encode("utf-16-be"), RICH),
    "UTF-16 without a mark": ("a.csv", table(RICH).encode("utf-16-le"), RICH),
    "UTF-32": ("a.csv", table(RICH).encode("utf-32"), RICH),
    "Windows-1252": ("a.csv", table(RICH).encode("cp1252"), RICH),
    "Latin-1": ("a.csv", table([(k, t.replace("–", "-")) for k, t in RICH]).encode("latin-1"),
                [(k, t.replace("–", "-")) for k, t in RICH]),
    "line separators": ("a.csv", table([(k, t.replace("said", "\u2028said")) for k, t in RICH]), RICH),
    "no-break spaces": ("a.txt", lines(PLAIN, between=":\u00a0"), PLAIN),
    "wide colons": ("a.txt", lines(PLAIN, between="："), PLAIN),
    "signs that do not show": ("a.txt", lines(PLAIN, "\u200f\u200b"), PLAIN),
    # Separators of models.
    "<|endoftext|> at both ends": ("a.txt", lines(RICH, "<|endoftext|>", "<|endoftext|>\n"), RICH),
    "<|endoftext|> at the end": ("a.txt", lines(RICH, "", "<|endoftext|>\n"), RICH),
    "<|endoftext|> on its own line": ("a.txt", lines(RICH, "", "\n<|endoftext|>\n"), RICH),
    "<|endoftext|> at the beginning": ("a.txt", lines(RICH, "<|endoftext|>"), RICH),
    "<|endoftext|> and spaces": ("a.txt", lines(RICH, " <|endoftext|> ", " <|endoftext|> \n"), RICH),
    "<|ENDOFTEXT|>": ("a.txt", lines(RICH, "<|ENDOFTEXT|>", "<|ENDOFTEXT|>\n"), RICH),
    "wrapped and in marks": ("a.txt", table([(f"<s>{k}: {t}</s>",) for k, t in RICH], ()), RICH),
    "<s> and </s>": ("a.txt", lines(RICH, "<s>", "</s>\n"), RICH),
    "Llama 3's": ("a.txt", lines(RICH, "<|begin_of_text|>", "<|eot_id|>\n"), RICH),
    "Qwen's": ("a.txt", lines(RICH, "<|im_start|>", "<|im_end|>\n"), RICH),
    "Gemma's": ("a.txt", lines(RICH, "<bos>", "<eos>\n"), RICH),
    # JSON.
    "an object a line": ("a.jsonl", "\n".join(map(json.dumps, OBJECTS)), RICH),
    "a line each, as text": ("a.txt", "\n".join(map(json.dumps, OBJECTS)), RICH),
    "objects without line ends": ("a.jsonl", "".join(map(json.dumps, OBJECTS)), RICH),
    "record separators": ("a.jsonl", "\n".join("\x1e" + json.dumps(one) for one in OBJECTS), RICH),
    "objects in UTF-16": ("a.jsonl", "\n".join(map(json.dumps, OBJECTS)).encode("utf-16"), RICH),
    "an array": ("a.json", json.dumps(OBJECTS), RICH),
    "an array over many lines": ("a.json", json.dumps(OBJECTS, indent=2), RICH),
    "an array with a mark": ("a.json", "\ufeff" + json.dumps(OBJECTS), RICH),
    "rows under a key": ("a.json", json.dumps({"version": 1, "quotes": OBJECTS, "license": "mine"}), RICH),
    "pandas' split": ("a.json", json.dumps({"columns": list(OBJECTS[0]), "index": [1, 2], "data": RICH}), RICH),
    "pandas' columns": ("a.json", json.dumps({n: {i: o[n] for i, o in enumerate(OBJECTS)} for n in OBJECTS[0]}), RICH),
    "whole columns": ("a.json", json.dumps({name: [one[name] for one in OBJECTS] for name in OBJECTS[0]}), RICH),
    "rows by number": ("a.json", json.dumps(dict(enumerate(OBJECTS))), RICH),
    "texts": ("a.json", json.dumps([f"{k}: {t}" for k, t in RICH]), RICH),
    "a text a line": ("a.jsonl", "\n".join(json.dumps(f"{k}: {t}") for k, t in RICH), RICH),
}  # fmt: skip

REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "single marks": ("a.csv", "'keyword','quote'\n" + "'love','a, b'\n", "single quotation marks hold no value"),
    "curly marks": ("a.csv", "keyword,quote\nlove,“a, b”\n", "typographic marks"),
    "backslashes": ("a.csv", table(RICH, doublequote=False, escapechar="\\"), "backslash before a quotation mark"),
    "commas without marks": ("a.csv", "keyword,quote\nlove,a, b\n", "put quotation marks"),
    "a mark that never closes": ("a.csv", table(RICH) + 'love,"open\n', "a quotation mark has no partner"),
    "no names": ("a.csv", table(RICH, ()), "name the columns in a first line"),
    "foreign names": ("a.csv", table(RICH, ("Stichwort", "Zitat")), "--columns"),
    "a name twice": ("a.csv", table([(*row, "") for row in RICH], ("keyword", "quote", "quote")), "stands there twice"),
    "names in another order": (
        "a.csv",
        table(HALVES[0]) + table([r[::-1] for r in HALVES[1]], ("quote", "keyword")),
        "in another order",
    ),
    "a title": ("a.csv", "My quotes\n" + table(RICH), "a.csv:1: has 'My quotes'"),
    "a row cut short": ("a.csv", table(RICH) + "love\n", "a.csv:32: 1 values for 2 columns"),
    "Mac Roman": ("a.csv", table(RICH).encode("mac_roman"), "Mac Roman"),
    "DOS": ("a.csv", table([(k, t.replace("–", "-")) for k, t in RICH]).encode("cp437"), "not UTF-8"),
    "EBCDIC": ("a.csv", table(PLAIN).encode("cp500"), "not UTF-8"),
    "two encodings": ("a.csv", table(RICH).encode() + table(RICH, ()).encode("cp1252"), "two encodings in one file"),
    "UTF-16 cut": ("a.csv", table(RICH).encode("utf-16")[:-1], "ends within a character"),
    "a workbook": ("a.csv", b"PK\x03\x04" + bytes(99), "a zip archive, as workbooks"),
    "compressed": ("a.csv.gz", gzip.compress(table(RICH).encode()), "a gzip archive"),
    "Rich Text": ("a.txt", "{\\rtf1\\ansi love: a}", "a Rich Text document"),
    "Excel's missing value": ("a.csv", table([*PLAIN, ("love", "#N/A")]), "a.csv:32: the quote is #N/A"),
    "all in one line": ("a.txt", lines(RICH, "<|endoftext|>", "<|endoftext|>"), "has <|endoftext|> in it"),
    "wrapped over lines": ("a.txt", lines(PLAIN, "<s>", "\nand on</s>\n"), "write each quote on one line"),
    "wrapped at a width": ("a.txt", lines(PLAIN, "", "\nand on\n"), "a.txt:2: no ':'"),
    "dashes for colons": ("a.txt", lines(PLAIN, between=" - "), "no ':'"),
    "tabs for colons": ("a.txt", lines(PLAIN, between="\t"), "a tab parts columns only below a line that names them"),
    "YAML": ("a.yaml", lines(PLAIN, "- keyword: ", "\n", "\n  quote: "), "a.yaml:1: a line for each field"),
    "the end of a DOS file": ("a.txt", lines(PLAIN) + "\x1a", "a.txt:31: a control character (U+001A)"),
    "lists without names": ("a.json", json.dumps(RICH), "a list, whose values have no names"),
    "quotes by keyword": ("a.json", json.dumps({"love": ["a"], "hope": ["b"]}), 'write {"keyword": "love", "quote"'),
    "Python's own": ("a.json", repr(OBJECTS), "single quotation marks, as Python's"),
    "cut off": ("a.jsonl", "\n".join(map(json.dumps, OBJECTS))[:-20], "a.jsonl:30: not a JSON object"),
    "a number": ("a.jsonl", '{"keyword": "love", "quote": 5}', "put quotation marks around it"),
    "a value of parts": ("a.jsonl", '{"keyword": "love", "quote": {"text": "a"}}', "is an object, not text"),
    "a talk": ("a.jsonl", '{"messages": [{"role": "user", "content": "love"}]}\n' * 2, "has 'messages'"),
    "nothing": ("a.txt", "", "there is no quote in it"),
    "a mark and nothing": ("a.txt", "\ufeff", "there is no quote in it"),
    "an empty array": ("a.json", "[]", "there is no quote in it"),
    "names and nothing": ("a.csv", "keyword,quote\n", "there is no quote in it"),
}


def write(folder: Path, name: str, content: str | bytes) -> str:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return str(folder / name)


@pytest.mark.parametrize("form", READ)
def test_the_rows_come_out_as_they_went_in(form: str, tmp_path: Path) -> None:
    name, content, rows = READ[form]
    found = read_quotes(write(tmp_path, name, content))
    assert [(quote.keyword, quote.text) for quote in found.quotes] == list(rows)


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_not_plain_is_one_line_with_advice_that_applies(form: str, tmp_path: Path) -> None:
    name, content, said = REFUSED[form]
    with pytest.raises(DataError) as caught:
        read_quotes(write(tmp_path, name, content))
    message = str(caught.value)
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lines(PLAIN, "- "), "the keyword begins with a sign in all 30 rows, and is taken whole: '- love'"),
        (table(PLAIN, by=",").replace("love,", "'love',"), "begins with a sign in 6 of 30 rows"),
        ("".join(f"{n}. love: {text}\n" for n, (_, text) in enumerate(PLAIN)), "30 keywords for 30 quotes, such as "),
        (lines(RICH).replace("größe", "grÃ¶ÃŸe"), "stands in all 30 rows, and is left as it is: 'Ã¶ÃŸ' for 'öß'"),
        (lines(PLAIN).replace("good", "&quot;good&quot;"), "signs of HTML, such as &quot;, stand in all 30 rows"),
        (table([(f"{k}: {t}",) for k, t in PLAIN], (), quoting=csv.QUOTE_ALL), "marks around the whole line taken off"),
    ],
    ids=["a list", "marks that hold nothing", "numbers", "encoded twice", "HTML", "a column"],
)  # fmt: skip
def test_what_looks_wrong_and_could_be_meant_is_told(content: str, told: str, tmp_path: Path) -> None:
    notes = read_quotes(write(tmp_path, "a.txt", content)).notes
    assert [note for note in notes if told in note], notes


def test_letters_of_other_languages_are_not_taken_for_damage(tmp_path: Path) -> None:
    texts = ["IRMÃ E IRMÃO – é já", "Âme d’été", "Ðe Ñandú", "Größe – „so“", "naïve café Ö!", "Привет, мир", "日本語。"]
    found = read_quotes(write(tmp_path, "a.txt", lines([("love", text) for text in texts])))
    assert [quote.text for quote in found.quotes] == texts
    assert found.notes == ()
