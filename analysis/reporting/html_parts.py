"""Pieces of HTML that several sections share. Whatever comes from a record goes through `text`: shown, never run."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go


def text(value: Any) -> str:
    """`value` as HTML text that is safe in an element and in a quoted attribute."""
    return html.escape(str(value), quote=True)


def script_json(value: Any) -> str:
    """`value` as JSON that cannot end the script element around it."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plain_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str, identity: str, words: Sequence[str] = ()
) -> str:
    """An HTML table of words and figures, whose first column names the row; columns headed by `words` hold words."""
    sides = ["number" if at and head not in words else "words" for at, head in enumerate(heads)]
    head = "".join(
        f"<th scope='col' class='{side}'>{text(title)}</th>" for title, side in zip(heads, sides, strict=True)
    )
    body = "".join(
        f"<tr><th scope='row'>{text(row[0])}</th>"
        + "".join(f"<td class='{side}'>{text(cell)}</td>" for cell, side in zip(row[1:], sides[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f"<div class='scroll' role='region' tabindex='0' aria-labelledby='{identity}-caption'>"
        f"<table><caption id='{identity}-caption'>{text(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure_block(identity: str, figure: go.Figure | None, meaning: str, absent: str) -> str:
    """A figure with the words that stand for it where it cannot be seen, or the sentence that says why it is absent."""
    if figure is None:
        return f"<p class='muted'>{text(absent)}</p>"
    data = script_json(json.loads(str(figure.to_json())))
    layout: Any = figure.layout
    return (
        f"<figure><div class='plot-scroll'><div class='plot' id='plot-{identity}' role='img'"
        f" style='height:{int(layout.height)}px' aria-label='{text(meaning)}'></div></div>"
        "<noscript><p>The figure needs JavaScript; its numbers stand in the table of trials.</p></noscript>"
        f"<figcaption>{text(meaning)}</figcaption></figure>"
        f"<script type='application/json' class='plot-data' data-for='plot-{identity}'>{data}</script>"
    )


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page: its identity, its word in the list of sections, its heading ("" for none), and its HTML."""

    identity: str
    word: str
    heading: str
    content: str


def whole_page(title: str, question: str, sections: Sequence[Section]) -> str:
    """The page as one HTML document; `title` and `question` are plain text."""
    from importlib.resources import files
    from string import Template

    from plotly.offline import get_plotlyjs

    template = Template(files("analysis.reporting").joinpath("report_template.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=text(title),
        question=text(question),
        nav="\n".join(f'    <li><a href="#{part.identity}">{text(part.word)}</a></li>' for part in sections),
        sections="\n".join(map(_section, sections)),
        plotly=get_plotlyjs(),
    )
    # A lone surrogate may come out of a record's JSON; no file can hold it.
    return page.encode("utf-8", "replace").decode("utf-8")


def _section(part: Section) -> str:
    heading = f"<h2>{text(part.heading)}</h2>" if part.heading else ""
    label = "" if part.heading else f' aria-label="{text(part.word)}"'
    return f'<section id="{part.identity}"{label}>{heading}\n{part.content}\n</section>'
