"""The words that every model is asked to continue: keywords it was tuned on, words near them, words far from them."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from data.tokenizer import LoadedTokenizer  # only named: it brings transformers along

Kind = Literal["seen", "unseen", "off_domain"]
SEEN_PROMPTS = 8


@dataclass(frozen=True)
class Prompt:
    """A word to continue. seen: a keyword of the quotes; unseen: as abstract, but none of them; off_domain: science."""

    keyword: str
    kind: Kind


SEEN = ("hope", "love", "life", "wisdom", "inspiration", "truth", "faith", "time")
UNSEEN = ("solitude", "curiosity", "imagination", "destiny", "ambition", "nostalgia", "loneliness", "serenity")
OFF_DOMAIN = ("virus", "phosphorylation", "enzyme", "neutron", "mitochondrion", "algorithm", "polymer", "isotope")
GENERAL_OFF_DOMAIN = ("Brazil", "virus", "railway", "algorithm", "volcano", "electricity", "Norway", "inflation")

PROMPTS: tuple[Prompt, ...] = (
    *(Prompt(keyword, "seen") for keyword in SEEN),
    *(Prompt(keyword, "unseen") for keyword in UNSEEN),
    *(Prompt(keyword, "off_domain") for keyword in OFF_DOMAIN),
)
"""The prompts for the shipped quotes."""


def prompts_for(train_keywords: Collection[str]) -> tuple[Prompt, ...]:
    """`PROMPTS` fitted to a person's own quotes.

    `train_keywords` holds the keyword of every training line, repeats included. Seen prompts are those of the fixed
    list that stand there, then the most frequent others, to eight; unseen and off-domain ones are those that do not.
    """
    frequency = Counter(train_keywords)
    by_frequency = sorted(frequency, key=lambda keyword: (-frequency[keyword], keyword))
    spelling: dict[str, str] = {}
    for keyword in by_frequency:
        spelling.setdefault(keyword.casefold(), keyword)  # 'Hope' and 'hope' are one prompt, the commoner spelling
    known = [spelling[keyword] for keyword in SEEN if keyword in spelling]
    others = [keyword for folded, keyword in spelling.items() if folded not in SEEN]
    seen = (known + others)[:SEEN_PROMPTS]
    return (
        *(Prompt(keyword, "seen") for keyword in seen),
        *(prompt for prompt in PROMPTS if prompt.kind != "seen" and prompt.keyword not in spelling),
    )


def prompt_text(loaded: "LoadedTokenizer", keyword: str) -> str:
    """The text that a model continues: `</s>hope:` for a Galactica tokenizer."""
    return f"{loaded.separator}{keyword}:"
