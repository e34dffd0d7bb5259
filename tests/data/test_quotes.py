import json
from pathlib import Path

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import DataError
from data.quote_rows import NULLS
from data.quotes import Quote, load_quotes, load_science
from data.text_lines import read_lines

HOPE = Quote(keyword="hope", text="Hope is the thing with feathers.")
LOVE = Quote(keyword="love", text="When love is not madness, it is not love.", source="Calderón")


def write(folder: Path, name: str, content: bytes | str) -> str:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(file)


def refusal(data: str) -> str:
    with pytest.raises(DataError) as caught:
        load_quotes(data)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_line_is_what_the_model_learns() -> None:
    assert HOPE.line == "hope: Hope is the thing with feathers."


def test_txt_is_read_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    data = write(tmp_path, "quotes.txt", f"\n{HOPE.line}\n   \nlife:  Life: a\tjourney. \n")
    assert load_quotes(data) == [HOPE, Quote(keyword="life", text="Life: a journey.")]


def test_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    data = write(tmp_path, "quotes.txt", b"\xef\xbb\xbf" + f"{HOPE.line}\r\nlife: Live.".encode())
    assert load_quotes(data) == [HOPE, Quote(keyword="life", text="Live.")]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_is_read(tmp_path: Path, mark: bytes, end: str) -> None:
    lines = [
        "keyword,quote,source",
        "hope,Hope is the thing with feathers.,",
        "",
        'love,"When love is not madness, it is not love.",Calderón',
    ]
    assert load_quotes(write(tmp_path, "quotes.csv", mark + end.join(lines).encode())) == [HOPE, LOVE]


def test_csv_with_a_text_column_is_read(tmp_path: Path) -> None:
    assert load_quotes(write(tmp_path, "quotes.csv", f"id,Text\n1,{HOPE.line}\n")) == [HOPE]


def test_jsonl_is_read(tmp_path: Path) -> None:
    lines = [
        {"text": HOPE.line},
        {"keyword": "love", "quote": LOVE.text, "source": "Calderón"},
        {"keyword": "hope", "quote": HOPE.text, "source": None},
    ]
    content = "\n\n".join(json.dumps(line) for line in lines)
    assert load_quotes(write(tmp_path, "quotes.jsonl", content)) == [HOPE, LOVE, HOPE]


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(str(tmp_path / "quotes.txt")) == f"{tmp_path}/quotes.txt: no such file; check the path."
    assert "no such file" in refusal(f"{tmp_path}/quotes")
    assert "no such file" in refusal("quotes")


@pytest.mark.parametrize(("path", "why"), [("/", "Is a directory"), ("/proc/self/mem", "Input/output error")])
def test_what_is_there_and_cannot_be_read_is_one_line(path: str, why: str) -> None:
    with pytest.raises(DataError) as caught:  # address 0 of a process's memory opens, and then cannot be read
        list(read_lines(Path(path)))
    assert str(caught.value) == f"{path}: cannot be read ({why})."


@pytest.mark.parametrize("name", ["quotes.txt", "quotes.csv", "quotes.jsonl"])
@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_empty_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    assert "there is no quote in it" in refusal(write(tmp_path, name, content))


def test_csv_with_a_header_alone_is_refused(tmp_path: Path) -> None:
    assert "there is no quote in it" in refusal(write(tmp_path, "quotes.csv", "keyword,quote\n"))


@pytest.mark.parametrize("name", ["quotes.txt", "quotes.csv", "quotes.jsonl"])
def test_binary_file_is_refused(tmp_path: Path, name: str) -> None:
    assert f"{name}:2: a NUL byte" in refusal(write(tmp_path, name, b"\n\x00\x01\x02\n"))
    assert f"{name}:1: a NUL byte" in refusal(write(tmp_path, name, HOPE.line.encode() + b"\0\n"))


