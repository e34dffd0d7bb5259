"""How long does a sweep's report take to write and to open, and how large is it?

Question: seconds to write it; then, in a real browser, seconds until the file is loaded and until its last figure is
drawn, for records with 480 samples, as a trial writes them.
Command: PYTHONPATH=tests python tests/benchmarks/report_speed.py [--records 500] [--openings 5]
Needs: Debian's chromium and chromium-driver.
Time and result, 2026-11-24, 2 quiet cores of an Intel Xeon, no GPU, 25 s: 500 records: written in 9.6 s, 7.6 MiB;
first paint 0.24 s, loaded 0.57 s, the last of seven figures drawn 1.00 s after opening.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.board_speed import write_many

from analysis.report import write_report
from tests.support.real_browser import start_chromium

DRAWN = """
    const done = arguments[0];
    const look = () => {
      const all = [...document.querySelectorAll(".plot")];
      if (all.every((plot) => plot.querySelector(".main-svg"))) done(all.length); else setTimeout(look, 10);
    };
    look();
"""
PAINTED = "return performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--openings", type=int, default=5, help="the medians of so many are told")
    options = parser.parse_args()
    browser = start_chromium()
    try:
        with tempfile.TemporaryDirectory() as folder:
            write_many(Path(folder), options.records, 480)
            began = time.perf_counter()
            page = Path(write_report(folder))
            written = time.perf_counter() - began
            painted, loaded, drawn, figures = [], [], [], 0
            for _ in range(options.openings):
                browser.get("about:blank")
                began = time.perf_counter()
                browser.get(page.resolve().as_uri())
                loaded.append(time.perf_counter() - began)
                figures = browser.execute_async_script(DRAWN)
                drawn.append(time.perf_counter() - began)
                painted.append(browser.execute_script(PAINTED) / 1000)
            middle = {
                name: statistics.median(times)
                for name, times in (("painted", painted), ("loaded", loaded), ("drawn", drawn))
            }
            print(
                f"{options.records} records: written in {written:.1f} s, {page.stat().st_size / 2**20:.1f} MiB; first"
                f" paint {middle['painted']:.2f} s, loaded {middle['loaded']:.2f} s, all {figures} figures drawn"
                f" {middle['drawn']:.2f} s after opening (medians of {options.openings})"
            )
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
