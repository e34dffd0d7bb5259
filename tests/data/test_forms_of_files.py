"""Two hundred forms of one set of quotes, as programs and hands write them: the very rows, or a line that applies."""

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
HUB_PAGE = {"features": [{"name": "keyword"}], "rows": [{"row_idx": n, "row": one} for n, one in enumerate(OBJECTS)]}
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
    "single marks, in the header too": ("a.csv", table(PLAIN, quotechar="'", quoting=csv.QUOTE_ALL), PLAIN),
    "single marks around a comma": ("a.csv", table(RICH, quotechar="'", quoting=csv.QUOTE_ALL), RICH),
    "marks around whole rows": ("a.csv", table([[table([row], ())[:-1]] for row in RICH], ["keyword,quote"]), RICH),
    "marks around rows": ("a.csv", "keyword,quote\n" + table([[",".join(row)] for row in PLAIN], ()), PLAIN),
    "tabs within values": ("a.csv", table([(k, t.replace(" ", "\t", 1)) for k, t in RICH]), RICH),
    "unit separators": ("a.csv", table(RICH, by="\x1f"), RICH),
    "line ends of two kinds": ("a.csv", table(HALVES[0]) + table(HALVES[1], (), lineterminator="\r\n"), RICH),
    "Org": ("a.org", "| keyword | quote |\n|---------+-------|\n" + lines(PLAIN, "| ", " |\n", " | "), PLAIN),
    "a frame": ("a.txt", "+----+--+\n" + lines([("keyword", "quote"), *PLAIN], "| ", " |\n+----+--+\n", " | "), PLAIN),
    "lines under .csv": ("a.csv", lines(RICH), RICH),
    "lines under .jsonl": ("a.jsonl", lines(RICH), RICH),
    "two colons": ("a.txt", lines(PLAIN, between=":: "), PLAIN),
    "a heading amid": ("a.txt", "keyword: quote\n" + lines(HALVES[0]) + "Keyword: Quote\n" + lines(HALVES[1]), RICH),
    # Columns.
    "a column without a name or values": ("a.csv", table(RICH, ("keyword", "quote", "")), RICH),
    "names with signs that do not show": ("a.csv", table(RICH, ("\u200bkey\u00adword", "quote\u200b")), RICH),
    "names with colons": ("a.csv", table(RICH, ("#keyword:", "quote:")), RICH),
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
    "nothing but a mark before lines": ("a.jsonl", "\n".join("\ufeff" + json.dumps(one) for one in OBJECTS), RICH),
    "line ends turned round": ("a.txt", lines(PLAIN, after="\n\r"), PLAIN),
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
    "rows as the hub's server gives them": ("a.json", json.dumps(HUB_PAGE), RICH),
    "rows beside other lists": ("a.json", json.dumps({"splits": ["train"], "rows": OBJECTS}), RICH),
    "rows three keys deep": ("a.json", json.dumps({"data": {"page": {"rows": OBJECTS, "number": 1}}}), RICH),
    "a row within a row": ("a.jsonl", "\n".join(json.dumps({"id": 1, "row": one}) for one in OBJECTS), RICH),
    "columns below a key": ("a.json", json.dumps({"train": {n: [o[n] for o in OBJECTS] for n in OBJECTS[0]}}), RICH),
    "arrays one behind the other": ("a.json", json.dumps(OBJECTS[:9]) + "\n" + json.dumps(OBJECTS[9:]), RICH),
    "texts": ("a.json", json.dumps([f"{k}: {t}" for k, t in RICH]), RICH),
    "a text a line": ("a.jsonl", "\n".join(json.dumps(f"{k}: {t}") for k, t in RICH), RICH),
}  # fmt: skip

REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "single marks": ("a.csv", "keyword,quote\n" + "'love','a, b'\n", "single quotation marks hold no value"),
    "single marks that end early": ("a.csv", "'keyword','quote'\n" + "'love','it's a'\n", "double ('') those"),
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
    "cut within a letter": (
        "a.txt",
        (lines(RICH) + "love: größe").encode()[:-2],
        "a.txt:31: the file ends within a character of UTF-8",
    ),
    "half a pair": ("a.txt", "love: \ud83d\ude00 a".encode("utf-8", "surrogatepass"), "half of a surrogate pair"),
    "ISO-2022-JP": ("a.txt", "愛: 愛は美しい\n".encode("iso2022_jp"), "a.txt:1: an escape (U+001B)"),
    "a number that is no character": ("a.txt", "love: \ufffe a\n", "U+FFFE"),
    "NUL bytes at the end": ("a.csv", table(PLAIN) + "\0" * 64, "a.csv:32: a NUL byte, and nothing else up to the end"),
    "a NUL byte amid": ("a.csv", table(PLAIN).replace("waits", "wa\0its", 1), "a.csv:2: a NUL byte, which no text"),
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
    "a comma too many": ("a.jsonl", json.dumps(OBJECTS[0])[:-1] + ",}", "a comma before a closing bracket"),
    "a comma at the end of an array": (
        "a.json",
        json.dumps(OBJECTS, indent=1)[:-2] + ",\n]",
        "a.json:122: not a JSON object (a comma before",
    ),
    "comments": ("a.json", "// mine\n" + json.dumps(OBJECTS), "a comment, at character 1: JSON has none"),
    "a tab in a text": ("a.jsonl", '{"keyword": "love", "quote": "a\tb"}', "it is \\t or \\n in JSON"),
    "an array cut off": ("a.json", json.dumps(OBJECTS)[:-1], "it ends early"),
    "a quote a key": ("a.json", '{"love": "a", "hope": "b"}', "write these keys in each object"),
    "an object of YAML": (
        "a.yml",
        "- {keyword: love, quote: a}\n",
        "an object as YAML or JavaScript has them",
    ),
    "an object of JavaScript": ("a.txt", "{keyword: 'love', quote: 'a'}\n", "an object as YAML or JavaScript has them"),
    "a page": ("a.jsonl", "<!DOCTYPE html>\n<html>404</html>", "a.jsonl: is a page in HTML or XML"),
    "XML": ("a.xml", "<?xml version='1.0'?>\n<quotes/>", "a.xml: is a page in HTML or XML"),
    "a pointer": ("a.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "run 'git lfs pull'"),
    "a conflict": (
        "a.csv",
        table(HALVES[0]) + "<<<<<<< HEAD\n" + table(HALVES[1], ()),
        "a.csv:17: a conflict mark of Git",
    ),
    "a conflict in lines": (
        "a.txt",
        lines(HALVES[0]) + "=======\n" + lines(HALVES[1]),
        "a.txt:16: a conflict mark of Git",
    ),
    "an address": ("a.txt", lines(PLAIN) + "https://example.org/a b\n", "a.txt:31: the ':' belongs to an address"),
    "a picture": ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a.txt: is a picture"),
    "a 7-Zip archive": ("a.csv", b"7z\xbc\xaf\x27\x1c\0\1", "is a 7-Zip archive"),
    "a tar archive": ("a.tar", bytes(257) + b"ustar\x0000", "is a tar archive"),
    "lines that end with U+2028": ("a.txt", lines(PLAIN, after="\u2028"), "a.txt:1: U+2028 inside the line"),
    "lines that end with U+0085": ("a.txt", lines(PLAIN, after="\x85"), "a.txt:1: U+0085 inside the line"),
    "lines that end with form feeds": ("a.txt", lines(PLAIN, after="\f"), "a.txt:1: U+000C inside the line"),
    "a value as long as a book": ("a.csv", table(PLAIN) + "love," + "x" * 140_000, "write one quote a row"),
    "colons between columns": (
        "a.csv",
        lines(PLAIN, "", "\n", "::").replace("love::", "keyword::quote\nlove::", 1),
        "'::' parts the columns",
    ),
    "columns of a width": ("a.txt", "keyword   quote\nlove      a\n", "'   ' parts the columns"),
    "another sign in the header": (
        "a.csv",
        "keyword,quote\n" + table(PLAIN, (), ";"),
        "';' parts this row, and ',' the header",
    ),
    "R's numbers without a name": ("a.csv", '"keyword","quote"\n"1","love","a"\n', "begin with its number"),
    "one row in marks": (
        "a.csv",
        table(PLAIN) + '"love,a"\n',
        "a.csv:32: 1 values for 2 columns (keyword, quote); quotation marks hold the whole row",
    ),
    "a header over two lines": (
        "a.csv",
        '"keyword\n(a word)",quote\nlove,a\n',
        "a quotation mark in the header has no partner",
    ),
    "Spanish names": ("a.csv", table(RICH, ("palabra", "cita")), "add --columns keyword=palabra,quote=cita"),
    "names of no language known": (
        "a.csv",
        table(RICH, ("sana", "mietelmä")),
        "add --columns 'keyword=sana,quote=mietelmä'",
    ),
    "a misspelt name": ("a.csv", table(RICH, ("keywrod", "quote")), "add --columns keyword=keywrod"),
    "a letter of another alphabet": (
        "a.csv",
        table(RICH, ("keywоrd", "quote")),
        "if 'keywоrd' is the keyword of 'quote'",
    ),
    "N/A": ("a.csv", table([*PLAIN, ("love", "N/A")]), "a.csv:32: the quote is N/A"),
    "Excel's line and nothing": ("a.csv", "sep=;\n", "there is no quote in it"),
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
        (lines(PLAIN).replace("good", "<br>good"), "signs of HTML, such as <br>, stand in all 30 rows"),
        (lines(RICH).replace("größe", r"gr\u00f6\u00dfe"), r"signs of another program, such as \u00f6, stand in all"),
        (lines(RICH).replace("größe", "gr=C3=B6=C3=9Fe"), "signs of another program, such as =C3=B6, stand in all 30"),
        (lines(RICH).replace("größe", "liberté").encode("utf-7").decode(), "such as +IBM, stand in all 30 rows"),
        (lines(PLAIN, between=':"').replace(".\n", '."\n'), "quotation marks around the quote stand in all 30 rows"),
        (lines(PLAIN) + "love: None\n", "the quote is 'None' and no more in 1 of 31 rows"),
        ("".join(f"12:{n}: {text}\n" for n, (_, text) in enumerate(PLAIN)), "the keyword is a number in all 30 rows"),
        (lines(PLAIN, between=":: "), "a second ':' taken off in all 30 rows"),
        (lines(PLAIN).replace("hope:", "Keyword: Quote\nhope:"), "'Keyword: Quote' left out in line 2 and 5 more"),
        (table(PLAIN, quotechar="'", quoting=csv.QUOTE_ALL), "single quotation marks taken for those that hold values"),
        (table([[f"{k},{t}"] for k, t in PLAIN], ["keyword,quote"]), "marks around the whole row taken off in 30 rows"),
    ],
    ids=[
        *("a list", "marks that hold nothing", "numbers", "encoded twice", "HTML", "a column", "tags", "escapes"),
        *("mail", "UTF-7", "quotes in marks", "None", "times", "two colons", "headings", "single marks", "whole rows"),
    ],
)  # fmt: skip
def test_what_looks_wrong_and_could_be_meant_is_told(content: str, told: str, tmp_path: Path) -> None:
    notes = read_quotes(write(tmp_path, "a.txt", content)).notes
    assert [note for note in notes if told in note], notes


def test_letters_of_other_languages_are_not_taken_for_damage(tmp_path: Path) -> None:
    texts = ["IRMÃ E IRMÃO – é já", "Âme d’été", "Ðe Ñandú", "Größe – „so“", "naïve café Ö!", "Привет, мир", "日本語。"]
    found = read_quotes(write(tmp_path, "a.txt", lines([("love", text) for text in texts])))
    assert [quote.text for quote in found.quotes] == texts
    assert found.notes == ()
