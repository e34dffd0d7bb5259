import pytest

from data.columns import find_roles, parse_columns
from data.errors import DataError


def refusal(names: list[str], columns: str = "") -> str:
    with pytest.raises(DataError) as caught:
        find_roles(names, parse_columns(columns), "q.csv:1")
    return str(caught.value)


@pytest.mark.parametrize("name", ["keyword", "Keyword", "KEYWORD ", "key word", "Key_Word", "key-word", "“Keyword”"])
def test_name_is_matched_in_any_case_and_spelling(name: str) -> None:
    assert find_roles([name, "Quote", "id"], {}, "") == {"keyword": 0, "quote": 1}


def test_source_and_text_are_found() -> None:
    assert find_roles(["Source", "quote", "keyword"], {}, "") == {"source": 0, "quote": 1, "keyword": 2}
    assert find_roles(["", "TEXT", "source"], {}, "") == {"text": 1, "source": 2}


@pytest.mark.parametrize(
    ("columns", "roles"),
    [
        ("keyword=tag,quote=body", {"keyword": 2, "quote": 1}),
        (" quote = body , keyword = Tag ", {"keyword": 2, "quote": 1}),
        ("text=body", {"text": 1}),
        ("text=body,source=name of it", {"text": 1, "source": 3}),
        ("keyword=tag,quote=Body", {"keyword": 2, "quote": 0}),  # as it is written goes before in another case
    ],
)
def test_columns_are_mapped_as_a_person_says(columns: str, roles: dict[str, int]) -> None:
    names = ["Body", "body", "tag", "Name of it"] if "Body" in columns else ["x", "body", "tag", "Name of it"]
    assert find_roles(names, parse_columns(columns), "") == roles


def test_role_that_is_not_mapped_keeps_its_name() -> None:
    assert find_roles(["quote", "author", "category"], parse_columns("keyword=category"), "") == {
        "keyword": 2,
        "quote": 0,
    }


@pytest.mark.parametrize(
    ("names", "flag"),
    [
        (["quote", "author", "category"], "if 'category' is the keyword of 'quote', add --columns keyword=category."),
        (["prompt", "completion"], "add --columns keyword=prompt,quote=completion."),
        (["instruction", "input", "output"], "add --columns keyword=instruction,quote=output."),
        (["keyword", "text"], "if 'keyword' is the keyword of 'text', add --columns quote=text."),
        (["label", "Quote text"], "add --columns 'keyword=label,quote=Quote text'."),
        (["Quotes", "Tags"], "add --columns keyword=Tags,quote=Quotes."),
        (["art", "The willow bends."], "or say which are meant, such as --columns keyword=tag,quote=body."),
    ],
)
def test_refusal_says_the_flag_that_would_help(names: list[str], flag: str) -> None:
    message = refusal(names)
    assert message.startswith("q.csv:1: has '")
    assert message.endswith(flag)


def test_what_the_refusal_advises_is_then_taken() -> None:
    assert find_roles(["keyword", "text"], parse_columns("quote=text"), "") == {"keyword": 0, "quote": 1}


def test_column_that_stands_twice_is_refused() -> None:
    assert "the column 'quote' stands there twice" in refusal(["quote", "Quote", "keyword"])
    assert "the column 'tag' of --columns stands there twice" in refusal(["tag", "tag", "quote"], "keyword=tag")
    assert "has 'text', 'Text'" in refusal(["text", "Text"])


def test_column_that_is_not_there_lists_those_that_are() -> None:
    assert refusal(["a", "b"], "text=c") == "q.csv:1: the column 'c' of --columns is not there; there are 'a', 'b'."


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("tag", "'tag' is not one of keyword, quote, source, text with '=' and a column"),
        ("keywrod=tag", "'keywrod=tag' is not one of"),
        ("keyword=", "'keyword=' is not one of"),
        ("keyword=a,keyword=b", "'keyword=b' names one a second time"),
        ("keyword=a,quote=a", "'quote=a' names one a second time"),
        ("text=a,quote=b", "a text holds keyword and quote already"),
        (",", "names no column"),
    ],
)
def test_mapping_that_means_nothing_is_refused(columns: str, said: str) -> None:
    with pytest.raises(DataError, match="--columns") as caught:
        parse_columns(columns)
    assert said in str(caught.value)


def test_no_mapping_is_none() -> None:
    assert parse_columns("") == {}
