"""Quotations by many hands: the illustrations in Webster's Unabridged Dictionary of 1913, from Debian's `dict-gcide`.

The dictionary shows the use of words by some 39,000 short passages of English writers, each signed. Those that a
writer of corpora/webster_authors.txt signed and that read as a saying of their own are taken: whole sentences in the
present tense, without a person or a place that only their book would explain.
"""

import gzip
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.quotation_sources import LEANING_OPENING

CORPORA = Path(__file__).resolve().parent / "corpora"
DICTIONARY = Path("/usr/share/dictd/gcide.dict.dz")
WEBSTER = "(Webster 1913)"
CHARACTERS = (36, 220)
FEWEST_WORDS = 7
FEWEST_USES = 3  # of a word in the whole dictionary: rarer ones are out of use, or were read wrongly from paper

PASSAGE = re.compile(r" {8,}\S")  # so far passages are set in; definitions are less
SIGNED = re.compile(r"(?:^|\s)--\s*([A-Z][A-Za-z.,&'\[\] ]*?)\s*$")
SIGNATURE_GOES_ON = re.compile(r" {20,}\S.{0,23}$")

# Leaves a passage out: what only its book explains (a story's tense, a speaker), and what would wound.
STORY = re.compile(
    r"""\b(?:
    I | I'll | I'm | my | me | mine | myself | was | were | had | did | said | says | saith | quoth | came |
    went | saw | took | stood | made | gave | found | began | sir | ye | madam | lords? | kings? | queens? |
    princes? | duke | army | armies | troops | city | town | church | bishops? | priests? | popish | popery |
    papists? | Jews? | Jewish | negro\w* | savages? | barbarian\w* | heathens? | whore\w* | harlots? | slaves? |
    wench\w* | strumpets? | bastards? | breasts? | wom[ae]n | ladies | widows? | virgins? | womb | naked |
    lust\w* | adulter\w+ | hang\w* | blood\w* | swords? | aforesaid |
    this\ (?:book|work|passage|place|word|author) | our\ author | these\ (?:letters|two) |
    the\ (?:two|former|latter)
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)
# A verb that makes a sentence, not right after a word that would make it a clause of one.
FINITE = re.compile(
    r"""(?<!\bwhich\ )(?<!\bthat\ )(?<!\bwho\ )(?<!\bas\ )(?<!\bwhere\ )(?<!\bwhen\ )(?<!\bif\ )(?<!\bthan\ )\b(?:
    is | are | am | be | has | hath | have | do | does | doth | can | cannot | may | must | will | shall |
    should | would | might | could | ought | need | 'tis | 'twill | makes? | gives? | takes? | keeps? | loves? |
    lives? | grows? | brings? | seems? | becomes? | begets? | breeds? | teaches | knows? | finds? | needs? |
    wants? | lies | dies | comes? | goes | goeth | follows? | leads? | holds? | leaves? | lends? | runs? |
    serves? | shows? | speaks? | springs? | strikes? | yields? | requires? | depends? | consists? | deserves? |
    destroys? | feels? | fears? | flies | hates? | hopes? | judges? | learns? | looks? | meets? | moves? |
    pleases? | proves? | receives? | reigns? | rises? | sees? | shines? | sits? | sleeps? | stands? | suffers? |
    thinks? | trusts? | turns? | understands? | wears? | wins? | works? | never | let | let's
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)
FRAGMENT = re.compile(
    r"^(?:As|While|Where|Whilst|Through|Like|Either|On|O'er|Thou|Thy|Thee|Shall|Does|Did|Was|Here"
    r"|Those\ (?!who|that)|Such\ (?:an?|as)|Both|Your|Thus|Had|Still|Under|Between|More|Commanders|Put|Say|How\ by)\b"
)
MARKUP = re.compile(r"[\[\]{}_*\\|<>\"()/#]|\. \. \.|\.\.|--|\d|\?(?= *[a-z])|[a-z]\?[a-z]|^\W|\bAEne")
LOWER_CASE_FACTOR = 2  # a word is a common one if it stands so much oftener in lower case, inside a line
ALWAYS_CAPITAL = frozenset({"god", "god's", "heaven", "nature", "lord"})


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A passage as the dictionary sets it, and as its writer is signed there."""

    lines: tuple[str, ...]
    signature: str


def passages(path: Path = DICTIONARY) -> Iterator[Passage]:
    """Every signed passage of the dictionary.

    Raises: FileNotFoundError if the package `dict-gcide` is not installed.
    """
    rows = _rows(path)
    block: list[str] = []
    for number, row in enumerate(rows):
        signed = SIGNED.search(row)
        if not PASSAGE.match(row):
            block = []
        elif signed:
            following = rows[number + 1] if number + 1 < len(rows) else ""
            goes_on = SIGNATURE_GOES_ON.match(following) and not SIGNED.search(following)
            signature = f"{signed[1]} {following.strip()}" if goes_on else signed[1]
            lines = [" ".join(line.split()) for line in (*block, row[: signed.start()])]
            yield Passage(lines=tuple(filter(None, lines)), signature=signature.strip().rstrip("."))
            block = []
        else:
            block.append(row)


def webster_quotations(path: Path = DICTIONARY) -> Iterator[tuple[str, str]]:
    """Pairs of quotation and source such as "Francis Bacon (Webster 1913)", in the dictionary's order, with repeats.

    Raises: FileNotFoundError if the package `dict-gcide` is not installed.
    """
    authors = webster_authors()
    found = list(passages(path))
    is_common, in_use = _common_words(found), _words_in_use(path)
    dropped = tuple((CORPORA / "webster_dropped.txt").read_text(encoding="utf-8").splitlines())
    for passage in found:
        author = authors.get(passage.signature)
        text = clean_passage(passage.lines, is_common) if author else None
        if author and text and in_use.issuperset(_words(text)) and not text.startswith(dropped):
            yield text, f"{author} {WEBSTER}"


def webster_authors() -> dict[str, str]:
    """The authors, all dead before 1930, by each way in which the dictionary signs them."""
    rows = (CORPORA / "webster_authors.txt").read_text(encoding="utf-8").splitlines()
    return {
        signature: name for name, _, forms in (row.partition("=") for row in rows) for signature in forms.split("|")
    }


def clean_passage(lines: Sequence[str], is_common: frozenset[str]) -> str | None:
    """One line of 40 to 200 characters that is a saying of its own, or None where the passage is no such thing.

    A line of verse that goes on in the next gives up the capital of that one, where its word is no name.
    """
    text = ""
    for line in lines:
        if text and not re.search(r"[.!?:]['\")]*$", text) and _first_word(line) in is_common:
            line = line[:1].lower() + line[1:]
        text = f"{text} {line}".strip()
    text = re.sub(r"(?<=[a-z])- (?=[a-z])", "-", text)
    text = re.sub(r" (?=[;:,.!?])", "", text)
    text = re.sub(r"\bcan not\b", "cannot", text)
    if not CHARACTERS[0] <= len(text) <= CHARACTERS[1] or len(text.split()) < FEWEST_WORDS or not text.isascii():
        return None
    if not re.match(r"[A-Z]", text) or not re.search(r"[.!?]$", text) or MARKUP.search(text):
        return None
    if LEANING_OPENING.match(text) or FRAGMENT.match(text) or STORY.search(text) or not FINITE.search(text):
        return None
    names = [word for word in re.findall(r"\b[A-Z][a-z]+", text) if word.lower() not in is_common]
    return None if names else text


def _common_words(found: Sequence[Passage]) -> frozenset[str]:
    """Words that stand in lower case rather than with a capital, wherever no line begins."""
    words = [word.strip(".,;:!?\"'()") for passage in found for line in passage.lines for word in line.split()[1:]]
    small = Counter(word for word in words if word[:1].islower())
    large = Counter(word.lower() for word in words if word[:1].isupper())
    return frozenset(word for word in small if small[word] >= LOWER_CASE_FACTOR * large[word]) | ALWAYS_CAPITAL


def _words_in_use(path: Path) -> frozenset[str]:
    """Words that stand in the dictionary often enough to be known and spelt right."""
    uses = Counter(word for row in _rows(path) for word in _words(row))
    return frozenset(word for word, count in uses.items() if count >= FEWEST_USES)


def _rows(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
        return [row.rstrip("\n") for row in file]


def _words(text: str) -> list[str]:
    return [word.strip("'").lower() for word in re.findall(r"[A-Za-z']+", text)]


def _first_word(line: str) -> str:
    return re.split(r"[^A-Za-z']", line, maxsplit=1)[0].lower()
