"""What a dry run costs on files of many lines.

Question: does it grow no faster than the lines, in seconds and in memory?
Command: python -m tests.benchmarks.data_size [--lines 10000 200000 2000000]
Prints a line a size: seconds on the clock, seconds of processor time, peak resident memory in MiB. Each file is of
different lines, made of the words of the shipped quotes by chance. Linux only: memory is read in its units.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINE_WORDS = (9, 22)  # fewest and most words of a made quote


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, nargs="+", default=[10_000, 200_000, 2_000_000])
    sizes: list[int] = parser.parse_args().lines
    print("lines seconds processor_seconds peak_mib")
    for count in sorted(sizes):  # the greatest peak of all processes so far is what Linux tells
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "quotes.txt"
            write_quotes(file, count)
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            program = [sys.executable, str(ROOT / "sweeps" / "batch_memory.py"), "--dry-run", "--storage", folder]
            subprocess.run([*program, "--data", str(file)], check=True, stdout=subprocess.DEVNULL)
            seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
            processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{count} {seconds:.1f} {processor:.1f} {after.ru_maxrss / 1024:.0f}", flush=True)
    return 0


def write_quotes(file: Path, count: int) -> None:
    """`count` lines `keyword: quote` of words drawn by chance from the shipped quotes."""
    shipped = [json.loads(line) for line in (ROOT / "data" / "corpora" / "quotes.jsonl").read_text().splitlines()]
    keywords = sorted({quote["keyword"] for quote in shipped})
    words = sorted({word.strip('.,;:!?"') for quote in shipped for word in quote["quote"].split()} - {""})
    chance = random.Random(count)
    with file.open("w") as lines:
        for _ in range(count):
            said = " ".join(chance.choices(words, k=chance.randint(*LINE_WORDS)))
            lines.write(f"{chance.choice(keywords)}: {said.capitalize()}.\n")


if __name__ == "__main__":
    sys.exit(main())
