"""Where the shipped quotations come from: Debian's `fortunes` and `bible-kjv-text`.

Who counts as an author whose work is in the public domain stands in corpora/fortune_authors.txt; what reading all
candidates by eye put aside stands, by its first words, in corpora/fortune_dropped.txt.
"""

import re
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

CORPORA = Path(__file__).resolve().parent / "corpora"
FORTUNES = Path("/usr/share/games/fortunes")
FORTUNE_CHARACTERS = (30, 220)
VERSE_CHARACTERS = (40, 200)

# Topical, technical or rude, or translated by someone recent; none of the collections marked offensive is read at all.
COLLECTIONS_LEFT_OUT = frozenset(
    """
    anarchism ascii-art computers debian definitions disclaimer drugs ethnic food goedel knghtbrd linux linuxcookie
    magic news perl pratchett riddles songs-poems sports startrek tao translate-me zippy
    """.split()  # noqa: SIM905 (a list of words reads better than a list of strings)
)

# Books in order of preference: the aphoristic ones first. Keys are the abbreviations that `bible -f` prints.
BOOKS = {
    **{"Prv": "Proverbs", "Eccl": "Ecclesiastes", "Psa": "Psalms", "Job": "Job", "Jas": "James", "1Jn": "1 John"},
    **{"Mat": "Matthew", "Luke": "Luke", "John": "John", "Mark": "Mark", "Rom": "Romans", "1Cor": "1 Corinthians"},
    **{"2Cor": "2 Corinthians", "Gal": "Galatians", "Eph": "Ephesians", "Phi": "Philippians", "Col": "Colossians"},
    **{"1Th": "1 Thessalonians", "2Th": "2 Thessalonians", "1Tim": "1 Timothy", "2Tim": "2 Timothy", "Titus": "Titus"},
    **{"Heb": "Hebrews", "1Pet": "1 Peter", "2Pet": "2 Peter", "SSol": "Song of Solomon", "Isa": "Isaiah"},
    **{"Mic": "Micah", "Lam": "Lamentations", "Hab": "Habakkuk", "3Jn": "3 John"},
}

