"""The frame of a report: one HTML file that needs nothing else, of a heading and sections with a list of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.reporting.html_parts import text


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
