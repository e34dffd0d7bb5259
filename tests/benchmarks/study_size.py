"""What a long sweep costs besides its trials: time to ask, tell and record, time to begin again, and memory.

    python -m tests.benchmarks.study_size --trials 10000

Records of the size that real ones have (480 samples) are written for all but the last trials; the study is made from
them as a resumed sweep makes it, in SQLite; the last hundred are asked for, recorded and told one by one.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path

from analysis.sweep_table.load import load_sweep
from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.planning.space import space_of
from sweeps.search.searcher import RecordSearch
from sweeps.search.study import build_study, default_study
from tests.support.record_factory import make_facts, make_record, make_samples
from trainables.records.record import TrialRecord
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import SweepFacts, store_facts, store_proposal, store_record

PLAN = make_plan(SweepOptions(search_levers=True, trials=10_000), Device(gpus=0, gpu_bytes=None, cpus=2), BATCH_MEMORY)
SAMPLES = make_samples() * 160  # three to one
LAST = 100


def main() -> None:
    """Print one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--report", action="store_true", help="write the report as well")
    trials = (given := parser.parse_args()).trials
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(str(Path(folder) / "long"))
        facts = make_facts(PLAN, name="long")
        store_facts(storage, facts)
        space = space_of(PLAN)
        for number, key in zip(range(trials - LAST), space.walk(random.Random(0)), strict=False):
            point = space.point(key)
            store_proposal(storage, facts.trial_id(number), point)
            store_record(storage, record_of(facts, number, point))
        print(f"{trials - LAST} records written; {memory_mib():.0f} MiB", flush=True)
        began = time.perf_counter()
        study = build_study(facts, storage, default_study(storage))
        print(f"study made from them in {time.perf_counter() - began:.1f} s; {memory_mib():.0f} MiB", flush=True)
        search = RecordSearch(facts, storage.uri, study)
        seconds: dict[str, list[float]] = {"ask": [], "record": [], "tell": []}
        for number in range(LAST):
            started = time.perf_counter()
            config = search.suggest(str(number))
            asked = time.perf_counter()
            store_record(storage, record_of(facts, config["number"], config["proposal"]))
            recorded = time.perf_counter()
            search.on_trial_complete(str(number))
            told = time.perf_counter()
            for name, spent in zip(seconds, (asked - started, recorded - asked, told - recorded), strict=True):
                seconds[name].append(spent)
        for name, spent in seconds.items():
            print(f"{name}: median {1000 * statistics.median(spent):.0f} ms, worst {1000 * max(spent):.0f} ms")
        print(f"memory of the process: {memory_mib():.0f} MiB at its highest", flush=True)
        began = time.perf_counter()
        count = len(load_sweep(storage.uri).records)
        print(f"{count} records loaded for the report in {time.perf_counter() - began:.1f} s; {memory_mib():.0f} MiB")
        if given.report:
            from analysis.report import write_report

            began = time.perf_counter()
            size = Path(write_report(storage.uri)).stat().st_size
            print(f"report of {size / 2**20:.0f} MiB in {time.perf_counter() - began:.1f} s; {memory_mib():.0f} MiB")


def record_of(facts: SweepFacts, number: int, point: dict) -> TrialRecord:
    """A record of usual size, with figures that follow from its number."""
    return make_record(
        number,
        trial_id=facts.trial_id(number),
        settings=PLAN.settings(**point),
        quality=(number * 7919 % 1000) / 1000,
        peak_mib=50 + number * 104_729 % 997,
        speed=500.0 + number * 1_299_709 % 4999,
        samples=SAMPLES,
    )


def memory_mib() -> float:
    """The most that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