# A verse that opens so leans on the one before it.
LEANING_OPENING = re.compile(
    r"""(?:
    And | But | For | Or | Nor | Neither | Which | Who(?!so) | Whom | Whose | That | Then | So | Yea | Also |
    Likewise | Wherefore | Therefore | Because | Wherein | Whereby | Whereof | Whereas | Whither | Moreover |
    Furthermore | Nevertheless | Howbeit | Notwithstanding | Now | Even | Thus | Again | To(?!\ every) | With |
    From | Until | Till | Of | Not | Yet | Than | Forasmuch | Insomuch | After | As\ (?:for|he|also|touching) |
    These | This | It(?!\ is\ ) | They(?!\ that) | He(?!\ that) | Him(?!\ that) | She | His | Her | Their | Them |
    Some | Otherwise | Beside | Unto | Upon | Into | Among | Hereby | Herein | Here\ is |
    In\ (?:whom|whose|which|holiness|all\ matters) | By\ whom | If\ so | Peradventure | When\ (?:he|they|she) |
    Lest | All\ this | None\ that\ go | There\ was | The\ (?:other|second)\ (?:of|is) | Hast | Say\ not\ ye |
    Esaias | Jesus | Isaac | Abraham | Only\ be | Being | Having | Saying | (?!Blessed|Beloved)[A-Z][a-z]+ed |
    [A-Z][a-z]+ing\ (?:this|that|forth|to|in|the|with|of)
    )\b""",
    re.VERBOSE,
)
# Words of story, blood and quarrel between peoples: what they stand in is no saying.
STORY = re.compile(
    r"""\b(?:
    said | saith\ unto | saying | answered | came\ to\ pass | spake | went | came | besought | king\ of | Israel |
    Jews? | Jewish | Gentiles? | Jerusalem | Zion | Sion | Judah | Pharisees? | Moab | Egypt\w* | Babylon | Jacob |
    David | Moses | Aaron | Samaria | Ephraim | Lebanon | Bashan | Idumea | Tyre | Ethiopia | Philistines? |
    Assyria\w* | Edom | Sodom | Macedonia | Achaia | Ephesus | Corinth | Timothy | Paul | Titus | Apollos | Peter |
    Barnabas | Cephas | Gaius | Simon | Mary | Pharaoh | Satan | John | Sadducees | disciples | deacons? |
    bishops? | publicans? | heathen | Anathema | churches | apostles? | circumcis\w+ | uncircumcis\w+ | whore\w* |
    harlots? | fornicat\w+ | adulter\w+ | concubines? | womb | breasts? | loins | dung | piss\w* | bowels |
    virgins? | vomit | (?:strange|brawling|contentious|odious)\ woman | woman\ being | wives | husbands? |
    silence\ in | usurp | subjection | slew | slay | slain | kill\w* | blood\w* | sacrific\w+ | burnt | bullocks? |
    rams? | swine | rod | smite | smote | smitten | dash\w* | stoned | servants?,?\ obey | slaves? | eunuchs? |
    flagons | kisses | Selah | Sennacherib | Lucifer | Rahab | Herod | Pilate | Isaac | Abraham | Aroer |
    devil,\ taking
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)


def fortune_authors() -> list[tuple[str, re.Pattern[str]]]:
    """Authors who died before 1930, each with a pattern for the ways in which `fortunes` writes the name."""
    rows = (CORPORA / "fortune_authors.txt").read_text(encoding="utf-8").splitlines()
    names = [row.partition("=") for row in rows]
    return [(name, re.compile(pattern or re.escape(name))) for name, _, pattern in names]


def fortune_quotations(folder: Path = FORTUNES) -> Iterator[tuple[str, str]]:
    """Pairs of one-line quotation and author from `fortunes`, without those that were put aside by eye.

    Raises: FileNotFoundError if the package `fortunes` is not installed.
    """
    if not (folder / "wisdom").is_file():
        raise FileNotFoundError(2, "not installed", str(folder))
    authors = fortune_authors()
    dropped = tuple((CORPORA / "fortune_dropped.txt").read_text(encoding="utf-8").splitlines())
    for path in sorted(folder.iterdir()):
        if path.suffix or path.name in COLLECTIONS_LEFT_OUT:
            continue
        for entry in re.split(r"\n%\n", path.read_text(encoding="utf-8", errors="replace")):
            signed = re.search(r"\n\s*--\s*(.+?)\s*$", entry, re.DOTALL)
            if not signed:
                continue
            writer = re.split(r',| \(|"|\[|;| in ', " ".join(signed[1].split()))[0].strip()
            author = next((name for name, pattern in authors if pattern.fullmatch(writer)), None)
            text = clean_quotation(entry[: signed.start()])
            if author and text and not text.startswith(dropped):
                yield text, author


def clean_quotation(text: str) -> str | None:
    """One plain line of 30 to 220 characters that ends a sentence, or None where the text is not such a thing."""
    line = unicodedata.normalize("NFKC", " ".join(text.split()))
    if line.startswith('"') and line.endswith('"') and line.count('"') == 2:
        line = line[1:-1]
    line = re.sub(r"\s*--\s*", " -- ", line).replace("....", "...").strip()
    markup = re.search(r"[\[\]_*\\|<>{}\x00-\x1f�]|(?:n|v|adj)\.?:|^[A-Z][a-z]+: ", line)
    if markup or not FORTUNE_CHARACTERS[0] <= len(line) <= FORTUNE_CHARACTERS[1] or not line.isascii():
        return None
    return line if re.search(r"[.!?][\"')]?$", line) and re.match(r"[\"'A-Z]", line) else None


def verses() -> Iterator[tuple[str, str]]:
    """Pairs of verse and source such as "Proverbs 3:5 (KJV)", only verses that stand alone, preferred books first.

    Raises: FileNotFoundError if the program `bible` or its text is not installed.
    """
    command = ["bible", "-f", "gen1:1-rev22:21"]
    listing = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout
    if not listing.strip():
        raise FileNotFoundError(2, "not installed", "/usr/lib/bible.data")
    ranks = {book: rank for rank, book in enumerate(BOOKS)}
    found = []
    for line in listing.splitlines():
        match = re.fullmatch(r"(\d?[A-Za-z]+)(\d+:\d+) (.+)", line)
        text = clean_verse(match[3]) if match and match[1] in ranks else None
        if match and text:
            found.append((ranks[match[1]], text, f"{BOOKS[match[1]]} {match[2]} (KJV)"))
    for _, text, source in sorted(found, key=lambda row: row[0]):
        yield text, source


def clean_verse(text: str) -> str | None:
    """The verse if it is a saying of 40 to 200 characters that stands alone, else None."""
    line = unicodedata.normalize("NFKC", " ".join(text.split()))
    line = re.sub(r"(?:,? ?Selah\.?)$", "", line).strip()
    line = re.sub(r"^(?:And|But|For|Yea|Therefore|Wherefore),? (?=\w)", "", line)
    line = line[:1].upper() + line[1:]
    if LEANING_OPENING.match(line) or STORY.search(line) or not re.match(r"[A-Z]", line) or "(" in line:
        return None
    return line if VERSE_CHARACTERS[0] <= len(line) <= VERSE_CHARACTERS[1] and line[-1] in ".!?" else None
