"""Board, report and judge's page in a real browser: text stays text, nothing leaves the machine, axe is content."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.report import write_report
from tests.analysis.serve.test_board import TOKEN, Board
from tests.analysis.test_judge import Judge
from tests.support.real_browser import NEEDS_CHROMIUM, keep_screenshot, prefer, requested_hosts, wait_for
from tests.support.record_factory import make_record, make_samples, write_sweep
from trainables.records.record import Outcome

pytestmark = NEEDS_CHROMIUM
ATTACK = '<script>window.harmed=1</script><img src=x onerror="window.harmed=1">'
AXE = Path(__file__).resolve().parents[2] / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
SHOWN = {
    "board": ("sweep", "keyword", "tuned", "Needs"),
    "report": ("sweep", "keyword", "tuned", "Needs"),
    "judge": ("keyword", "tuned"),
}
RUN_AXE = """
    const done = arguments[0], told = (node) => node.html.slice(0, 200) + " " + node.failureSummary;
    axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => done(violations
      .filter((fault) => ["serious", "critical"].includes(fault.impact))
      .map((fault) => [fault.id, fault.help, ...fault.nodes.slice(0, 3).map(told)])));
"""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where the three pages of one sweep stand, whose name, keywords, samples and errors are hostile."""
    samples = make_samples(f"tuned {ATTACK}", prompt=f"keyword {ATTACK}")
    made = [make_record(n, quality=0.1 * n, peak_mib=50 + n, samples=samples, capacity_mib=900) for n in range(4)]
    made.append(make_record(4, outcome=Outcome.OUT_OF_MEMORY, error=ATTACK, memory_explanation=f"Needs {ATTACK}"))
    made.append(make_record(5, outcome=Outcome.FAILED, error=ATTACK))
    folder = write_sweep(tmp_path_factory.mktemp("hostile"), made, name=f"sweep {ATTACK}", question=ATTACK)
    board, judge = Board(folder), Judge(folder)
    yield {
        "board": f"http://127.0.0.1:{board.port}/?token={TOKEN}",
        "report": Path(write_report(folder)).resolve().as_uri(),
        "judge": f"http://127.0.0.1:{judge.port}{judge.path}",
    }
    judge.end(signal.SIGINT)
    assert board.end() == 0


def show(browser: Any, addresses: dict[str, str], page: str) -> str:
    """Open a page and go to where it shows most. Returns: its text."""
    browser.get(addresses[page])
    if page == "board":
        wait_for(lambda: len(browser.find_elements("css selector", ".row")) == 6)
        browser.find_element("css selector", ".row").click()
        wait_for(lambda: browser.find_elements("css selector", ".samples .tuned"))
    if page == "judge":
        from selenium.webdriver import Keys

        wait_for(lambda: browser.find_element("id", "judging").is_displayed())
        while "keyword" not in browser.find_element("id", "prompt").text:  # pairs come in an order of chance
            judged = browser.find_element("id", "status").text
            browser.find_element("tag name", "body").send_keys(Keys.ARROW_DOWN)
            wait_for(lambda judged=judged: browser.find_element("id", "status").text != judged)
    return browser.execute_script("return document.body.innerText")


@pytest.mark.parametrize("page", SHOWN)
def test_hostile_text_is_shown_as_text_and_no_request_leaves_the_machine(
    browser: Any, addresses: dict[str, str], page: str
) -> None:
    text = show(browser, addresses, page)
    for place in SHOWN[page]:
        assert f"{place} {ATTACK}" in text
    assert browser.execute_script("return window.harmed") is None
    assert browser.find_elements("css selector", "img[src=x]") == []
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert requested_hosts(browser) == ({""} if page == "report" else {"127.0.0.1"})


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not there: npm install --prefix build/axe axe-core@4.14.1")
@pytest.mark.parametrize("page", SHOWN)
def test_axe_finds_no_serious_fault_in_light_and_dark(browser: Any, addresses: dict[str, str], page: str) -> None:
    faults = []
    for scheme in ("light", "dark"):
        prefer(browser, scheme)
        show(browser, addresses, page)
        keep_screenshot(browser, f"{page}-{scheme}")
        browser.execute_script(AXE.read_text())
        browser.set_script_timeout(120)
        found = browser.execute_async_script(RUN_AXE)
        faults += [(scheme, *fault) for fault in found]
    prefer(browser, "light")
    assert faults == []


def test_rays_overview_gets_one_panel_of_the_board_in_its_own_theme(browser: Any, addresses: dict[str, str]) -> None:
    show(browser, addresses, "board")
    root = addresses["board"].partition("?")[0]
    parts = ("figures", "pareto", "memory", "table")
    for panel, theme, shown in ((24, "dark", ["figures"]), (41, "light", ["pareto"])):
        browser.get(f"{root}d-solo/sweep-board/default-dashboard?orgId=1&theme={theme}&panelId={panel}")
        wait_for(lambda: "6 of 6" in (browser.find_element("id", "status").get_attribute("textContent") or ""))
        assert [part for part in parts if browser.find_element("id", part).is_displayed()] == shown
        assert browser.execute_script("return getComputedStyle(document.documentElement).colorScheme") == theme
        keep_screenshot(browser, f"panel-{panel}")
