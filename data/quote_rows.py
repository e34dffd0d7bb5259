"""From a row of a file to a quote: separators taken off, keyword and text parted, and what cannot be right refused.

It counts what it took for what, so that a person can be told.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data.columns import find_roles
from data.errors import DataError
from data.json_rows import kind_of
from data.other_forms import fault_of_line
from data.separators import separator_in, unwrap
from data.tables import split_line

EXAMPLE = "'love: When love is not madness, it is not love.'"
COLONS = ":：﹕︓∶꞉"
COLON = re.compile(f"[{COLONS}]")
NULLS = frozenset(("null", "NULL", "Null", "nan", "NaN", "None", "\\N", "#N/A", "<NA>", "N/A", "n/a", "-nan", "-NaN"))
"""What programs write into a table where a value is missing."""

LONG_KEYWORD_WORDS = 5  # a longer keyword is told: a line without one may have a colon further on; assumed
SEVERAL = re.compile("[,;|/]")
SHARE_TOLD = 0.05  # of rows whose keyword looks like none, from which it is told; assumed
FEW_QUOTES, OWN_KEYWORDS = 20, 0.5  # a share of quotes with keywords of their own, above which it is told; assumed
UNSEEN = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
"""At the ends of a word they say nothing, and part it from its like."""

BREAKS = re.compile("[\v\f\x1c-\x1e\x85\u2028\u2029]")  # which end lines for some programs, and for this one none
FOREIGN_SIGN = re.compile(r"[&<\\=%+]")
FOREIGN = re.compile(
    r"&(?:[a-zA-Z]{2,8}|#\d{2,6}|#x[0-9a-fA-F]{2,5});"  # HTML
    r"|</?(?:br|p|i|b|em|strong|span|div|a)\b[^<>]{0,80}>"
    r"|\\(?:[nrt]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})"  # a program's own text
    r"|(?:=[0-9A-F]{2}){2}|(?:%[0-9A-F]{2}){2}"  # mail and addresses
    r"|\+(?:A[K-P]|I[BD])[A-Za-z0-9/]+"  # UTF-7: accents, dashes and quotation marks
)
"""How other programs write signs beyond ASCII and line ends, which stand in a text as they are."""
TWICE_ENCODED = re.compile("[\xc2-\xf4][^\x00-\x7f]+")
PAIRS = frozenset(zip("\"'“„«‘‹「『", "\"'”“»’›」』", strict=True))
HELD_TOLD = 0.5  # of rows whose quote stands in quotation marks, above which it is told; assumed
JSON_EXAMPLE = '{"keyword": "love", "quote": "…"}'
SHOWN = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Quote:
    """One quotation, the word it is filed under, and where it comes from."""

    keyword: str
    text: str
    source: str = ""

    @property
    def line(self) -> str:
        """The line that a model learns: `keyword: text`."""
        return f"{self.keyword}: {self.text}"


class QuoteRows:
    """Makes quotes of the rows of one file."""

    def __init__(self, given: Mapping[str, str]) -> None:
        """`given` maps roles to columns, as `data.columns.find_roles` takes it."""
        self._given = given
        self._made = 0
        self._keywords: dict[str, str] = {}  # one string for each keyword, however many quotes have it
        self._wraps: Counter[tuple[str, str]] = Counter()
        self._opened_alone: str | None = None
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def of_line(self, line: str, where: str) -> Quote:
        """The quote of a line `keyword: text`. Raises: DataError."""
        bare = self._unwrapped((line,), where)[0]
        if found := separator_in(bare):  # first: a separator without a colon should be named for what it is
            raise _has_separator(found, where)
        if fault := fault_of_line(bare):
            raise DataError(f"{where}: {fault}.")
        colon = COLON.search(bare)
        if colon is None:
            _refuse_controls(" ".join(bare.split()), where)
            tab = " (a tab parts columns only below a line that names them)" if "\t" in bare.strip() else ""
            raise DataError(f"{where}: no ':' between keyword and quote{tab}; write {EXAMPLE}")
        if colon[0] != ":":
            self._count("colon", colon[0])
        keyword, text = bare[: colon.start()], bare[colon.end() :]
        if text[:1] in COLONS and text.lstrip(COLONS):
            text = text.lstrip(COLONS)
            self._count("second colon")
        if keyword.lstrip("-*• ")[:1] == "{" and text.rstrip(" ,")[-1:] == "}":
            raise DataError(f"{where}: an object as YAML or JavaScript has them; write {JSON_EXAMPLE} or {EXAMPLE}")
        if text.strip() in NULLS:
            self._count("missing", text.strip())
        return self._quote(keyword, text, "", where, f"write {EXAMPLE}")

    def of_columns(self, keyword: str, text: str, source: str, where: str) -> Quote:
        """The quote of a row of a table. Raises: DataError."""
        for role, value in (("keyword", keyword), ("quote", text)):
            if value in NULLS or value.strip() in NULLS:
                raise DataError(f"{where}: the {role} is {value.strip()}, that is, missing; {_fill(role)}.")
        keyword, text = self._unwrapped((keyword, text), where)
        if keyword[-1:] in COLONS and keyword.rstrip(f"{COLONS} "):
            keyword = keyword.rstrip(f"{COLONS} ")
            self._count("colon after")
        if SEVERAL.search(keyword):
            self._count("several", keyword)
        return self._quote(keyword, text, source, where, "write it, or take the row out")

    def of_object(self, values: Mapping[str, Any], where: str) -> Quote:
        """The quote of an object of JSON or a row of a data set. Raises: DataError."""
        names = tuple(values)
        roles = find_roles(names, self._given, where, are_keys=True)
        if "text" in roles:
            return self.of_line(_string(values, names[roles["text"]], where), where)
        keyword_name = names[roles["keyword"]]
        keyword = values[keyword_name]
        if "keyword" in self._given and isinstance(keyword, list) and all(isinstance(part, str) for part in keyword):
            keyword = ", ".join(keyword)
        else:
            keyword = _string(values, keyword_name, where)
        text = _string(values, names[roles["quote"]], where)
        source = values[names[roles["source"]]] if "source" in roles else None
        if source is not None and not isinstance(source, str):
            raise DataError(f"{where}: {names[roles['source']]!r} is {kind_of(source)}, not text; write it as one.")
        return self.of_columns(keyword, text, source or "", where)

    def is_separator(self, line: str) -> bool:
        """Whether a line holds separators and nothing else, as between documents."""
        bare, first, last = unwrap(line)
        if bare or not (first or last):
            return False
        self._count("alone", first or last)
        return True

    def joined(self, line: str, where: str) -> str:
        """A line with spaces for carriage returns. Raises: DataError where a piece could be a line of its own."""
        pieces = line.split("\r")
        if any(COLON.search(piece) for piece in pieces[1:]):
            raise DataError(f"{where}: a carriage return inside the line; write it as a line end, or as a space.")
        self._count("returns")
        return " ".join(pieces)

    def refuse_breaks(self, line: str, where: str) -> None:
        """Refuse a line in which signs stand that end lines elsewhere, with what could be lines of their own."""
        pieces = BREAKS.split(line.strip())
        if any(COLON.search(piece) for piece in pieces[1:]):
            found = BREAKS.search(line.strip())
            assert found is not None, "a line came apart where no sign parts it"
            raise DataError(
                f"{where}: U+{ord(found[0]):04X} inside the line, which ends none here; write a line feed (\\n), or a"
                " space, in its place."
            )

    def without_marks(self, line: str) -> str:
        """A line without the quotation marks that hold the whole of it, as CSV writes a table of one column."""
        values = split_line(line, ",") if line[:1] == '"' and line.rstrip()[1:].endswith('"') else ()
        if len(values) != 1:
            return line
        self._count("marks")
        return values[0]

    def notes(self) -> Iterator[str]:
        """What was taken for what, a sentence each."""
        shown, counts = self._examples, self._counts
        if self._wraps:
            (first, last), _ = self._wraps.most_common(1)[0]
            named = " and ".join(dict.fromkeys(filter(None, (first, last))))
            yield f"{named} taken off the ends of {_of(sum(self._wraps.values()), self._made)} rows"
        if counts["alone"]:
            yield f"lines of {shown['alone']} alone left out: {counts['alone']}"
        if counts["marks"]:
            yield f"quotation marks around the whole line taken off in {_of(counts['marks'], self._made)} rows"
        if counts["colon"]:
            yield f"'{shown['colon']}' taken for ':' in {_of(counts['colon'], self._made)} rows"
        if counts["second colon"]:
            yield f"a second ':' taken off in {_of(counts['second colon'], self._made)} rows"
        if counts["colon after"]:
            yield f"a ':' after the keyword taken off in {_of(counts['colon after'], self._made)} rows"
        if counts["returns"]:
            yield f"carriage returns taken for spaces in {_of(counts['returns'], self._made)} rows"
        if counts["several"] > SHARE_TOLD * self._made:
            yield (
                f"the keyword looks like several in {_of(counts['several'], self._made)} rows, and is taken whole:"
                f" {shown['several'][:SHOWN]!r}"
            )
        if counts["sign"] > SHARE_TOLD * self._made:
            yield (
                f"the keyword begins with a sign in {_of(counts['sign'], self._made)} rows, and is taken whole:"
                f" {shown['sign'][:SHOWN]!r}"
            )
        if self._made >= FEW_QUOTES and len(self._keywords) > OWN_KEYWORDS * self._made:
            first = ", ".join(repr(word[:SHOWN]) for word in itertools.islice(self._keywords.values(), 3))
            yield f"{len(self._keywords):,} keywords for {self._made:,} quotes, such as {first}"
        if counts["long"]:
            yield (
                f"more than {LONG_KEYWORD_WORDS} words stand before the ':' in {_of(counts['long'], self._made)} rows,"
                f" and are taken for the keyword: {shown['long'][: 2 * SHOWN]!r}"
            )
        if counts["damaged"]:
            yield (
                f"a sign that some program could not read (U+FFFD) stands in {_of(counts['damaged'], self._made)} rows:"
                f" {shown['damaged'][:SHOWN]!r}"
            )
        if counts["twice encoded"]:
            yield (
                f"UTF-8 that was taken for Windows-1252 and saved again stands in"
                f" {_of(counts['twice encoded'], self._made)} rows, and is left as it is: {shown['twice encoded']}"
            )
        if counts["foreign"]:
            yield (
                f"signs of {'HTML' if shown['foreign'][0] in '&<' else 'another program'}, such as {shown['foreign']},"
                f" stand in {_of(counts['foreign'], self._made)} rows, and are left as they are"
            )
        if counts["held"] > HELD_TOLD * self._made:
            yield (
                f"quotation marks around the quote stand in {_of(counts['held'], self._made)} rows, and are left as"
                f" they are: {shown['held'][:SHOWN]!r}"
            )
        if counts["number"] > SHARE_TOLD * self._made:
            number = shown["number"][:SHOWN]
            yield f"the keyword is a number in {_of(counts['number'], self._made)} rows, such as {number}"
        if counts["missing"]:
            yield f"the quote is {shown['missing']!r} and no more in {_of(counts['missing'], self._made)} rows"

    def _unwrapped(self, parts: tuple[str, ...], where: str) -> tuple[str, ...]:
        """The parts of a row without the separators around it. Raises: DataError for one that opens and never ends."""
        bare = [unwrap(part) for part in parts]
        first = next((first for _, first, _ in bare if first), "")
        last = next((last for _, _, last in reversed(bare) if last), "")
        if first or last:
            if first and not last:
                self._opened_alone = self._opened_alone or f"{where}: begins with {first} and does not end with one"
            self._wraps[first, last] += 1
            if self._opened_alone and any(ending for _, ending in self._wraps):
                raise DataError(f"{self._opened_alone}, as others do; write each quote on one line.")
        return tuple(text for text, _, _ in bare)

    def _quote(self, keyword: str, text: str, source: str, where: str, advice: str) -> Quote:
        word = self._keywords.get(keyword)
        if word is None:
            word = self._keywords[keyword] = self._keyword(keyword, where, advice)
        text = " ".join(text.split())
        if found := separator_in(text):
            raise _has_separator(found, where)
        if not text:
            raise DataError(f"{where}: no quote after the keyword {word[:SHOWN]!r}; {advice}")
        if not text.isprintable():
            _refuse_controls(text, where)
        if not text.isascii():
            self._look_for_damage(text)
        if FOREIGN_SIGN.search(text) and (found := FOREIGN.search(text)):
            self._count("foreign", found[0])
        if len(text) > 1 and (text[0], text[-1]) in PAIRS:
            self._count("held", text)
        if word.isdecimal():
            self._count("number", word)
        if not word[0].isalnum():
            self._count("sign", word)
        if word.count(" ") >= LONG_KEYWORD_WORDS:
            self._count("long", word)
        self._made += 1
        return Quote(keyword=word, text=text, source=" ".join(source.split()) if source else "")

    def _keyword(self, keyword: str, where: str, advice: str) -> str:
        word = " ".join(keyword.strip(UNSEEN).split()).strip(UNSEEN)
        if found := separator_in(word):
            raise _has_separator(found, where)
        if not word:
            raise DataError(f"{where}: no keyword before the quote; {advice}")
        if ":" in word:
            raise DataError(f"{where}: the keyword {word[:SHOWN]!r} has a ':' in it, which ends a keyword; remove it.")
        _refuse_controls(word, where)
        return word

    def _look_for_damage(self, text: str) -> None:
        """Count what other programs made of letters beyond ASCII."""
        if "\ufffd" in text:
            self._count("damaged", text)
        if found := TWICE_ENCODED.search(text):
            try:
                meant = found[0].encode("cp1252").decode()
            except UnicodeError:
                return
            self._count("twice encoded", f"{found[0][:SHOWN]!r} for {meant[:SHOWN]!r}")

    def _count(self, what: str, example: str = "") -> None:
        self._counts[what] += 1
        self._examples.setdefault(what, example)


def _string(values: Mapping[str, Any], name: str, where: str) -> str:
    value = values[name]
    if not isinstance(value, str):
        if value is None or value != value:  # NaN is unlike itself
            raise DataError(f"{where}: {name!r} is {kind_of(value)}, that is, missing; {_fill(name)}.")
        advice = "put quotation marks around it" if isinstance(value, int | float) else "write one text"
        raise DataError(f"{where}: {name!r} is {kind_of(value)}, not text; {advice}.")
    if value.strip() in NULLS:
        raise DataError(f"{where}: {name!r} is {value.strip()}, that is, missing; {_fill(name)}.")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(f"{where}: {name!r} holds half of a surrogate pair, which no UTF-8 text can; remove it.")
    return value


def _fill(role: str) -> str:
    return f"write the {role}, or take the row out"


def _of(count: int, total: int) -> str:
    return f"all {total:,}" if count == total else f"{count:,} of {total:,}"


def _refuse_controls(text: str, where: str) -> None:
    found = None if text.isprintable() else next(filter(_is_control, text), None)
    if found == "\x1b":
        raise DataError(
            f"{where}: an escape (U+001B), as ISO-2022-JP and coloured terminals have; save the file as UTF-8 text,"
            " without colours."
        )
    if found is not None:
        raise DataError(f"{where}: a control character (U+{ord(found):04X}), which no text has; remove it.")


def _is_control(character: str) -> bool:
    """Whether a character controls a device, or is one of those that Unicode keeps out of texts, such as U+FFFE."""
    number = ord(character)
    return unicodedata.category(character) == "Cc" or number & 0xFFFE == 0xFFFE or 0xFDD0 <= number <= 0xFDEF


def _has_separator(separator: str, where: str) -> DataError:
    return DataError(f"{where}: has {separator} in it; remove it, the program adds separators itself.")
