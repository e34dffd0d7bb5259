import json
from pathlib import Path
from typing import Any

import datasets
import pandas
import pytest

from data.errors import DataError
from data.quotes import Quote, load_quotes, read_quotes

ROWS = [{"keyword": "hope", "quote": "The lamp waits."}, {"keyword": "love", "quote": "Stay; it rains.\nStay."}]
QUOTES = [Quote(keyword="hope", text="The lamp waits."), Quote(keyword="love", text="Stay; it rains. Stay.")]
LINES = ["hope: The lamp waits.", "love: Stay; it rains. Stay."]
FRAME = pandas.DataFrame(ROWS)


def write(folder: Path, content: str, name: str = "quotes.json") -> str:
    file = folder / name
    file.write_bytes(content.encode())
    return str(file)


def refusal(data: str, columns: str = "") -> str:
    with pytest.raises(DataError) as caught:
        read_quotes(data, columns)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(data)


SHAPES: dict[str, str] = {
    "array": json.dumps(ROWS),
    "array, indented": json.dumps(ROWS, indent=2),
    "array, a row a line": "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
    "objects one behind the other": "".join(map(json.dumps, ROWS)),
    "objects, indented, as jq writes them": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "lines": "\n".join(map(json.dumps, ROWS)),
    "lines with a comma after each": ",\n".join(map(json.dumps, ROWS)) + ",\n",
    "windows line ends and a mark": "\ufeff" + "\r\n".join(map(json.dumps, ROWS)) + "\r\n",
    "under a key": json.dumps({"version": 2, "quotes": ROWS}),
    "under a key, indented": json.dumps({"data": ROWS, "licence": "none"}, indent=1),
    "columns": json.dumps({"keyword": [r["keyword"] for r in ROWS], "quote": [r["quote"] for r in ROWS]}),
    "lists below names": json.dumps([["Keyword", "quote"], *(list(row.values()) for row in ROWS)]),
    "text": json.dumps([{"text": line} for line in LINES]),
    "texts": json.dumps(LINES, indent=0),
    "a text a line": "\n".join(map(json.dumps, LINES)),
    "keys in another case": json.dumps([{key.title(): value for key, value in row.items()} for row in ROWS]),
    **{f"pandas, {orient}": str(FRAME.to_json(orient=orient)) for orient in ("records", "columns", "index", "split")},
    "pandas, table": str(FRAME.to_json(orient="table")),
    "pandas, lines": str(FRAME.to_json(orient="records", lines=True)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["quotes.json", "quotes.jsonl", "quotes.ndjson", "quotes.txt"])
def test_json_is_read_in_every_shape_whatever_its_name(tmp_path: Path, shape: str, name: str) -> None:
    if shape == "a text a line" and name == "quotes.txt":
        return  # lines of text in quotation marks: that they are JSON does not show
    read = read_quotes(write(tmp_path, SHAPES[shape], name))
    assert read.quotes == QUOTES
    assert read.notes == (("quotes.txt: read as JSON, which it is",) if name == "quotes.txt" else ())


def test_what_datasets_writes_is_read(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).to_json(tmp_path / "quotes.json")
    assert load_quotes(str(tmp_path / "quotes.json")) == QUOTES


def test_document_longer_than_a_line_may_be_is_read(tmp_path: Path) -> None:
    rows = [{"keyword": "hope", "quote": f"The lamp waits for {number} nights."} for number in range(20_000)]
    content = json.dumps(rows)
    assert len(content) > 2**20
    assert len(load_quotes(write(tmp_path, content))) == 20_000


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("null", "'quote' is null, that is, missing; write the quote, or take the row out."),
        ("NaN", "'quote' is NaN, that is, missing; write the quote, or take the row out."),
        ('"None"', "'quote' is None, that is, missing; write the quote, or take the row out."),
        ("3", "'quote' is a number, not text; put quotation marks around it."),
        ("true", "'quote' is true or false, not text; put quotation marks around it."),
        ('["a"]', "'quote' is a list, not text; write one text."),
        ('{"a": 1}', "'quote' is an object, not text; write one text."),
        ('""', "no quote after the keyword 'hope'; write it, or take the row out"),
    ],
)
def test_value_that_is_no_text_is_named_with_its_place(tmp_path: Path, value: str, said: str) -> None:
    good, bad = '{"keyword": "hope", "quote": "a"}', f'{{"keyword": "hope", "quote": {value}}}'
    assert refusal(write(tmp_path, f"{good}\n\n{bad}\n")) == f":3: {said}"
    assert refusal(write(tmp_path, f"[{good}, {bad}]")) == f", entry 2: {said}"


