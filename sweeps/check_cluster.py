"""Looks a cluster file over before it costs anything: `make check-cluster`, offline; every mistake in one line.

    python sweeps/check_cluster.py cluster.yaml --overlay mine.yaml --output build/cluster.yaml

A file without mistakes is written to --output, the overlay laid over it, for `ray up`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data.errors import UserError
from sweeps.cluster.cluster_file import read_cluster
from sweeps.cluster.cluster_rules import mistakes


def main(arguments: Sequence[str]) -> int:
    """Returns: 0 for a good file, 2 for one with mistakes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--overlay", type=Path, help="a YAML file of changes: keys are joined, null takes one away")
    parser.add_argument("--output", type=Path, help="where to write the checked file")
    options = parser.parse_args(arguments)
    try:
        cluster = read_cluster(options.file, options.overlay)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = mistakes(cluster)
    for mistake in found:
        print(f"{options.file}: {mistake}", file=sys.stderr)
    if found:
        return 2
    print(f"{options.file}: no mistake found; AWS itself was not asked.")
    if options.output:
        import yaml

        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(yaml.safe_dump(cluster, sort_keys=False), encoding="utf-8")
        print(f"Written: {options.output}; start it with: ray up {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
