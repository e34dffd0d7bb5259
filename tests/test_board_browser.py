"""The board in a real browser: what a person sees, that text stays text, and that no request leaves the machine."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from record_factory import make_record, make_samples, write_sweep
from test_board import ATTACK, TOKEN, Board

from analysis.front import pareto_front
from trainables.record_json import to_json
from trainables.storage import open_storage

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
MANY = 10_000
pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="Debian's chromium and chromium-driver are not installed",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1280,1500",
        "--disable-dev-shm-usage",
    ):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "the page did not get that far"
        time.sleep(0.05)
    return found


def requested_hosts(browser: Any) -> set[str]:
    """Hosts of all requests since the last look."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return {url.split("/")[2].split(":")[0] for url in urls if url.startswith(("http", "ws"))}


def test_board_is_read_used_and_updated_without_reload(browser: Any, tmp_path: Path) -> None:
    made = [make_record(n, quality=0.1 * n, peak_mib=50 * n + 50, batch_size=8 * (n + 1)) for n in range(4)]
    made.append(make_record(4, model="nano-4m", quality=0.9, samples=make_samples(ATTACK, prompt=ATTACK)))
    board = Board(write_sweep(tmp_path, made, name=ATTACK))
    browser.get(f"http://127.0.0.1:{board.port}/")
    box = browser.find_element("id", "token")  # the log-in form
    box.send_keys(TOKEN)
    box.submit()
    wait_for(lambda: len(browser.find_elements("css selector", ".row")) == 5)
    assert "<script>alert(1)</script>" in browser.find_element("id", "name").text
    grid = browser.find_element("id", "table")
    grid.send_keys("\ue010")  # End
    grid.send_keys("\ue007")  # Enter
    wait_for(lambda: "<script>alert(1)</script>" in browser.find_element("id", "detail-body").text)
    choice = browser.find_element("css selector", "#filter-model option[value='nano-1m']")
    choice.click()
    wait_for(lambda: len(browser.find_elements("css selector", ".row")) == 4)
    open_storage(str(tmp_path)).write_text("trials/0005-c0ffee/record.json", to_json(make_record(5)))
    wait_for(lambda: len(browser.find_elements("css selector", ".row")) == 5)
    assert requested_hosts(browser) == {"127.0.0.1"}
    assert [
        entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE" and "401" not in entry["message"]
    ] == []
    assert board.end() == 0


def test_front_in_the_browser_is_the_front_of_the_analysis(browser: Any, tmp_path: Path) -> None:
    draw = random.Random(3)
    made = [
        make_record(
            n,
            quality=draw.choice([None, round(draw.random(), 1)]),
            peak_mib=draw.randrange(50, 60),
            speed=float(draw.randrange(1, 9)),
        )
        for n in range(60)
    ]
    board = Board(write_sweep(tmp_path, made))
    browser.get(f"http://127.0.0.1:{board.port}/?token={TOKEN}")
    script = """
        const done = arguments[0];
        Promise.all([import("/page/front.js"), fetch("/api/rows").then((answer) => answer.json())])
          .then(([module, told]) => done(told.rows.length < 60 ? null : [...module.paretoFront(told.rows)]));
    """
    found = wait_for(lambda: browser.execute_async_script(script))
    assert set(found) == {record.trial_id for record in pareto_front(made)}
    assert board.end() == 0


def test_ten_thousand_records_paint_within_a_second_and_scroll_smoothly(browser: Any, tmp_path: Path) -> None:
    folder = write_sweep(tmp_path, [])
    text = to_json(make_record(0, samples=make_samples()))
    for number in range(MANY):  # as text: ten thousand dataclasses and fsyncs are not what is measured
        name = f"{number:04d}-c0ffee"
        path = tmp_path / "trials" / name
        path.mkdir(parents=True)
        changed = text.replace('"0000-c0ffee"', f'"{name}"').replace('"number": 0', f'"number": {number}')
        (path / "record.json").write_text(changed)
    board = Board(folder)
    wait_for(lambda: json.loads(board.ask("/api/rows")[1])["waiting"] == 0, 120)
    status = Path(f"/proc/{board.process.pid}/status").read_text()
    resident_mib = int(status.split("VmRSS:")[1].split()[0]) / 1024
    browser.get(f"http://127.0.0.1:{board.port}/?token={TOKEN}")
    wait_for(lambda: "10,000" in browser.find_element("id", "shown").text)
    painted = browser.execute_script("return performance.getEntriesByName('first-contentful-paint')[0].startTime")
    frames = browser.execute_async_script(
        """
        const done = arguments[0], table = document.getElementById("table"), times = [];
        let last = null;
        const step = (now) => {
          if (last !== null) times.push(now - last);
          last = now;
          table.scrollTop += 140; // five rows a frame: a fast wheel
          if (times.length < 60) requestAnimationFrame(step); else done(times.sort((a, b) => a - b));
        };
        requestAnimationFrame(step);
        """
    )
    lines = len(browser.find_elements("css selector", ".row"))
    print(f"paint {painted:.0f} ms, median frame {frames[30]:.1f} ms, slowest {frames[-1]:.1f}, {resident_mib:.0f} MiB")
    assert painted < 1000
    assert frames[30] < 34
    assert resident_mib < 300
    assert lines < 60
    assert board.end() == 0
