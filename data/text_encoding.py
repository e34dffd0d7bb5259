"""Which encoding a file of text is in: by its byte-order mark, as UTF-8, or as the one old code page that it can be.

What could be read in two ways is refused: a guess would put wrong letters into what a model learns.
"""

from __future__ import annotations

import codecs
import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import DataError
from data.other_forms import kind_of_bytes

CHUNK_BYTES = 2**20
HEAD_BYTES = 2**16
SAMPLE_BYTES = 2**18
"""Of the lines that are not ASCII, as much is looked at to tell a code page (assumed: some thousand lines)."""

MARKS = (  # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CODE_PAGES = {
    "cp1252": "Windows-1252 (Western Europe)",
    "cp1250": "Windows-1250 (Central Europe)",
    "cp1254": "Windows-1254 (Turkish)",
    "cp1257": "Windows-1257 (Baltic)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "koi8_r": "KOI8-R (Cyrillic)",
    "cp866": "DOS 866 (Cyrillic)",
    "iso8859_5": "ISO-8859-5 (Cyrillic)",
    "cp1253": "Windows-1253 (Greek)",
    "cp1255": "Windows-1255 (Hebrew)",
    "cp1256": "Windows-1256 (Arabic)",
    "gb18030": "GB18030 (Chinese)",
    "big5": "Big5 (Chinese)",
    "cp932": "Shift-JIS (Japanese)",
    "euc_jp": "EUC-JP (Japanese)",
    "cp949": "EUC-KR (Korean)",
}
OLD_PAGES = {"mac_roman": "Mac Roman", "cp850": "DOS 850", "cp437": "DOS 437"}
"""Named where nothing else fits, and never read by: what few bytes stand for in them cannot be told for certain."""

# Letters beyond ASCII of each language that a code page of Latin letters serves. Source: Unicode CLDR, main exemplars.
WESTERN = (
    *("àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúü", "áàâãçéêíóôõúü", "àèéìíîòóùú", "áéíóúàèëïöü", "æøåéèêóòâôü"),
    *("åäöéàüšž", "áéíóúýþæöð", "àçéèíïóòúü"),
)
LATIN = {
    "cp1252": WESTERN,
    "cp1250": (*("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţ", "čćđšž", "äöüß", "çë"),),
    "cp1254": ("çğıöşüâîû",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž"),
}
ASCII = bytes(range(0x80))
PLAIN = b"\t\n\r" + bytes(range(0x20, 0x7F))
LOANWORD_SHARE = 0.01
"""Of a text's bytes: where fewer are no ASCII, it is English with names and loanwords, or Italian or Dutch, and in the
code page of all three (assumed: French has 3 in 100, German 2, Turkish, Polish, Czech and Hungarian 7 and more)."""

LEAD = 0.15
"""By which the likeliest reading in another script must lead the next (assumed; measured on short texts in eight
encodings, the right one led by 0.21 or more)."""

LIKELY = 0.1  # how much messier than the best a reading may be, for it to count as a possible one; assumed
EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "FULLWIDTH", "IDEOGRAPHIC"}
NAMED_PAGES = 4  # at most, in a refusal
RARE = set("žšÿœ")  # in Windows-1252, where they stand for the commonest letters of Mac Roman and DOS
TYPOGRAPHIC = set("‘’‚“”„«»‹›–—…•·°§©®™€£¿¡\xa0")
WITHIN_WORDS = "'’‘ʼ-‐‑–—­·…"
SIGN_IN_WORD = re.compile(r"[^\W\d_][^\x00-\x7f]+[^\W\d_]")
MISPLACED = re.compile(
    r"[^\W\d_][†‡ˆƒ‰‚„€¤¦¨¯¸¬¶¢¥]"  # in another code page a letter at the end of a word
    r"|[‡ˆƒ‰€¤¦¨¯¸¬¶][^\W\d_]"  # or at its beginning
    r"|[.,;:!?\"')][ÒÓÔÕÑÐÉ](?!\w)|(?<!\w)[ÑÕÐÒ](?!\w)|(?<!\w)[ÒÔ][A-Z][a-z]"  # a quotation mark or dash of Mac Roman
)
"""What Western text in Windows-1252 does not have, and Mac Roman or DOS text read by it does."""

WIDE_RUN = re.compile(r"[^\x00-\x7f]+")
"""Where half of the East Asian letters stand alone, they are letters with an accent and what follows them (assumed)."""

