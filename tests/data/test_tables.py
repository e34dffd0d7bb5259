import csv
import io
from pathlib import Path

import pytest

from data.errors import DataError
from data.quotes import Quote, load_quotes, read_quotes

ROWS = [
    ("hope", "The lamp waits, and the door with it; so does the rain."),
    ("love", 'She said "stay" and the river stayed.'),
    ("time", "The clock | forgets what the moss remembers."),
]
QUOTES = [Quote(keyword=keyword, text=text) for keyword, text in ROWS]


def table(delimiter: str, end: str = "\n", header: tuple[str, ...] = ("keyword", "quote")) -> str:
    """`ROWS` as the csv module writes them."""
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=end).writerows([header, *ROWS])
    return file.getvalue()


def write(folder: Path, content: str | bytes, name: str = "quotes.csv") -> str:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(file)


def refusal(data: str, columns: str = "") -> str:
    with pytest.raises(DataError) as caught:
        read_quotes(data, columns)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(data)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("delimiter", "sign"),
    [(",", ""), (";", "';'"), ("\t", "a tab"), ("|", "'|'"), ("^", "'^'"), ("~", "'~'"), ("，", "'，'"), ("\x01", "")],
)
def test_table_is_read_whatever_parts_its_values(
    tmp_path: Path, delimiter: str, sign: str, mark: str, end: str
) -> None:
    read = read_quotes(write(tmp_path, mark + table(delimiter, end)))
    assert read.quotes == QUOTES
    told = [note for note in read.notes if "line ends" not in note]
    if sign:
        assert told == [f"quotes.csv: read as a table with {sign} between values"]


def test_tab_is_what_parts_the_values_of_a_tsv(tmp_path: Path) -> None:
    for name in ("quotes.tsv", "quotes.TSV", "quotes.tab"):
        read = read_quotes(write(tmp_path, table("\t"), name))
        assert (read.quotes, read.notes) == (QUOTES, ())


def test_excels_unicode_text_is_a_table_by_what_is_in_it(tmp_path: Path) -> None:
    read = read_quotes(write(tmp_path, table("\t", "\r\n").encode("utf-16"), "quotes.txt"))
    assert read.quotes == QUOTES
    assert read.notes == (
        "quotes.txt: read as UTF-16, by its byte-order mark",
        "quotes.txt: read as a table with a tab between values",
    )


def test_excels_own_first_line_names_the_sign(tmp_path: Path) -> None:
    assert load_quotes(write(tmp_path, "sep=;\r\n" + table(";", "\r\n"))) == QUOTES
    assert load_quotes(write(tmp_path, "sep=,\n" + table(","))) == QUOTES


def test_table_in_markdown_is_read(tmp_path: Path) -> None:
    content = "| Keyword | Quote |\n|:--|---:|\n| hope | The lamp waits. |\n| love | Stay. |\n"
    for name in ("quotes.txt", "quotes.csv"):
        assert [quote.line for quote in load_quotes(write(tmp_path, content, name))] == [
            "hope: The lamp waits.",
            "love: Stay.",
        ]


def test_sign_that_stands_twice_between_values_is_read(tmp_path: Path) -> None:
    assert [q.line for q in load_quotes(write(tmp_path, "keyword||quote\nhope||Wait; and, see.\n"))] == [
        "hope: Wait; and, see."
    ]


def test_header_again_is_left_out_and_told(tmp_path: Path) -> None:
    again = table(",") + "\ufeff" + table(",") + "\n" + "KEYWORD , Quote\n"
    read = read_quotes(write(tmp_path, again))
    assert read.quotes == QUOTES * 2
    assert read.notes == ("quotes.csv: the header again left out: line 5, 10",)


def test_header_of_a_text_column_again_is_left_out(tmp_path: Path) -> None:
    read = read_quotes(write(tmp_path, "id,text\n1,hope: a\nid,text\n2,love: b\n"))
    assert [quote.line for quote in read.quotes] == ["hope: a", "love: b"]


