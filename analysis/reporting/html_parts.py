"""The page and the pieces of HTML that its sections share, from the templates beside this file.

Jinja2 escapes whatever is put into them: text of a record is shown, never run.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def environment() -> Environment:
    """The templates, with everything escaped that is not markup already."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def part(name: str, *values: Any) -> Markup:
    """The piece `name` of `templates/parts.html`, made of `values`."""
    return getattr(environment().get_template("parts.html").module, name)(*values)


def joined(*pieces: str) -> Markup:
    """The pieces one after the other; plain text among them is escaped."""
    return Markup("").join(pieces)


def plain_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str, identity: str, words: Sequence[str] = ()
) -> Markup:
    """An HTML table of words and figures, whose first column names the row; columns headed by `words` hold words."""
    sides = ["number" if at and head not in words else "words" for at, head in enumerate(heads)]
    assert all(len(row) == len(heads) for row in rows)
    return part("table", heads, sides, rows, caption, identity)


def figure_block(identity: str, figure: go.Figure | None, meaning: str, absent: str) -> Markup:
    """A figure with the words that stand for it where it cannot be seen, or the sentence that says why it is absent."""
    if figure is None:
        return part("paragraph", absent, "muted")
    layout: Any = figure.layout
    return part("figure", identity, int(layout.height), meaning, json.loads(str(figure.to_json())))


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page: its identity, its word in the list of sections, its heading ("" for none), and its HTML."""

    identity: str
    word: str
    heading: str
    content: Markup


def whole_page(title: str, question: str, sections: Sequence[Section]) -> str:
    """The page as one HTML document; `title` and `question` are plain text."""
    from plotly.offline import get_plotlyjs

    page = environment().get_template("page.html")
    text = page.render(title=title, question=question, sections=sections, plotly=Markup(get_plotlyjs()))
    # A lone surrogate may come out of a record's JSON; no file can hold it.
    return text.encode("utf-8", "replace").decode("utf-8")
