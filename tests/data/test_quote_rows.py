import json
from pathlib import Path

import pytest

from data.errors import DataError
from data.quotes import Quote, load_quotes, read_quotes

LINES = ["hope: The lamp waits.", "love: Stay.", "time: The clock forgets."]


def write(folder: Path, content: str, name: str = "quotes.txt") -> str:
    file = folder / name
    file.write_bytes(content.encode())
    return str(file)


def refusal(data: str) -> str:
    with pytest.raises(DataError) as caught:
        read_quotes(data)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(data)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("<|endoftext|>", "<|endoftext|>", "<|endoftext|>"),
        ("<s>", "</s>", "<s> and </s>"),
        ("", "</s>", "</s>"),
        ("</s>", "", "</s>"),
        ("<|begin_of_text|> ", " <|end_of_text|>", "<|begin_of_text|> and <|end_of_text|>"),
    ],
)
def test_separators_around_a_line_come_off_in_every_kind_of_file(
    tmp_path: Path, before: str, after: str, named: str
) -> None:
    wrapped = [f"{before}{line}{after}" for line in LINES]
    files = {
        "quotes.txt": "\n".join(wrapped),
        "quotes.csv": ",text\n" + "".join(f"{number},{line}\n" for number, line in enumerate(wrapped)),
        "quotes.jsonl": "\n".join(json.dumps({"text": line}) for line in wrapped),
    }
    for name, content in files.items():
        read = read_quotes(write(tmp_path, content, name))
        assert [quote.line for quote in read.quotes] == LINES
        assert read.notes == (f"{name}: {named} taken off the ends of all 3 rows",)


def test_separators_around_a_row_of_two_columns_come_off(tmp_path: Path) -> None:
    content = "keyword,quote\n<s>hope,The lamp waits.</s>\n<s> love,Stay.</s>\ntime,The clock forgets.\n"
    read = read_quotes(write(tmp_path, content, "quotes.csv"))
    assert [quote.line for quote in read.quotes] == LINES
    assert read.notes == ("quotes.csv: <s> and </s> taken off the ends of 2 of 3 rows",)


def test_separators_on_lines_of_their_own_are_left_out(tmp_path: Path) -> None:
    read = read_quotes(write(tmp_path, "\n<|endoftext|>\n".join(LINES)))
    assert [quote.line for quote in read.quotes] == LINES
    assert read.notes == ("quotes.txt: lines of <|endoftext|> alone left out: 2",)


def test_separator_shared_by_neighbouring_lines_comes_off(tmp_path: Path) -> None:
    content = "<|endoftext|>" + "".join(f"{line}<|endoftext|>\n" for line in LINES)
    assert [quote.line for quote in load_quotes(write(tmp_path, content))] == LINES


@pytest.mark.parametrize(
    "content",
    [
        "<s>hope: The lamp waits.</s>\n<s>love: Stay\nand this: too.</s>\n",
        "<s>love: Stay\nand this: too.</s>\n<s>hope: The lamp waits.</s>\n",
        "<s>hope: The lamp waits.</s>\n<s>love: Stay and thi",
    ],
)
def test_quote_over_several_lines_or_cut_is_refused(tmp_path: Path, content: str) -> None:
    message = refusal(write(tmp_path, content))
    assert message.endswith("begins with <s> and does not end with one, as others do; write each quote on one line.")


@pytest.mark.parametrize("colon", "：﹕︓∶꞉")
def test_colon_of_another_width_is_taken_and_told(tmp_path: Path, colon: str) -> None:
    read = read_quotes(write(tmp_path, f"希望{colon}路在脚下。\nlove: Stay: the rain{colon} falls.\n"))
    assert [quote.line for quote in read.quotes] == ["希望: 路在脚下。", f"love: Stay: the rain{colon} falls."]
    assert read.notes == (f"quotes.txt: '{colon}' taken for ':' in 1 of 2 rows",)


@pytest.mark.parametrize("heading", ["keyword: quote", "Keyword : Quote", "KEYWORD:QUOTE"])
def test_heading_is_no_quote(tmp_path: Path, heading: str) -> None:
    read = read_quotes(write(tmp_path, "\n".join([heading, *LINES])))
    assert [quote.line for quote in read.quotes] == LINES
    assert read.notes == (f"quotes.txt: the heading {heading!r} left out",)


def test_carriage_return_is_a_space_where_it_can_be_nothing_else(tmp_path: Path) -> None:
    read = read_quotes(write(tmp_path, "hope: The lamp\rwaits.\nlove: Stay.\r\r\n"))
    assert [quote.line for quote in read.quotes] == LINES[:2]
    assert read.notes == ("quotes.txt: carriage returns taken for spaces in 1 of 2 rows",)
    assert refusal(write(tmp_path, "hope: The lamp\rlove: Stay.\n")) == (
        ":1: a carriage return inside the line; write it as a line end, or as a space."
    )


def test_line_without_a_colon_is_refused_though_a_tab_is_there(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "hope\tThe lamp waits.\n"))
    assert "no ':' between keyword and quote (a tab parts columns only below a line that names them)" in message


@pytest.mark.parametrize("character", ["\x01", "\x1b", "\x7f", "\x93"])
def test_control_character_is_refused(tmp_path: Path, character: str) -> None:
    message = refusal(write(tmp_path, f"{LINES[0]}\nlove: St{character}ay.\n"))
    kind = "an escape" if character == "\x1b" else "a control character"
    assert message.startswith(f":2: {kind} (U+{ord(character):04X}), ")
    assert kind in refusal(write(tmp_path, f"lo{character}ve: Stay.\n"))


def test_signs_that_join_or_part_letters_are_text(tmp_path: Path) -> None:
    text = "क्\u200dष 👩\u200d👩 so\u00adft"
    assert load_quotes(write(tmp_path, f"hope: {text}\n")) == [Quote(keyword="hope", text=text)]


def test_long_keyword_is_told(tmp_path: Path) -> None:
    read = read_quotes(write(tmp_path, f"{LINES[0]}\nWhat the old clock said to me that night: nothing.\n"))
    assert read.notes == (
        "quotes.txt: more than 5 words stand before the ':' in 1 of 2 rows, and are taken for the keyword:"
        " 'What the old clock said to me that night'",
    )


def test_letters_that_were_lost_are_told(tmp_path: Path) -> None:
    read = read_quotes(write(tmp_path, "hope: The l\ufffdmp waits.\n"))
    assert read.notes == (
        "quotes.txt: a sign that some program could not read (U+FFFD) stands in all 1 rows: 'The l\ufffdmp waits.'",
    )


def test_mapping_columns_of_a_file_without_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names no columns, so --columns has nothing to map; leave it out\.$"):
        load_quotes(write(tmp_path, "\n".join(LINES)), "keyword=a,quote=b")
    with pytest.raises(DataError, match="the column 'a' of --columns is not there"):
        load_quotes("shipped", "keyword=a")


def test_file_of_any_ending_is_read_by_what_is_in_it(tmp_path: Path) -> None:
    for name in ("quotes", "quotes.text", "quotes.md", "quotes.dat"):
        assert [quote.line for quote in load_quotes(write(tmp_path, "\n".join(LINES), name))] == LINES


def test_folder_of_the_person_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, LINES[0])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [quote.line for quote in load_quotes("~/quotes.txt")] == LINES[:1]