def test_many_headers_are_told_by_number(tmp_path: Path) -> None:
    read = read_quotes(write(tmp_path, "keyword,quote\nhope,a\n" * 9))
    assert read.notes == ("quotes.csv: the header again left out: line 3, 5, 7, 9, 11 and 3 more",)


def test_header_again_in_another_order_is_refused(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "keyword,quote\nhope,a\nquote,keyword\nb,love\n"))
    assert message.startswith(":3: the header again, with its columns in another order than in line 1")


def test_row_about_a_column_name_is_a_row(tmp_path: Path) -> None:
    assert [q.line for q in load_quotes(write(tmp_path, "keyword,quote\nquote,Quote me.\nkeyword,A word.\n"))] == [
        "quote: Quote me.",
        "keyword: A word.",
    ]


def test_lines_within_quotation_marks_are_one_value(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        content = f'keyword,quote\nhope,"The lamp{end}waits{end}{end}still"\nlove,Stay.\n'
        assert [quote.line for quote in load_quotes(write(tmp_path, content))] == [
            "hope: The lamp waits still",
            "love: Stay.",
        ]


def test_carriage_return_outside_quotation_marks_is_a_space_where_it_can_be_nothing_else(tmp_path: Path) -> None:
    read = read_quotes(write(tmp_path, "keyword,quote\nhope,The lamp\rwaits.\nlove,Stay.\n"))
    assert [quote.line for quote in read.quotes] == ["hope: The lamp waits.", "love: Stay."]
    assert read.notes == ("quotes.csv: carriage returns taken for spaces in 1 rows",)
    message = refusal(write(tmp_path, "keyword,quote\nhope,The lamp\rlove,Stay.\n"))
    assert message.startswith(":2: not CSV")
    assert message.endswith("there is a carriage return in it: write it as a line end, or as a space.")
    assert ":2: not CSV" in refusal(write(tmp_path, "text\nhope: a\rlove: b\n"))


def test_row_that_a_quotation_mark_swallows_is_refused(tmp_path: Path) -> None:
    rows = 'keyword,quote\nhope,a\nlove,b\nhope,"The lamp\nlove,and the door\nhope,waits"\nlove,c\n'
    message = refusal(write(tmp_path, rows))
    assert message.startswith(
        ":4: a value in quotation marks goes on to line 6 and takes in what looks like a row, in line"
    )
    rows = 'id,text\n1,hope: a\n2,love: b\n3,"hope: The lamp\n4,love: and the door\n5,hope: waits"\n'
    assert refusal(write(tmp_path, rows)).startswith(":4: a value in quotation marks goes on to line 6")


@pytest.mark.parametrize(
    ("row", "advice"),
    [
        (
            r'hope,"She said \"stay\" twice, and left."',
            r"a backslash before a quotation mark (\"): CSV doubles the mark",
        ),
        ("hope,“Wait, and see.”", "typographic marks (“”„«») hold no value together: put straight ones"),
        ("hope,«Wait, and see.»", "typographic marks (“”„«») hold no value together: put straight ones"),
        ("hope,'Wait, and see.'", "single quotation marks hold no value together: put double ones"),
        ("hope,Wait, and see.", "put quotation marks (\") around text that has ',' in it"),
        ('hope,"Wait" and, see.', "a quotation mark has no partner"),
        ('hope,"Wait and see.', "a quotation mark has no partner"),
        ("hope", "the row ends early: write the rest, or take it out"),
    ],
)
def test_advice_is_about_what_is_in_the_row(tmp_path: Path, row: str, advice: str) -> None:
    message = refusal(write(tmp_path, f"keyword,quote\nlove,a\n{row}\n"))
    assert message.startswith(":3: ")
    assert advice in message


def test_advice_names_the_sign_of_the_file(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "keyword;quote\nhope;Wait; and see.\n"))
    assert (
        message
        == ":2: 3 values for 2 columns (keyword, quote); put quotation marks (\") around text that has ';' in it."
    )


