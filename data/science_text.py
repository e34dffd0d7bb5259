"""Scientific base text from WordNet 3.0: lines of the shape `headword: definition.`

The text comes from Debian's package `dict-wn`. A definition is taken once, under the first of its synonyms, and only
where its words say that it speaks of nature, medicine, mathematics or technology.
"""

import gzip
import re
import unicodedata
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from data.splits import is_validation

WORDNET = Path("/usr/share/dictd/wn.dict.dz")
CHARACTERS = (40, 300)  # shortest and longest line kept

# Whole words of a gloss that mark it as scientific.
WORDS_FILE = Path(__file__).resolve().parent / "corpora" / "science_words.txt"

# Subject labels that open a gloss, as in "(virology) ...".
SUBJECT = re.compile(
    r"^\([a-z ]*(?:ology|ologies|physics|chemistry|mathematics|statistics|medicine|astronomy|anatomy|genetics|surgery|"
    r"botany|geometry|mechanics|optics|electronics|psychiatry|computer science|thermodynamics|trigonometry|calculus)\)"
)
# Words of a gloss that leave it out whatever else it says: people, places, trades, ways of speech.
NOT_SCIENCE = re.compile(
    r"""\b(?:
    slang | informal | ethnic | racial | offensive | obscene | vulgar | derogatory | disparaging | slur |
    sexual\ intercourse | prostitut\w+ | copulat\w+ | writer | novelist | poet | painter | composer | politician |
    statesman | actor | actress | singer | a\ town | a\ city | a\ port | the\ capital | a\ battle | mythology |
    saint | baseball | football | basketball | cricket | goddess | monetary\ unit | money | journalist | military |
    movie
    )\b""",
    re.VERBOSE,
)
# Whole words of a definition that mark it as scientific.
_SCIENCE = frozenset(WORDS_FILE.read_text(encoding="utf-8").split())
_SENSE = re.compile(r"^ {4,}(?:(?:n|v|adj|adv) )?(\d+): (.*)$")


def wordnet_senses(path: Path = WORDNET) -> Iterator[tuple[str, str]]:
    """Pairs of headword and raw gloss, in the file's order.

    Raises: FileNotFoundError if the package `dict-wn` is not installed.
    """
    headword, parts = "", []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            sense = _SENSE.match(line)
            if sense or not line.startswith(" "):
                if parts:
                    yield headword, " ".join(parts)
                parts = [sense[2].strip()] if sense else []
                if not sense:
                    headword = line.strip()
            elif parts:
                parts.append(line.strip())
    if parts:
        yield headword, " ".join(parts)


def clean_definition(gloss: str) -> tuple[str, str]:
    """The definition alone, and the first of its synonyms ("" where none is named).

    Usage examples in quotation marks and the bracketed cross-references are taken off.
    """
    synonyms = re.search(r"\[syn: \{([^}]*)\}", gloss)
    text = re.sub(r"\s*\[(?:syn|ant|also): [^\]]*\]", "", gloss)
    text = re.split(r'[;:,]?\s*"', text)[0]
    text = re.sub(r"[{}]", "", text).strip(" ;:,.")
    return unicodedata.normalize("NFKC", text), synonyms[1] if synonyms else ""


def is_scientific(definition: str) -> bool:
    """Whether a definition's own words place it in the natural sciences, medicine, mathematics or technology."""
    if NOT_SCIENCE.search(definition):
        return False
    return bool(SUBJECT.match(definition)) or not _SCIENCE.isdisjoint(re.findall(r"[a-z][a-z-]*", definition.lower()))


def science_lines(path: Path = WORDNET) -> list[str]:
    """All scientific lines `headword: definition.`, each definition once, shuffled by hash.

    Returns: strings of 40 to 300 characters, no two with the same definition or the same words.
    Raises: FileNotFoundError if the package `dict-wn` is not installed.
    """
    seen: set[str] = set()
    lines = []
    for headword, gloss in wordnet_senses(path):
        definition, first_synonym = clean_definition(gloss)
        if headword.startswith("00-database") or first_synonym not in ("", headword) or not is_scientific(definition):
            continue
        line = f"{unicodedata.normalize('NFKC', headword)}: {definition}."
        words = " ".join(re.findall(r"[a-z0-9]+", definition.casefold()))
        if words in seen or not CHARACTERS[0] <= len(line) <= CHARACTERS[1] or not line.isascii():
            continue
        seen.add(words)
        lines.append(line)
    return sorted(lines, key=lambda line: blake2b(line.encode(), digest_size=8).digest())


def pretraining_lines(path: Path = WORDNET) -> list[str]:
    """The scientific lines that a base model may see: all but the held-out ones."""
    return [line for line in science_lines(path) if not is_validation(line)]


def heldout_lines(path: Path = WORDNET) -> list[str]:
    """The scientific lines that no base model ever sees."""
    return [line for line in science_lines(path) if is_validation(line)]


def science_strength(line: str) -> tuple[bool, int]:
    """How plainly a line is science: whether a subject label opens it, then how many of the marking words it has."""
    definition = line.partition(": ")[2]
    return bool(SUBJECT.match(definition)), len(_SCIENCE.intersection(re.findall(r"[a-z][a-z-]*", definition.lower())))
