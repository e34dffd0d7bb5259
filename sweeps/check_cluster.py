"""Checks a cluster file before it costs anything: `make check-cluster`, offline; every mistake in one line.

    python sweeps/check_cluster.py cluster.yaml --overlay mine.yaml --output build/cluster.yaml

A file without mistakes is written to --output, the overlay laid over it, for `ray up`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from data.command_line import MISTAKE, command, parse
from sweeps.cluster.cluster_file import read_cluster
from sweeps.cluster.cluster_rules import mistakes


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which file is checked, and where the result goes."""

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """The cluster file."""
    overlay: Annotated[Path | None, arg(help_behavior_hint="")] = None
    """A YAML file of changes: keys are merged, null removes one."""
    output: Annotated[Path | None, arg(help_behavior_hint="")] = None
    """Where to write the checked file."""


@command
def main(arguments: Sequence[str]) -> int:
    """Returns: 0 for a good file, 2 for one with mistakes."""
    options = parse(Options, arguments, "Check a cluster file before it costs anything: every mistake in one line.")
    cluster = read_cluster(options.file, options.overlay)
    found = mistakes(cluster)
    for mistake in found:
        print(f"{options.file}: {mistake}", file=sys.stderr)
    if found:
        return MISTAKE
    print(f"{options.file}: no mistake found; AWS itself was not asked.")
    if options.output:
        import yaml

        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(yaml.safe_dump(cluster, sort_keys=False), encoding="utf-8")
        print(f"Written: {options.output}; start it with: ray up {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
