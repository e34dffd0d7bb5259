"""Tokens that part documents in files made for a model, such as `<|endoftext|>`; they come off the ends of a line."""

from __future__ import annotations

import re

SEPARATORS = ("<|endoftext|>", "</s>", "<s>", "<pad>")
"""Those of Galactica, GPT-2 and their kin, which samples of models may hold."""

# Written as models' own tokenizer files have them.
TOKEN = re.compile(
    r"<\|[^\s<>|]{1,40}\|>|<｜[^\s<>｜]{1,40}｜>|</?s>|\[/?INST\]|\[(?:PAD|UNK|BOS|EOS|EOD|EOT|MASK|CLS|SEP)\]"
    r"|(?i:<(?:pad|unk|bos|eos|eod|eot|mask|cls|sep|(?:start|end|begin)_?of_?(?:turn|text|sentence))>)"
)
PIECE = re.compile(r"<\||\|>|<｜|｜>|<(?:/s?|s)$")
MAYBE = re.compile(r"[<>\[]")


def unwrap(text: str) -> tuple[str, str, str]:
    """`text` without the separators at its ends, the one that stood first and the one that stood last ('' for none)."""
    if not MAYBE.search(text):
        return text, "", ""
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    first = last = ""
    while found := TOKEN.match(text, start, end):
        first = first or found[0]
        start = found.end()
        while start < end and text[start].isspace():
            start += 1
    while (opens := max(text.rfind("<", start, end), text.rfind("[", start, end))) >= start:
        found = TOKEN.fullmatch(text, opens, end)
        if not found:
            break
        last = last or found[0]
        end = opens
        while end > start and text[end - 1].isspace():
            end -= 1
    return text[start:end], first, last


def separator_in(text: str) -> str | None:
    """A separator that stands in `text`, or a piece of one; None where there is none."""
    if not MAYBE.search(text):
        return None
    found = TOKEN.search(text) or PIECE.search(text)
    return found[0] if found else None