MIXED_WORD = re.compile(r"[A-Za-z][^\W\d_a-zA-Z]|[^\W\d_a-zA-Z][A-Za-z]")


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How a file's bytes become lines: a codec of Python's, what ends a line, and a note where neither was plain."""

    codec: str
    line_end: str
    notes: tuple[str, ...] = ()


def find_encoding(path: Path) -> Encoding:
    """The encoding of a file, which then decodes whole.

    Raises: DataError, naming the line, for what is no text, cannot be read, or could be read in more than one way.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    if kind := kind_of_bytes(head):
        raise DataError(f"{path}: is {kind}, not text; take the rows out of it and save them as CSV in UTF-8.")
    marked = next((codec for mark, codec in MARKS if head.startswith(mark)), None)
    if marked is None and b"\0" in head:
        codec, notes = _without_mark(path, head)
    else:
        codec = marked or "utf-8"
        notes = () if codec == "utf-8" else (f"read as {codec[:6].upper()}, by its byte-order mark",)
    try:
        line_end = _line_end(path, codec)
    except UnicodeDecodeError as error:
        if codec != "utf-8" or marked:
            raise _broken(path, codec, error) from None
        codec, note = _code_page(path)
        line_end, notes = _line_end(path, codec), (note,)
    if line_end == "\r":
        notes = (*notes, "carriage returns alone taken for line ends")
    return Encoding(codec=codec, line_end=line_end, notes=notes)


def _line_end(path: Path, codec: str) -> str:
    """What ends the lines of a file: a line feed, or a carriage return where there is no line feed.

    Raises: UnicodeDecodeError, its reason the number of the line, where the file does not decode.
    """
    decoder = codecs.getincrementaldecoder(codec)("strict")
    feeds, has_returns = 0, False
    for chunk in _chunks(path):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(codec, "ignore")
            error.reason = str(feeds + before.count("\n") + 1)
            raise
        feeds += text.count("\n")
        has_returns = has_returns or "\r" in text
    return "\r" if has_returns and not feeds else "\n"


def _chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes piece by piece, and an empty piece at the end."""
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
            yield b""
    except OSError as error:  # a file that can be opened and not read, as on a broken disk
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None


def _without_mark(path: Path, head: bytes) -> tuple[str, tuple[str, ...]]:
    """The wide encoding of a file that has NUL bytes and no byte-order mark. Raises: DataError for a binary file."""
    readings = {}
    wide = (("utf-16-le", 2), ("utf-16-be", 2), ("utf-32-le", 4), ("utf-32-be", 4))
    is_ascii = not head.translate(None, PLAIN + b"\0") and 4 * head.count(0) < len(head)  # and some stray NUL bytes
    for codec, width in () if is_ascii else wide:
        if path.stat().st_size % width:
            continue
        try:
            text = codecs.getincrementaldecoder(codec)("strict").decode(head)
        except UnicodeDecodeError:
            continue
        if text.strip() and all(  # line ends alone are no text
            character in "\t\r\n" or unicodedata.category(character)[0] != "C" for character in text
        ):
            readings[codec] = text
    if len(readings) != 1:
        line = head.count(b"\n", 0, head.index(b"\0")) + 1
        raise has_nul(f"{path}:{line}", ends_so=not head[head.index(b"\0") :].strip(b"\0"))
    (codec,) = readings
    return codec, (f"read as {codec.upper()}, which it is without a byte-order mark",)


def has_nul(where: str, *, ends_so: bool = False) -> DataError:
    """What to say of a NUL byte; `ends_so` is whether nothing but such follow."""
    if ends_so:
        return DataError(
            f"{where}: a NUL byte, and nothing else up to the end, as in a file not written whole; get a whole copy."
        )
    return DataError(f"{where}: a NUL byte, which no text in UTF-8 has; take it out, or save the file as UTF-8 text.")


def _broken(path: Path, codec: str, error: UnicodeDecodeError) -> DataError:
    where = f"{path}:{error.reason}"
    if error.end >= len(error.object) and codec != "utf-8":
        return DataError(f"{where}: the file ends within a character of {codec[:6].upper()}; get a whole copy.")
    return (
        _not_utf8(where, error.object[error.start], "")
        if codec == "utf-8"
        else DataError(f"{where}: not {codec[:6].upper()}, as the byte-order mark says; save the file as UTF-8 text.")
    )


def _not_utf8(where: str, byte: int, why: str) -> DataError:
    return DataError(f"{where}: byte 0x{byte:02x} is not UTF-8{why}; save the file as UTF-8 text.")


def _code_page(path: Path) -> tuple[str, str]:
    """The code page of a file that is not UTF-8, and a note that shows a word of it. Raises: DataError."""
    sample, wide_bytes, total_bytes, whole, number, byte, place = b"", 0, 0, 0, 0, 0, 0
    for place, line in enumerate(_byte_lines(path), 1):
        total_bytes += len(line)
        if b"\0" in line:
            raise has_nul(f"{path}:{place}")
        if line.isascii():
            continue
        wide_bytes += len(line.translate(None, ASCII))
        try:
            line.decode()
            whole += 1
        except UnicodeDecodeError as error:
            number, byte = (number, byte) if number else (place, line[error.start])
            sample += line if len(sample) < SAMPLE_BYTES else b""
    where = f"{path}:{number}"
    try:
        sample.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        pass
    else:
        raise _not_utf8(where, byte, ", but half of a surrogate pair (CESU-8, as Java and MySQL write)")
    *_, (end, _) = itertools.pairwise(itertools.chain([b""], _chunks(path)))
    if whole and place == number and not end[-1:].isascii():  # the last line alone, in the midst of a character
        raise DataError(f"{where}: the file ends within a character of UTF-8; get a whole copy.")
    if whole:
        raise _not_utf8(where, byte, f", while {whole} other lines are: two encodings in one file")
    readings = _readings(sample, wide_bytes / total_bytes)
    texts = {text: codec for codec, text in reversed(readings.items())}
    if len(texts) == 1:
        ((text, codec),) = texts.items()
        found = re.search(r"\S*[^\x00-\x7f]\S*", text)
        assert found is not None, "the sample has nothing but lines that are not ASCII"
        return codec, f"not UTF-8: read as {CODE_PAGES[codec]}, in which line {number} has {found[0][:30]!r}"
    could = [*_old_pages(sample), *(CODE_PAGES[codec] for codec in texts.values())]
    raise _not_utf8(where, byte, f", and could be {' or '.join(could[:NAMED_PAGES])}" if could else "")


def _byte_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file; pieces of `CHUNK_BYTES` where they are longer."""
    with path.open("rb") as file:
        while line := file.readline(CHUNK_BYTES):
            yield from line.removesuffix(b"\r\n").splitlines(keepends=True) if b"\r" in line else (line,)


