"""How fast is the live board with ten thousand trials, and how much memory does it take?

Question: first paint, time until every row is there, frames while scrolling, and the server's peak resident memory, for
records with 480 samples, as a trial writes them, and for records with 3.
Command: PYTHONPATH=tests python tests/benchmarks/board_speed.py [--records 10000]
Needs: Debian's chromium and chromium-driver; 1.5 GB of disk for a while.
Time and result, 2026-11-24, 2 quiet cores of an Intel Xeon, no GPU, 48 s: 10,000 records of 137 kB: all read after
12 s, first paint 128 ms while reading and 68 ms after, every row there 0.32 s after opening, median frame 16.7 ms, 95%
16.8 ms, server at most 107 MiB. Records of 5 kB: 10 s, 108 and 76 ms, 0.45 s, 16.7 ms, 16.8 ms, 111 MiB.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.analysis.serve.test_board import TOKEN, Board
from tests.support.real_browser import start_chromium, wait_for
from tests.support.record_factory import make_record, make_samples, write_sweep
from trainables.records.documents import to_json

SCROLL = """
    const done = arguments[0], table = document.getElementById("table"), times = [];
    let last = null;
    const step = (now) => {
      if (last !== null) times.push(now - last);
      last = now;
      table.scrollTop += 140; // five rows a frame: a fast wheel
      if (times.length < 300) requestAnimationFrame(step); else done(times.sort((a, b) => a - b));
    };
    requestAnimationFrame(step);
"""
PAINTED = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def main() -> None:
    """Print a line for records with many samples and one for records with few."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000)
    options = parser.parse_args()
    browser = start_chromium()
    try:
        for samples in (480, 3):
            with tempfile.TemporaryDirectory() as folder:
                text = write_many(Path(folder), options.records, samples)
                print(
                    f"{options.records} records of {len(text):,} bytes: {measure(browser, folder, options.records)}",
                    flush=True,
                )
    finally:
        browser.quit()


def write_many(folder: Path, count: int, samples: int) -> str:
    """Records that differ in name, quality and peak, as text: dataclasses and fsyncs are not what is measured."""
    write_sweep(folder, [])
    prompts = range(10 if samples == 480 else 1)  # times three: a trial's 30 prompts, with 16 seeds each
    seeds = range(samples // len(prompts) // 3)
    made = tuple(
        dataclasses.replace(sample, prompt=f"{sample.prompt.strip(':')} {group}:", seed=seed)
        for group in prompts
        for sample in make_samples()
        for seed in seeds
    )
    text = to_json(make_record(0, samples=made))
    draw = random.Random(0)
    for number in range(count):
        name = f"{number:05d}-c0ffee"
        path = folder / "trials" / name
        path.mkdir(parents=True)
        changed = text.replace('"0000-c0ffee"', f'"{name}"').replace('"number": 0', f'"number": {number}')
        changed = changed.replace('"sample_quality": 0.5', f'"sample_quality": {draw.random():.6f}')
        changed = changed.replace('"peak_bytes": 104857600', f'"peak_bytes": {draw.randrange(2**26, 2**30)}')
        (path / "record.json").write_text(changed)
    return text


def measure(browser: Any, folder: str, count: int) -> str:
    """Open the board at once and again when everything was read."""
    board, began = Board(folder), time.perf_counter()
    address = f"http://127.0.0.1:{board.port}/?token={TOKEN}"
    browser.get(address)
    early = wait_for(lambda: browser.execute_script(PAINTED))
    wait_for(lambda: json.loads(board.ask("/api/rows?sweep=")[1])["waiting"] == 0)
    read = time.perf_counter() - began
    browser.get("about:blank")
    began = time.perf_counter()
    browser.get(address)
    wait_for(lambda: browser.find_element("id", "shown").text.startswith(f"{count:,} "))
    whole = time.perf_counter() - began
    painted = browser.execute_script(PAINTED)
    frames = browser.execute_async_script(SCROLL)
    status = Path(f"/proc/{board.process.pid}/status").read_text()
    peak_mib = int(status.split("VmHWM:")[1].split()[0]) / 1024
    board.end()
    late = sum(frame > 34 for frame in frames)
    return (
        f"all read after {read:.0f} s; first paint {early:.0f} ms while reading, {painted:.0f} ms after; every"
        f" row there {whole:.2f} s after opening; frame median {frames[150]:.1f} ms, 95% {frames[285]:.1f} ms, slowest"
        f" {frames[-1]:.1f} ms, {late} of 300 above 34 ms; server at most {peak_mib:.0f} MiB"
    )


if __name__ == "__main__":
    main()