def test_list_of_keywords_is_taken_whole_where_a_person_asks_for_it(tmp_path: Path) -> None:
    content = json.dumps([{"quote": "The lamp waits.", "tags": ["hope", "life"]}])
    read = read_quotes(write(tmp_path, content), "keyword=tags")
    assert read.quotes == [Quote(keyword="hope, life", text="The lamp waits.")]
    assert "looks like several in all 1 rows, and is taken whole: 'hope, life'" in read.notes[0]
    assert "'keyword' is a list, not text" in refusal(write(tmp_path, '[{"keyword": ["a"], "quote": "b"}]'))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"keyword": "a", "quote": "b", "quote": "c"}', "the key 'quote' stands twice in one object"),
        ('{"Keyword": "a", "quote": "b", "Quote": "c"}', "the column 'quote' stands there twice"),
        ("{'keyword': 'a', 'quote': 'b'}", "it has single quotation marks, as Python's; JSON has double ones"),
        ('{"keyword": "a", "quote": "b"', "not a JSON object (it ends early, at character 30: get a whole copy)"),
        ('{"keyword": "a", "quote": "b}', "not a JSON object (Unterminated string starting at, at character 27)"),
        ("3", "not a JSON object, but a number"),
        ("[1]", "entry 1: not a JSON object, but a number"),
        ('[["hope", "a"]]', "entry 1: a list, whose values have no names"),
        ('[["keyword", "quote"], ["hope"]]', "entry 2: 1 values for 2 columns (keyword, quote)"),
        ('{"train": [{"text": "a: b"}], "test": [{"text": "c: d"}]}', "has rows in 'train', 'test'"),
        ('{"keyword": ["a", "b"], "quote": ["c"]}', "its columns differ in length or order (2 in 'keyword', 1 in"),
        ('{"prompt": "a", "completion": "b"}', "add --columns keyword=prompt,quote=completion"),
        ('[{"prompt": "a", "completion": "b"}]', "add --columns keyword=prompt,quote=completion"),
        ('{"messages": [{"role": "user", "content": "hope"}]}', "needs 'keyword' and 'quote'"),
        ('{"love": ["a", "b"], "hope": ["c"]}', "has rows in 'love', 'hope'"),
        ("[" * 100_000, "not a JSON object"),
        ("", "there is no quote in it"),
        ("[]", "there is no quote in it"),
        ("{}", "has none, but needs"),
    ],
)
def test_what_is_not_plain_is_refused(tmp_path: Path, content: str, said: str) -> None:
    assert said in refusal(write(tmp_path, content))
    assert said in refusal(write(tmp_path, content, "quotes.jsonl"))


def test_text_in_a_list_beside_rows_is_refused(tmp_path: Path) -> None:
    assert "entry 2: not a JSON object, but a text" in refusal(write(tmp_path, '[["keyword", "quote"], "a: b"]'))


def test_mapped_keys_are_read_in_every_shape(tmp_path: Path) -> None:
    rows = [{"tag": row["keyword"], "body": row["quote"], "by": "Nobody"} for row in ROWS]
    shapes: list[Any] = [rows, {"rows": rows}, {name: [row[name] for row in rows] for name in rows[0]}]
    for shape in shapes:
        read = load_quotes(write(tmp_path, json.dumps(shape)), "keyword=tag,quote=body,source=by")
        assert [(quote.line, quote.source) for quote in read] == [(quote.line, "Nobody") for quote in QUOTES]


def test_document_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.json_rows.LARGEST_DOCUMENT", 1_000)
    rows = [{"keyword": "hope", "quote": "The lamp waits."}] * 100
    message = refusal(write(tmp_path, json.dumps(rows, indent=1)))
    assert message == ": one JSON value of over 1,000 characters; write an object a line."
    assert len(load_quotes(write(tmp_path, "\n".join(map(json.dumps, rows))))) == 100
