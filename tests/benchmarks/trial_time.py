"""Where do a trial's seconds go?

Question: how a trial's wall time is split between starting, model load, base figures, rehearsal, steps, evaluation,
sampling, scoring and saving; from the records of a finished sweep, mean over its finished trials of each model.
Command: python tests/benchmarks/trial_time.py results/<name> [...]
"""

from __future__ import annotations

import argparse
from collections import defaultdict

from analysis.sweep_table.load import load_sweep
from trainables.records.record import Outcome, TrialRecord
from trainables.training.time_split import PARTS

REST = "starting and waiting"


def parts_of(record: TrialRecord) -> dict[str, float]:
    """Seconds of a trial by part; `REST` is what the worker did not spend."""
    inside = record.report.seconds_by_part or {} if record.report else {}
    return inside | {REST: max(0.0, record.seconds - sum(inside.values()))}


def main() -> None:
    """Print a line for each model of each sweep: seconds, and the share of each part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sweeps", nargs="+")
    for uri in parser.parse_args().sweeps:
        by_model: dict[str, list[TrialRecord]] = defaultdict(list)
        for record in load_sweep(uri).records:
            if record.outcome is Outcome.FINISHED and record.report and record.report.seconds_by_part:
                by_model[record.settings.model].append(record)
        for model, records in sorted(by_model.items()):
            seconds = sum(record.seconds for record in records) / len(records)
            print(f"{uri}, {model}: {len(records)} trials, {seconds:.1f} s each")
            for name in (REST, *PARTS):
                mean = sum(parts_of(record).get(name, 0.0) for record in records) / len(records)
                print(f"  {name:22} {mean:7.2f} s  {mean / seconds:5.1%}")


if __name__ == "__main__":
    main()