def _readings(sample: bytes, wide_share: float) -> dict[str, str]:
    """What `sample` can be read as, by codec: texts whose letters and words are those of one language or script."""
    import charset_normalizer

    matches = list(charset_normalizer.from_bytes(sample, cp_isolation=list(CODE_PAGES)))
    if not matches:
        return {}
    likely = [match for match in matches if match.chaos <= matches[0].chaos + LIKELY]
    if wide_share <= LOANWORD_SHARE:
        western = next((match for match in likely if "cp1252" in match.could_be_from_charset), None)
        if western and _has_words(str(western)) and _letters(str(western)) <= set("".join(WESTERN)) - RARE:
            return {"cp1252": str(western)}
    fitting = {}
    for match in likely:
        codec = next((name for name in CODE_PAGES if name in match.could_be_from_charset), None)
        if codec and _fits(str(match), match.could_be_from_charset):
            if codec == "cp1252" and _letters(str(match)) and _letters(str(match)) <= RARE and _old_pages(sample):
                continue
            fitting[codec] = match
    others = sorted((match.coherence, codec) for codec, match in fitting.items() if codec not in LATIN)
    if len(others) == len(fitting) > 1 and others[-1][0] >= others[-2][0] + LEAD:
        fitting = {others[-1][1]: fitting[others[-1][1]]}
    return {codec: str(match) for codec, match in fitting.items()}


def _old_pages(sample: bytes) -> list[str]:
    """The old code pages in which `sample` is Western text, each with a word of it."""
    found = []
    for codec, name in OLD_PAGES.items():
        text = sample.decode(codec)
        signs = {character for character in text if character > "\x7f" and not character.isalpha()}
        if _has_words(text) and _letters(text) <= set("".join(WESTERN)) and signs <= TYPOGRAPHIC:
            word = re.search(r"\S*[^\x00-\x7f]\S*", text)
            found.append(f"{name} (with {word[0][:30]!r})" if word else name)
    return found


def _fits(text: str, names: list[str]) -> bool:
    letters = _letters(text)
    scripts = {unicodedata.name(letter, "?").split()[0] for letter in letters}
    if scripts & EAST_ASIAN:
        alone = sum(len(run) == 1 for run in WIDE_RUN.findall(text))
        return scripts <= EAST_ASIAN and 2 * alone < sum(map(text.count, letters))
    if not _has_words(text):
        return False
    latin = [language for name in names for language in LATIN.get(name, ())]
    if latin and (not letters or any(letters <= set(language) for language in latin)):
        return True
    return len(scripts) == 1 and scripts != {"LATIN"} and not MIXED_WORD.search(text)


def _has_words(text: str) -> bool:
    """Whether its words are like words: no sign in one but such as an apostrophe, no capital beyond ASCII amid one."""
    signs = (character for found in SIGN_IN_WORD.finditer(text) for character in found[0][1:-1])
    if not all(character.isalpha() or character in WITHIN_WORDS for character in signs):
        return False
    if MISPLACED.search(text) or text.count("„") > text.count("“") + text.count("”"):
        return False
    return not any(two > "\x7f" and two.isupper() and one.islower() for one, two in itertools.pairwise(text))


def _letters(text: str) -> set[str]:
    return {character for character in text.lower() if character > "\x7f" and character.isalpha()}
