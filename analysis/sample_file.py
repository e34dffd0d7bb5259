"""A file of samples, of any model, as texts to score: one JSON object a line, with a prompt and a text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.prompts import OFF_DOMAIN, UNSEEN
from data.separators import SEPARATORS
from data.text_lines import read_lines
from trainables.quality.score import BATCHES, ScoredText

EXAMPLE = '{"prompt": "hope:", "text": "Hope is the thing with feathers."}'
KINDS = ("seen", "unseen", "off_domain")
LONGEST_TEXT = 4_000
"""Characters that are read of a text (assumed): no human line is near as long, and memory stays bounded."""


class SamplesError(UserError):
    """A mistake in a file of samples; the message is one line."""


def read_samples(path: str, train_keywords: Collection[str], base_headwords: Collection[str]) -> list[ScoredText]:
    """The samples in `path`, each with what its prompt tests and the batch that it falls in.

    A line may say for itself: "kind" (seen, unseen or off_domain) and "ended" (false for a text that was cut off).
    Without a kind, a prompt is seen if training had its keyword, off-domain if base text defines it, else unseen.
    Raises: SamplesError, naming the line; data.errors.DataError for a file that is no text.
    """
    seen = {keyword.casefold() for keyword in train_keywords}
    off_domain = ({word.casefold() for word in base_headwords} | set(OFF_DOMAIN)) - set(UNSEEN) - seen
    samples: list[ScoredText] = []
    number_of: Counter[str] = Counter()
    for number, line in read_lines(Path(path)):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        document = _document(line, where)
        prompt, text = document["prompt"], document["text"]
        keyword = _keyword(prompt)
        default = "seen" if keyword in seen else "off_domain" if keyword in off_domain else "unseen"
        samples.append(
            ScoredText(
                # Half of a surrogate pair can come out of JSON, but no tool that counts bytes takes it.
                text=_without_frame(text, prompt)[:LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8"),
                kind=document.get("kind", default),
                ended=document.get("ended", True),
                batch=number_of[keyword] % BATCHES,
                keyword=keyword,
            )
        )
        number_of[keyword] += 1
    if not samples:
        raise SamplesError(f"{path}: it holds no sample; write lines such as {EXAMPLE}")
    if len(samples) == 1:
        raise SamplesError(f"{path}: one sample cannot show how a model's samples differ; give 2 or more.")
    if all(sample.kind == "off_domain" for sample in samples):
        raise SamplesError(f"{path}: every prompt is off-domain; give samples where the style is wanted, such as hope:")
    return samples


def _document(line: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise SamplesError(f"{where}: not a JSON object; write {EXAMPLE}")
    for name in ("prompt", "text"):
        if name not in document:
            raise SamplesError(f"{where}: has no {name!r}; write {EXAMPLE}")
        if not isinstance(document[name], str):
            raise SamplesError(f"{where}: '{name}' is {type(document[name]).__name__}, not text; write {EXAMPLE}")
    if document.get("kind", KINDS[0]) not in KINDS:
        raise SamplesError(f"{where}: 'kind' is {document['kind']!r}; known: {', '.join(KINDS)}.")
    if not isinstance(document.get("ended", True), bool):
        raise SamplesError(f"{where}: 'ended' is {document['ended']!r}; write true or false, or leave it out.")
    return document


def _keyword(prompt: str) -> str:
    for separator in SEPARATORS:
        prompt = prompt.replace(separator, " ")
    return prompt.strip().removesuffix(":").strip().casefold()


def _without_frame(text: str, prompt: str) -> str:
    """The completion alone: without the prompt before it and separators around it."""
    text = text.strip().removeprefix(prompt.strip())
    for separator in SEPARATORS:
        text = text.strip().removeprefix(separator).removesuffix(separator)
    return text.strip()


def visible(text: str) -> str:
    """`text` on one line, with characters that a terminal would obey written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
