"""Writes a sweep's report: one HTML file that needs nothing else, and asks nothing of any network.

    python analysis/report.py results/<name>

Takes about a second for a few dozen trials; the file is about 5 MB, nearly all of it the library that draws.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.load import Sweep

REPORT_NAME, TABLE_NAME = "report.html", "trials"


def write_report(uri: str, out: str | None = None) -> str:
    """Write the report of the sweep at `uri` into it, or to the file (or object) `out`. Returns: where it lies.

    Beside it goes the trials' table as CSV and Parquet, named `trials`, or as `out` is.

    Raises: RecordsError when there is no sweep at `uri`; OSError or StorageError when the file cannot be written.
    """
    from analysis.load import load_sweep
    from analysis.table import trial_row
    from analysis.table_files import csv_text, parquet_bytes
    from trainables.storage import open_storage

    sweep = load_sweep(uri)
    page, rows = render(sweep), [trial_row(record) for record in sweep.records]
    place, name = (uri, REPORT_NAME) if out is None else _split(out)
    storage = open_storage(place)
    storage.write_text(name, page)
    stem = TABLE_NAME if out is None else name.rpartition(".")[0] or name
    storage.write_text(f"{stem}.csv", csv_text(rows))
    storage.write_bytes(f"{stem}.parquet", parquet_bytes(rows))
    return _joined(storage.uri, name)


def render(sweep: Sweep) -> str:
    """The report of `sweep` as one HTML document."""
    from importlib.resources import files
    from string import Template

    from plotly.offline import get_plotlyjs

    from analysis import report_sections as sections
    from analysis.report_samples import samples
    from analysis.spill_over import style_section

    template = Template(files("analysis").joinpath("report_template.html").read_text(encoding="utf-8"))
    page = template.substitute(
        name=sections.text(sweep.name),
        question=sections.text(sweep.question),
        answer=sections.answer(sweep),
        front=sections.front_table(sweep),
        trials=sections.trials_table(sweep),
        style=style_section(sweep),
        samples=samples(sweep),
        failures=sections.failures(sweep),
        provenance=sections.provenance(sweep),
        plotly=get_plotlyjs(),
        **_figures(sweep),
    )
    # A lone surrogate may come out of a record's JSON; no file can hold it.
    return page.encode("utf-8", "replace").decode("utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns: the exit code, 2 for a person's mistake, told in one line on stderr."""
    parser = argparse.ArgumentParser(prog="analysis/report.py", description="Write a sweep's report as one HTML file.")
    parser.add_argument("sweep", help="the sweep's folder or URI: results/<name> or s3://bucket/prefix/<name>")
    parser.add_argument("--out", metavar="FILE", help=f"where to write it (default: {REPORT_NAME} in the sweep)")
    options = parser.parse_args(arguments)

    from analysis.load import RecordsError, one_line
    from trainables.storage import StorageError

    try:
        print(write_report(options.sweep, options.out))
    except (RecordsError, StorageError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        target = options.out or options.sweep
        print(f"{target}: the report cannot be written ({one_line(error)}); give --out FILE.", file=sys.stderr)
        return 2
    return 0


def _figures(sweep: Sweep) -> dict[str, str]:
    from analysis import figures
    from analysis.report_sections import figure_block

    return {
        "memory": figure_block(
            "memory",
            figures.memory_against_batch(sweep.records),
            "Peak memory of one worker against batch size. Gradient accumulation lets the batch grow while the"
            " micro-batch, and with it the memory, stays.",
            "No trial has a measured or predicted peak.",
        ),
        "pareto": figure_block(
            "pareto",
            figures.pareto(sweep.records),
            "Each finished trial by its measured peak memory and what it reached; up and to the left is better.",
            "No trial finished with a measured peak and speed.",
        ),
        "rates": figure_block(
            "rates",
            figures.learning_rate(sweep.records),
            "What each learning rate reached, for each model, on a logarithmic scale.",
            "No finished trial has a quality or a held-out loss.",
        ),
        "curves": figure_block(
            "curves",
            figures.loss_curves(sweep.records),
            "Training loss of each trial as it saw more tokens.",
            "No trial logged a training loss.",
        ),
    }


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