@pytest.mark.parametrize("name", ["quotes.txt", "quotes.csv", "quotes.jsonl"])
def test_line_of_the_first_byte_that_is_not_utf8_is_named(tmp_path: Path, name: str) -> None:
    header = {"quotes.txt": "love: é", "quotes.csv": "text,é", "quotes.jsonl": '{"text": "love: é"}'}[name]
    data = write(tmp_path, name, f"{header}\n\n".encode() + "hope: Calderón".encode("latin-1"))
    assert f"{name}:3: byte 0xf3 is not UTF-8, while 1 other lines are: two encodings in one file" in refusal(data)


def test_line_without_a_colon_is_named(tmp_path: Path) -> None:
    data = write(tmp_path, "quotes.txt", f"{HOPE.line}\n" * 40 + "Hope is the thing\n")
    assert refusal(data) == (
        f"{tmp_path}/quotes.txt:41: no ':' between keyword and quote; "
        f"write 'love: When love is not madness, it is not love.'"
    )


@pytest.mark.parametrize(
    ("line", "reason"), [(": a quote", "no keyword"), ("hope:  ", "no quote after"), (":", "no k")]
)
def test_empty_keyword_or_quote_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    assert f"quotes.txt:2: {reason}" in refusal(write(tmp_path, "quotes.txt", f"{HOPE.line}\n{line}\n"))
    assert f"quotes.csv:3: {reason}" in refusal(write(tmp_path, "quotes.csv", f"text\n{HOPE.line}\n{line}\n"))


@pytest.mark.parametrize(
    "line", ["hope: a<|endoftext|>b", "hope: a</s>hope: b", "hope: </s>a", "hope<s>: a", "hope: a<|end"]
)
def test_separator_inside_a_line_is_refused(tmp_path: Path, line: str) -> None:
    message = refusal(write(tmp_path, "quotes.txt", line))
    assert "quotes.txt:1: has <" in message
    assert "remove it, the program adds separators itself" in message
    assert "adds separators itself" in refusal(write(tmp_path, "quotes.jsonl", json.dumps({"text": line})))


def test_separator_in_a_jsonl_quote_is_refused(tmp_path: Path) -> None:
    line = json.dumps({"keyword": "hope", "quote": "a</s>b"})
    assert "adds separators itself" in refusal(write(tmp_path, "quotes.jsonl", line))


def test_carriage_return_inside_a_line_is_refused(tmp_path: Path) -> None:
    assert "quotes.txt:1: a carriage return" in refusal(write(tmp_path, "quotes.txt", "hope: a\rlove: b\n"))


def test_line_that_never_ends_is_refused(tmp_path: Path) -> None:
    assert "quotes.txt:1: the line is longer" in refusal(write(tmp_path, "quotes.txt", b"a" * (2**20 + 1)))


@pytest.mark.parametrize("line", ["hope: a", "{", "[1]", '"a"', "3", "NaN", "[" * 100_000])
def test_jsonl_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    data = write(tmp_path, "quotes.jsonl", f'{{"text": "hope: a"}}\n{line}\n')
    assert "quotes.jsonl:2: not a JSON object" in refusal(data)


def test_jsonl_keys_that_are_missing_are_named(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "quotes.jsonl", '{"keyword": "hope", "qoute": "a"}'))
    assert "quotes.jsonl:1: has 'keyword', 'qoute', but needs 'keyword' and 'quote'" in message
    assert "quotes.jsonl:1: has none" in refusal(write(tmp_path, "quotes.jsonl", "{}"))


@pytest.mark.parametrize("value", ["3", "null", "[]", '{"a": 1}'])
def test_jsonl_value_that_is_no_text_is_refused(tmp_path: Path, value: str) -> None:
    data = write(tmp_path, "quotes.jsonl", f'{{"keyword": "hope", "quote": {value}}}')
    assert "quotes.jsonl:1: 'quote' is" in refusal(data)


def test_half_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    assert "surrogate" in refusal(write(tmp_path, "quotes.jsonl", r'{"keyword": "hope", "quote": "a \ud83d"}'))


def test_keyword_with_a_colon_is_refused(tmp_path: Path) -> None:
    assert "quotes.csv:2: the keyword 'a:b'" in refusal(write(tmp_path, "quotes.csv", "keyword,quote\na:b,c\n"))