def test_empty_values_at_the_end_of_a_row_are_nothing(tmp_path: Path) -> None:
    assert load_quotes(write(tmp_path, "keyword,quote\nhope,a,,\n,,,,\n")) == [Quote(keyword="hope", text="a")]
    assert load_quotes(write(tmp_path, "keyword,quote,,\nhope,a,,\n")) == [Quote(keyword="hope", text="a")]


def test_quotation_marks_of_a_tsv_that_has_none_around_values_are_text(tmp_path: Path) -> None:
    rows = 'keyword\tquote\nhope\tThe lamp.\nlove\t"Stay," she said.\nhope\t"Wait\ntime\t"All" of it\n'
    read = read_quotes(write(tmp_path, rows, "quotes.tsv"))
    assert [q.text for q in read.quotes] == ["The lamp.", '"Stay," she said.', '"Wait', '"All" of it']
    assert read.notes == ("quotes.tsv: quotation marks taken for text from line 3 on, where they hold no values",)


@pytest.mark.parametrize("null", ["NULL", "null", "NaN", "nan", "None", r"\N", "#N/A", "<NA>", " NULL "])
def test_missing_value_is_named_with_its_line(tmp_path: Path, null: str) -> None:
    message = refusal(write(tmp_path, f"keyword,quote\nhope,a\nlove,{null}\n"))
    assert message == f":3: the quote is {null.strip()}, that is, missing; write the quote, or take the row out."
    message = refusal(write(tmp_path, f"keyword,quote\nhope,a\n{null},b\n"))
    assert message == f":3: the keyword is {null.strip()}, that is, missing; write the keyword, or take the row out."


def test_table_without_a_header_is_told_what_it_lacks(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "hope;The lamp waits.\nlove;Stay.\n"))
    assert message.startswith(":1: has 'hope', 'The lamp waits.', but needs 'keyword' and 'quote'")
    assert message.endswith(
        "name the columns in a first line, or say which are meant, such as --columns keyword=tag,quote=body."
    )


def test_mapped_columns_are_read(tmp_path: Path) -> None:
    content = "Quote,author,category\nThe lamp waits.,Nobody,hope\n"
    assert load_quotes(write(tmp_path, content), "keyword=category,source=author") == [
        Quote(keyword="hope", text="The lamp waits.", source="Nobody")
    ]
    assert load_quotes(write(tmp_path, "a;b\nx;hope: The lamp waits.\n"), "text=b") == [
        Quote(keyword="hope", text="The lamp waits.")
    ]
    assert load_quotes(write(tmp_path, "tag\tbody\nhope\tThe lamp waits.\n", "q.txt"), "keyword=tag,quote=body") == [
        Quote(keyword="hope", text="The lamp waits.")
    ]


def test_keyword_that_looks_like_several_is_told(tmp_path: Path) -> None:
    read = read_quotes(write(tmp_path, 'quote,tags\nThe lamp waits.,"hope, life"\n'), "keyword=tags")
    assert read.quotes == [Quote(keyword="hope, life", text="The lamp waits.")]
    assert read.notes == ("quotes.csv: the keyword looks like several in all 1 rows, and is taken whole: 'hope, life'",)


def test_colon_after_a_keyword_comes_off(tmp_path: Path) -> None:
    read = read_quotes(write(tmp_path, "keyword,quote\nhope:,a\nlove ：,b\n"))
    assert [quote.line for quote in read.quotes] == ["hope: a", "love: b"]
    assert read.notes == ("quotes.csv: a ':' after the keyword taken off in all 2 rows",)


def test_value_as_long_as_a_book_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, 'keyword,quote\nhope,"' + "a\n" * 200_000))
    assert message.startswith(":2: not CSV (field larger than field limit (131072))")
