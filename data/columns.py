"""Which column of a table, or key of a JSON object, is the keyword and which the quote: by its name, or as one says.

A name is matched in any case, with or without spaces, '-' and '_' in it. Other names are never guessed at: the refusal
says the flag that would make them plain.
"""

from __future__ import annotations

import difflib
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence

from data.errors import DataError

ROLES = ("keyword", "quote", "source", "text")
NEEDED = "'keyword' and 'quote' (and 'source' if you like), or a single 'text' holding 'keyword: quote'"
FLAG = "--columns"
EXAMPLE = f"{FLAG} keyword=tag,quote=body"
SHOWN = 10

# Names by which the flag is proposed, in the order of trust; nothing is read by them.
LIKE_KEYWORD = ("keywords", "tag", "tags", "category", "categories", "topic", "theme", "label", "subject", "prompt")
LIKE_KEYWORD += ("instruction", "input", "question", "word", "key", "title", "genre", "class", "concept")
LIKE_QUOTE = ("quotes", "quotation", "text", "quotetext", "completion", "response", "output", "answer", "content")
LIKE_QUOTE += ("body", "sentence", "line", "saying", "target", "message", "value")
# In German, French, Spanish, Italian and Portuguese, Russian, Chinese, Japanese and Korean.
LIKE_KEYWORD += ("schlagwort", "stichwort", "thema", "kategorie", "motclé", "motsclés", "thème", "palabra")
LIKE_KEYWORD += ("palabraclave", "tema", "categoría", "parolachiave", "palavrachave", "ключевоеслово", "тема", "слово")
LIKE_KEYWORD += ("关键词", "主题", "キーワード", "키워드")
LIKE_QUOTE += ("zitat", "citation", "cita", "frase", "citazione", "citação", "цитата", "名言", "语录", "引用", "명언")
CLOSE = 0.75  # of difflib, from which a name is taken for a misspelt one; assumed: two letters of seven swapped
ONE_WORD = re.compile(r"[^\W\d][\w-]*")

Roles = Mapping[str, int]
"""Where each role stands among the columns of a file: 'keyword' and 'quote', or 'text'; and 'source', if any."""


def parse_columns(given: str) -> dict[str, str]:
    """The column for each role in `keyword=tag,quote=body`; none for an empty text. Raises: DataError."""
    columns: dict[str, str] = {}
    for part in filter(None, given.split(",")):
        role, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column or role not in ROLES:
            raise DataError(f"{FLAG} {given}: {part.strip()!r} is not one of {', '.join(ROLES)} with '=' and a column.")
        if role in columns or column in columns.values():
            raise DataError(f"{FLAG} {given}: {part.strip()!r} names one a second time; name each once.")
        columns[role] = column
    if given and not columns:
        raise DataError(f"{FLAG} {given!r} names no column; write {EXAMPLE}")
    if "text" in columns and {"keyword", "quote"} & set(columns):
        raise DataError(f"{FLAG} {given}: a text holds keyword and quote already; leave out one of the two.")
    return columns


def folded(name: str) -> str:
    """A column's name as it is compared: without case, space, '-', '_', quotation marks and what does not show, and
    without ':' and '#' at its ends.
    """
    return re.sub(
        r"[\s_\-\"'“”\u00ad\u200b-\u200f\u2060\ufeff]+", "", unicodedata.normalize("NFKC", name).casefold()
    ).strip(":#")


def find_roles(names: Sequence[str], given: Mapping[str, str], where: str, *, are_keys: bool = False) -> Roles:
    """Where keyword and quote stand among the columns `names`; `given` maps roles to columns that are called otherwise.

    `are_keys` is whether the names are keys of an object rather than the first line of a table.
    Raises: DataError, with the flag that would help, where that is not plain.
    """
    roles = {role: _place(column, names, where) for role, column in given.items()}
    plain = [folded(name) for name in names]
    for role in ("keyword", "quote", "source"):
        if role not in roles and role in plain and ("text" not in given or role == "source"):
            if plain.count(role) > 1:
                raise DataError(f"{where}: the column {role!r} stands there twice; rename one of the two.")
            roles[role] = plain.index(role)
    if "text" in roles or {"keyword", "quote"} <= set(roles):
        return roles
    if plain.count("text") == 1 and not roles.keys() & {"keyword", "quote"}:
        return roles | {"text": plain.index("text")}
    raise DataError(f"{where}: has {_shown(names)}, but needs {NEEDED}; {_advice(names, given, are_keys=are_keys)}.")


def has_roles(names: Sequence[str], given: Mapping[str, str]) -> bool:
    """Whether keyword and quote are plain among the columns `names`."""
    try:
        return bool(find_roles(names, given, ""))
    except DataError:
        return False


def _place(column: str, names: Sequence[str], where: str) -> int:
    places = [place for place, name in enumerate(names) if name == column]
    places = places or [place for place, name in enumerate(names) if folded(name) == folded(column)]
    if len(places) != 1:
        said = "stands there twice; rename one" if places else f"is not there; there are {_shown(names)}"
        raise DataError(f"{where}: the column {column[:40]!r} of {FLAG} {said}.")
    return places[0]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:SHOWN]) or "none"


def _advice(names: Sequence[str], given: Mapping[str, str], *, are_keys: bool) -> str:
    """The flag that names the columns which are likely meant."""
    by_name = {folded(name): name for name in names if name.strip()}
    keyword = given.get("keyword") or _likely("keyword", LIKE_KEYWORD, by_name)
    quote = given.get("quote") or _likely("quote", LIKE_QUOTE, by_name)
    if len(by_name) == 2 and not are_keys and all(map(ONE_WORD.fullmatch, by_name.values())):  # names, and no row
        one, other = by_name.values()
        keyword = keyword or (other if quote == one else one)
        quote = quote or (other if keyword == one else one)
    if keyword is None or quote is None or keyword == quote:
        named = "write these keys in each object" if are_keys else "name the columns in a first line"
        return f"{named}, or say which are meant, such as {EXAMPLE}"
    pairs = [f"{role}={name}" for role, name in (("keyword", keyword), ("quote", quote)) if folded(name) != role]
    return f"if {keyword!r} is the keyword of {quote!r}, add {FLAG} {shlex.quote(','.join(pairs))}"


def _likely(role: str, likely: Sequence[str], by_name: Mapping[str, str]) -> str | None:
    """The column that is the role's by its name, by a like one, or by one that is nearly spelt so."""
    found = next((by_name[name] for name in (role, *likely) if name in by_name), None)
    found = found or next((name for plain, name in by_name.items() if plain.startswith(role)), None)
    close = difflib.get_close_matches(role, by_name, n=1, cutoff=CLOSE)
    return found or (by_name[close[0]] if close else None)