def test_csv_without_the_columns_lists_what_is_known(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "quotes.csv", "quote,author\na,b\n"))
    assert "quotes.csv:1: has 'quote', 'author', but needs 'keyword' and 'quote'" in message
    assert "or a single 'text'" in message


def test_csv_row_with_too_many_values_is_named(tmp_path: Path) -> None:
    data = write(tmp_path, "quotes.csv", "keyword,quote\nhope,a\nhope,a, and b\n")
    assert "quotes.csv:3: 3 values for 2 columns (keyword, quote)" in refusal(data)


def test_csv_row_is_named_by_the_line_it_begins_on(tmp_path: Path) -> None:
    data = write(tmp_path, "quotes.csv", 'keyword,quote\nhope,"over\ntwo lines"\nlove,\n')
    assert "quotes.csv:4: no quote after the keyword 'love'" in refusal(data)


def test_csv_quotation_that_never_closes_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path, "quotes.csv", 'keyword,quote\nhope,a\nhope,"a\n' + "hope,b\n" * 100)
    assert "quotes.csv:3: not CSV" in refusal(data)


def test_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder" in refusal(str(tmp_path))
    (tmp_path / "quotes.txt").mkdir()
    assert "is a folder" in refusal(str(tmp_path / "quotes.txt"))


def test_file_of_another_kind_is_named_for_what_it_is(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "quotes.parquet", b"PAR1"))
    assert message.endswith("is a Parquet file, not text; take the rows out of it and save them as CSV in UTF-8.")


def test_hub_name_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    message = refusal("nobody/quotes")
    assert message.startswith("nobody/quotes: the Hugging Face hub cannot be reached; download it where there is")


# The hub cannot be had in a test: the data set is real, its way here is not.
def serve_from_the_hub(monkeypatch: pytest.MonkeyPatch, columns: dict[str, list]) -> None:
    def load_dataset(name: str, split: str) -> datasets.Dataset:
        assert (name, split) == ("somebody/quotes", "train")
        return datasets.Dataset.from_dict(columns)

    monkeypatch.setattr("datasets.load_dataset", load_dataset)


def test_hub_data_set_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    serve_from_the_hub(monkeypatch, {"keyword": ["love"], "quote": [LOVE.text], "source": ["Calderón"], "id": [1]})
    assert load_quotes("somebody/quotes") == [LOVE]


def test_hub_data_set_with_other_columns_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    serve_from_the_hub(monkeypatch, {"quote": ["a"], "author": ["b"]})
    assert "somebody/quotes: has 'quote', 'author', but needs" in refusal("somebody/quotes")


def test_bad_row_of_a_hub_data_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    serve_from_the_hub(monkeypatch, {"text": [HOPE.line, "no colon"]})
    assert "somebody/quotes, row 2: no ':'" in refusal("somebody/quotes")


WORD = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters=":：<>["), min_size=1)
WORD = WORD.filter(lambda word: word not in NULLS)


@given(st.lists(st.builds(Quote, keyword=WORD, text=WORD, source=WORD), min_size=1))
def test_what_is_written_as_jsonl_comes_back(tmp_path_factory: pytest.TempPathFactory, quotes: list[Quote]) -> None:
    lines = [json.dumps({"keyword": q.keyword, "quote": q.text, "source": q.source}) for q in quotes]
    assert load_quotes(write(tmp_path_factory.mktemp("quotes"), "quotes.jsonl", "\n".join(lines))) == quotes


def test_shipped_quotes_are_many_and_say_where_they_come_from() -> None:
    quotes = load_quotes("shipped")
    assert len(quotes) >= 3_000
    assert len({quote.keyword for quote in quotes}) >= 20
    assert {"love", "hope", "inspiration", "life", "wisdom"} <= {quote.keyword for quote in quotes}
    assert all(quote.source for quote in quotes)


def test_shipped_science_is_headword_and_definition() -> None:
    lines = load_science()
    assert len(lines) >= 5_000
    assert all(": " in line for line in lines)
