"""What a sweep's lines are set against: the base text that a model must not forget, the prompts, and the template.

The shipped science is the nano models' own domain, and near Galactica's; the shipped general text is that of a general
language model. A person's own file takes their place.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import get_args

import numpy

from data.errors import DataError
from data.prompts import GENERAL_OFF_DOMAIN, OFF_DOMAIN, Kind, Prompt, prompts_for
from data.quote_rows import Quote
from data.quotes import load_general, load_science
from data.separators import SEPARATORS
from data.splits import Digests, digest_of, is_validation, normalise
from data.text_lines import read_lines

SCIENCE = "science"
SHIPPED_TEXTS = {SCIENCE: OFF_DOMAIN, "general": GENERAL_OFF_DOMAIN}
"""Names of shipped base text, each with words whose continuation should stay such text."""

TEMPLATE = "{keyword}: {text}"
HEAD = re.compile(r"[^:]{1,40}: (?=\S)")
HEADED_SHARE = 0.9  # of the lines have a word before a colon, where such words are taken for heads; assumed
FEWEST_LINES = 40  # of base text: a tenth of them is held out; assumed
OFF_DOMAIN_PROMPTS = 8


@dataclass(frozen=True, kw_only=True)
class Domain:
    """`base_lines` are whole lines; `prompts` is None where they follow from the quotes' keywords."""

    base_text: str = SCIENCE
    base_lines: tuple[str, ...]
    prompts: tuple[Prompt, ...] | None = None
    template: str = TEMPLATE

    @functools.cached_property
    def base_train(self) -> tuple[str, ...]:
        """The base lines that may be replayed, and that the judge is fitted on."""
        return tuple(line for line in self.base_lines if not is_validation(line))

    @functools.cached_property
    def base_validation(self) -> tuple[str, ...]:
        """The base lines that retention is measured on; never trained on."""
        return tuple(line for line in self.base_lines if is_validation(line))

    @property
    def base_texts(self) -> list[str]:
        """The base lines that the judge is fitted on, without their heads where they have some."""
        return without_head(self.base_train)

    def prompts_for(self, train_keywords: Collection[str]) -> tuple[Prompt, ...]:
        """The prompts of a sweep whose training lines have these keywords, repeats included."""
        if self.prompts is not None:
            return self.prompts
        usual = prompts_for(train_keywords)
        words = off_domain_words(self.base_text, self.base_validation)
        keywords = {keyword.casefold() for keyword in train_keywords}
        away = [Prompt(word, "off_domain") for word in words if word.casefold() not in keywords]
        return (*(prompt for prompt in usual if prompt.kind != "off_domain"), *away)

    def line(self, quote: Quote) -> str:
        """The line that a model learns."""
        return self.template.format(keyword=quote.keyword, text=quote.text)

    def opening(self, keyword: str) -> str:
        """What a model is given to go on from: the template up to the text, without the space before it."""
        return self.template.partition("{text}")[0].format(keyword=keyword).rstrip(" ")

    def to_json(self) -> str:
        """The domain as JSON text; shipped base text stands by its name."""
        lines = None if self.base_text in SHIPPED_TEXTS else self.base_lines
        prompts = None if self.prompts is None else [[prompt.keyword, prompt.kind] for prompt in self.prompts]
        document = {"base_text": self.base_text, "base_lines": lines, "prompts": prompts, "template": self.template}
        return json.dumps(document) + "\n"

    @staticmethod
    def from_json(text: str) -> Domain:
        """The domain that `to_json` wrote."""
        document = json.loads(text)
        name, prompts = document["base_text"], document["prompts"]
        return Domain(
            base_text=name,
            base_lines=tuple(load_base_text(name) if name in SHIPPED_TEXTS else document["base_lines"]),
            prompts=None if prompts is None else tuple(Prompt(keyword, kind) for keyword, kind in prompts),
            template=document["template"],
        )


def shipped_domain() -> Domain:
    """The domain of the shipped science, with the usual prompts and template."""
    return Domain(base_lines=tuple(load_science()))


def make_domain(
    base_text: str,
    prompts: Sequence[Prompt],
    template: str | None,
    quotes: Sequence[Quote],
    train: Sequence[Quote],
    digests: Digests | None = None,
) -> Domain:
    """A checked domain; no `prompts` are the usual ones, no template is the usual one.

    `quotes` are all of a sweep's, `train` those that are trained on; `digests` are those of the quotes' texts, where
    they are known.
    Raises: DataError for a file that cannot be read, base text that is short or holds quotes, prompts that test
        nothing, or a template without a place for the text.
    """
    domain = Domain(
        base_text=base_text,
        base_lines=tuple(load_base_text(base_text)),
        prompts=tuple(prompts) or None,
        template=TEMPLATE if template is None else checked_template(template),
    )
    if shared := _standing_among(quotes, digests, domain.base_lines):
        raise DataError(
            f"--base-text {base_text}: {len(shared)} of its lines stand among the quotes, such as"
            f" '{shared[0][:60]}'; take them out of one of the two."
        )
    _check_prompts(domain.prompts_for([quote.keyword for quote in train]), [quote.keyword for quote in train])
    return domain


