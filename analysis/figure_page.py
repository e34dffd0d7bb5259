"""One figure as a page that needs nothing else, or as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import escape

from data.errors import UserError
from data.whole_file import write_whole

if TYPE_CHECKING:
    import plotly.graph_objects as go

# The system's colours follow a person's light or dark; the figure itself has no ground of its own.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>:root {{ color-scheme: light dark }} body {{ margin: 12px; background: Canvas }}
.js-plotly-plot .main-svg text {{ fill: CanvasText !important }}</style></head>
<body>{figure}</body></html>
"""
# Left of the bar are the camera, which saves a PNG, and the reset of a zoom.
SHOWN = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"]}


def write_page(figure: go.Figure, title: str, path: str) -> None:
    """Write the figure into `path`, an .html file of about 5 MB, whole or not at all.

    Raises: UserError for another ending; OSError when the file cannot be written.
    """
    if not path.endswith(".html"):
        raise UserError(f"plot={path}: only .html can be written; name it FILE.html.")
    drawn = figure.to_html(include_plotlyjs=True, full_html=False, config=SHOWN)
    write_whole(path, PAGE.format(title=escape(title), figure=drawn).encode())
