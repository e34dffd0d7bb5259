"""Which fields a record owes by its outcome: the list that 'none missing' is checked against."""

from __future__ import annotations

import sys
from operator import attrgetter

from analysis.sweep_table.load import load_sweep
from trainables.records.record import Outcome, TrialRecord

TRAINED = (
    "prediction",
    "report.parameters",
    "report.train_seconds",
    "report.memory",
)
OWED = {
    Outcome.FINISHED: (*TRAINED, "report.tokens_per_second", "report.final_loss", "report.curve"),
    Outcome.STOPPED_EARLY: (*TRAINED, "report.final_loss"),
    Outcome.OUT_OF_MEMORY: ("prediction", "report.error", "report.memory", "memory_explanation"),
    Outcome.PREDICTED_NOT_TO_FIT: ("prediction", "memory_explanation"),
    Outcome.DIVERGED: (*TRAINED, "report.error"),
    Outcome.FAILED: ("report.error",),
}
PROVENANCE = ("git_sha", "data_fingerprint", "versions", "device", "host_cpus", "tokenizer")
QUALITY = ("report.quality", "report.evaluation", "report.samples")


def missing_fields(record: TrialRecord) -> list[str]:
    """Names of fields that the record's outcome owes and that are empty."""
    owed = [*OWED[record.outcome], *(f"provenance.{name}" for name in PROVENANCE)]
    if record.outcome is Outcome.FINISHED:
        assert record.report is not None
        owed += ["report.quality_absent_reason"] if record.settings.weights == "random" else QUALITY
    return [name for name in owed if attrgetter(name)(record) in (None, "", (), {})]


def main() -> int:
    """Name every field that a sweep's records owe and lack: python -m tests.support.owed_fields results/NAME."""
    records = load_sweep(sys.argv[1]).records
    lacking = [f"{record.trial_id}: {name}" for record in records for name in missing_fields(record)]
    print("\n".join(lacking) or f"{len(records)} records, no field missing")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
