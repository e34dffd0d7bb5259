"""Writes a sweep's report: one HTML file that needs nothing else, and asks nothing of any network.

    python analysis/report.py results/<name>
    python analysis/report.py --compare results/<one> results/<other>

Takes about a second for a few dozen trials; the file is about 5 MB, nearly all of it the library that draws.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from data.command_line import command, parse
from data.doing import doing, telling_what
from data.errors import UserError, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.sweep_table.load import Sweep

QUIET_SECONDS = 5.0  # before a command that is mostly quicker tells what it does


def write_report(uri: str, out: str | None = None) -> str:
    """Write the report of the sweep at `uri` into it, or to the file (or object) `out`. Returns: where it lies.

    Beside it goes the trials' table as CSV and Parquet, named `trials`, or as `out` is.

    Raises: RecordsError when there is no sweep at `uri`; OSError or StorageError when the file cannot be written.
    """
    from analysis.sweep_table.load import load_sweep
    from analysis.sweep_table.table import csv_text, parquet_bytes, trial_row
    from trainables.records.layout import LAYOUT
    from trainables.records.storage import open_storage

    with doing("reading the records"):
        sweep = load_sweep(uri)
    page, rows = render(sweep), [trial_row(record) for record in sweep.records]
    place, name = (uri, LAYOUT.report) if out is None else _split(out)
    storage = open_storage(place)
    with doing("writing the report"):
        storage.write_text(name, page)
    stem = LAYOUT.table if out is None else name.rpartition(".")[0] or name
    storage.write_text(f"{stem}.csv", csv_text(rows))
    storage.write_bytes(f"{stem}.parquet", parquet_bytes(rows))
    return _joined(storage.uri, name)


def render(sweep: Sweep) -> str:
    """The report of `sweep` as one HTML document."""
    from markupsafe import Markup

    from analysis.reporting.anatomy import anatomy
    from analysis.reporting.html_parts import Section, figure_block, joined, whole_page
    from analysis.reporting.ladder_section import ladder
    from analysis.reporting.report_figures import FIGURES, STYLE, Shown
    from analysis.reporting.report_samples import samples
    from analysis.reporting.report_sections import answer, cost, failures, front_table, provenance, trials_table
    from analysis.reporting.spill_over import style_tables

    def section(identity: str, word: str, heading: str, content: Markup) -> Section:
        return Section(identity=identity, word=word, heading=heading, content=content)

    def drawn(shown: Shown, more: Markup | None = None) -> Section:
        with doing(f"drawing for the report: {shown.heading.lower()}"):
            block = figure_block(shown.identity, shown.draw(sweep), shown.meaning, shown.absent)
        return section(shown.identity, shown.word, shown.heading, joined(block, more or Markup("")))

    on_card = figure_block("card", anatomy(sweep.records, on_card=True), "The same for the card named: predicted.", "")
    sections = [
        section("answer", "Answer", "", joined(answer(sweep), front_table(sweep))),
        *([section("ladder", "Ladder", "The ladder", ladder_html)] if (ladder_html := ladder(sweep)) else []),
        section("trials", "Trials", "Trials", trials_table(sweep)),
        drawn(STYLE, style_tables(sweep)),
        *(drawn(shown, on_card if shown.identity == "anatomy" else None) for shown in FIGURES),
        section("samples", "Samples", "Samples, base against tuned", samples(sweep)),
        section("failures", "Failures", "What failed, and why", failures(sweep)),
        section("cost", "Cost", "Cost", cost(sweep.records)),
        section("provenance", "Provenance", "Provenance", provenance(sweep)),
    ]
    return whole_page(sweep.name, sweep.facts.question, sections)


def write_comparison(first: str, second: str, out: str | None = None) -> str:
    """Write both sweeps into one page, at `out`, else in the working folder. Returns: where it lies.

    Raises: RecordsError when one of them is no sweep, has no trial or is the other; OSError or StorageError.
    """
    from analysis.reporting.comparison import render_comparison
    from analysis.sweep_table.load import RecordsError, load_sweep
    from trainables.records.storage import open_storage

    if open_storage(first).uri == open_storage(second).uri:
        raise RecordsError(f"--compare was given {first} twice; give two sweeps.")
    one, other = load_sweep(first), load_sweep(second)
    place, name = _split(out or f"compare-{_file_name(one.name)}-{_file_name(other.name)}.html")
    storage = open_storage(place)
    storage.write_text(name, render_comparison(one, other))
    return _joined(storage.uri, name)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to report on, and where to write it."""

    sweep: Annotated[Positional[str | None], arg(metavar="SWEEP", help_behavior_hint="")] = None
    """The sweep's folder or URI: results/<name> or s3://bucket/prefix/<name>."""
    compare: Annotated[tuple[str, str] | None, arg(metavar="A B", help_behavior_hint="")] = None
    """Compare two sweeps on one page instead."""
    out: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Where to write it. [report.html in the sweep]"""


@command
def main(arguments: Sequence[str]) -> int:
    """The command line. Returns: the exit code, 2 for a person's mistake, with one line on stderr."""
    options = parse(Options, arguments, "Write a sweep's report as one HTML file.")
    if (options.sweep is None) == (options.compare is None):
        raise UserError("give one sweep, or --compare and two; --help says more.")
    try:
        with telling_what(QUIET_SECONDS), doing("importing what draws"):
            if options.compare:
                first, second = options.compare
                page = write_comparison(first, second, options.out)
            else:
                assert options.sweep is not None, "one of the two is given"
                page = write_report(options.sweep, options.out)
    except OSError as error:
        target = options.out or options.sweep or "."
        raise UserError(f"{target}: the report cannot be written ({one_line(error)}); give --out FILE.") from None
    print(page)
    return 0


def _file_name(name: str) -> str:
    return re.sub("[^A-Za-z0-9._-]+", "-", name)[:60]


def _split(uri: str) -> tuple[str, str]:
    """A file's place and name; the options of a URI (after '?') go with the place."""
    path, mark, query = uri.partition("?") if "://" in uri else (uri, "", "")
    place, slash, name = path.rpartition("/")
    return (place or slash or ".") + mark + query, name


def _joined(uri: str, name: str) -> str:
    path, mark, query = uri.partition("?") if "://" in uri else (uri, "", "")
    return f"{path}/{name}{mark}{query}"


if __name__ == "__main__":
    sys.exit(main())