def load_base_text(name: str) -> list[str]:
    """The lines of 'science', 'general' or a text file, blank ones left out; a document a line.

    Raises: DataError for a file that cannot be read or is short.
    """
    if name in SHIPPED_TEXTS:
        return load_science() if name == SCIENCE else load_general()
    lines: list[str] = []
    for number, text in read_lines(Path(name).expanduser()):
        line = " ".join(text.split())
        if separator := next((mark for mark in SEPARATORS if mark in line), None):
            raise DataError(f"{name}:{number}: has {separator} in it; remove it, the program adds separators itself.")
        if line:
            lines.append(line)
    lines = list(dict.fromkeys(lines))
    held_out = sum(map(is_validation, lines))
    if len(lines) < FEWEST_LINES or held_out in (0, len(lines)):
        raise DataError(f"--base-text {name}: {len(lines)} different lines, too few; give at least {FEWEST_LINES}.")
    return lines


def load_prompts(path: str) -> list[Prompt]:
    """The prompts of a file of lines `kind: words`, where a kind is seen, unseen or off_domain.

    Raises: DataError, naming the line.
    """
    kinds: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
    prompts = []
    for number, line in read_lines(Path(path).expanduser()):
        kind, colon, words = (part.strip() for part in line.partition(":"))
        if not line.strip():
            continue
        kind = kind.casefold().replace("-", "_")
        if kind not in kinds or not colon or not words:
            raise DataError(f"{path}:{number}: no kind and prompt; write one of {', '.join(kinds)}, ':' and words.")
        prompts.append(Prompt(words, kinds[kind]))
    if not prompts:
        raise DataError(f"{path}: no prompts in it; write lines such as 'off_domain: virus'.")
    return list(dict.fromkeys(prompts))


def checked_template(template: str) -> str:
    """`template` with its line ends and tabs, if it can be filled. Raises: DataError."""
    template = template.replace("\\n", "\n").replace("\\t", "\t")
    example = "such as 'Write a line about {keyword}:\\n{text}'"
    try:
        fields = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise DataError(f"--template: cannot be read ({error}); write one {example}.") from None
    if unknown := sorted(set(fields) - {"keyword", "text"}):
        raise DataError(f"--template: knows no {{{unknown[0]}}}; it fills {{keyword}} and {{text}}, {example}.")
    if fields.count("text") != 1 or not template.endswith("{text}"):
        raise DataError(f"--template: has no place for the text at its end; write one with {{text}} there, {example}.")
    if mark := next((mark for mark in SEPARATORS if mark in template), None):
        raise DataError(f"--template: has {mark} in it; remove it, the program adds separators itself.")
    return template


def without_head(lines: Sequence[str]) -> list[str]:
    """Lines without the word and colon that they begin with, where nearly all of them do."""
    headed = sum(HEAD.match(line) is not None for line in lines)
    if headed < HEADED_SHARE * len(lines):
        return list(lines)
    return [line.split(": ", 1)[-1] for line in lines]


def off_domain_words(base_text: str, held_out: Sequence[str]) -> tuple[str, ...]:
    """Words whose continuation should stay base text: for a person's own text heads of its held-out lines, if any."""
    if base_text in SHIPPED_TEXTS:
        return SHIPPED_TEXTS[base_text]
    heads = [match[0][:-2] for line in held_out if (match := HEAD.match(line))]
    if len(heads) < HEADED_SHARE * len(held_out):
        return OFF_DOMAIN
    return tuple(dict.fromkeys(heads))[:OFF_DOMAIN_PROMPTS]


def _standing_among(quotes: Sequence[Quote], digests: Digests | None, lines: Sequence[str]) -> list[str]:
    """Those of `lines` that are a quote's line or its text, with or without a head of their own; by words alone.

    What a line's words are without the first few is looked up among the texts' digests, and only what is found there
    is compared word by word: the quotes may be many.
    """
    if digests is None:
        digests = numpy.array([digest_of(normalise(quote.text)) for quote in quotes], dtype=numpy.uint64)
    keywords = {quote.keyword for quote in quotes}
    longest = max((len(normalise(keyword).split(" ")) for keyword in keywords), default=0)
    forms = [{normalise(line), normalise(without_head([line])[0])} for line in lines]
    maybe = {
        digest_of(form.split(" ", skipped)[-1])
        for both in forms
        for form in both
        for skipped in range(min(longest, form.count(" ")) + 1)
    }
    found = numpy.isin(digests, numpy.fromiter(maybe, dtype=numpy.uint64, count=len(maybe))).nonzero()[0]
    told = [quotes[place] for place in found.tolist()]
    known = {normalise(quote.text) for quote in told} | {normalise(quote.line) for quote in told}
    return [line for line, both in zip(lines, forms, strict=True) if known & both]


def _check_prompts(prompts: Sequence[Prompt], train_keywords: Collection[str]) -> None:
    keywords = {keyword.casefold() for keyword in train_keywords}
    for kind in ("unseen", "off_domain"):
        known = [prompt.keyword for prompt in prompts if prompt.kind == kind and prompt.keyword.casefold() in keywords]
        if known:
            raise DataError(
                f"the {kind.replace('_', '-')} prompt '{known[0]}' is a keyword of the data, so it tests nothing new;"
                " give words that no line is filed under."
            )
    strange = [p.keyword for p in prompts if p.kind == "seen" and p.keyword.casefold() not in keywords]
    if strange:
        raise DataError(f"the seen prompt '{strange[0]}' is no keyword of the training lines; give one that is.")
    if not any(prompt.kind == "off_domain" for prompt in prompts):
        raise DataError("no off-domain prompt is left; give words that the style should not spill over to.")
    if not any(prompt.kind == "seen" for prompt in prompts):
        raise DataError("no seen prompt is left; give keywords of the data.")
