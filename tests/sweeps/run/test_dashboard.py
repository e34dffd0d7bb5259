"""A real sweep in a real Ray dashboard: the board in a real browser, jobs and actors, and panels over Prometheus."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from sweeps.run.dashboard import Board
from tests.support.live_sweep import TRIALS, LiveSweep, live_sweep
from tests.support.real_browser import NEEDS_CHROMIUM, keep_screenshot, requested_hosts, wait_for
from tests.support.waiting import wait_until

__all__ = ["live_sweep"]
PANELS = Path(__file__).resolve().parents[3] / "docs" / "grafana" / "dashboards" / "sweep.json"


def test_a_grafana_that_a_person_named_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_GRAFANA_HOST", "http://grafana.example:3000")
    monkeypatch.delenv("RAY_PROMETHEUS_HOST", raising=False)
    board = Board.__new__(Board)
    board.address = "http://127.0.0.1:1"
    board.announce()
    assert os.environ["RAY_GRAFANA_HOST"] == "http://grafana.example:3000"
    assert "RAY_PROMETHEUS_HOST" not in os.environ


@NEEDS_CHROMIUM
def test_a_person_logs_in_and_sees_trials_come_in_rays_metrics_tab(browser: Any, live_sweep: LiveSweep) -> None:
    def find(selector: str) -> Any:
        return browser.find_elements("css selector", selector)

    browser.get(live_sweep.dashboard)
    wait_for(lambda: find("[role=dialog] input"))[0].send_keys(live_sweep.token)
    wait_for(lambda: find("[role=dialog] button:not([aria-label]):enabled"))[-1].click()
    wait_for(lambda: not find("[role=dialog]"))
    frame: list[Any] = []
    for _ in range(20):  # the dashboard asks for Grafana once, at its start, and its modules start after it
        browser.get("about:blank")
        browser.get(f"{live_sweep.dashboard}/#/metrics")
        time.sleep(2)
        if frame := find("iframe"):
            break
    keep_screenshot(browser, "dashboard-first")
    assert frame, browser.find_element("tag name", "body").text
    browser.switch_to.frame(frame[0])
    wait_for(lambda: find("#name") and find("#name")[0].text == "live")
    wait_for(lambda: "finished" in find("#table")[0].text)
    seen = len(find(".row"))
    assert seen < TRIALS
    find(".row")[0].click()
    wait_for(lambda: find(".samples .tuned"))
    assert find(".samples .tuned")[0].text
    find("#filter-card option[value='a10']")[0].click()
    wait_for(lambda: "fit a10" in find("#shown")[0].text)
    find("#filter-card option[value='']")[0].click()
    keep_screenshot(browser, "dashboard-trial")
    browser.execute_script("document.querySelector('.samples').scrollIntoView()")
    keep_screenshot(browser, "dashboard-samples")
    wait_for(lambda: len(find(".row")) > seen)  # the next trial arrived
    browser.switch_to.default_content()
    keep_screenshot(browser, "dashboard-metrics")
    browser.get(f"{live_sweep.dashboard}/#/overview")
    wait_for(lambda: len(find("iframe")) == 2)
    for place in find("iframe"):
        browser.switch_to.frame(place)
        wait_for(lambda: find("body[data-alone]") and find("#name")[0].get_attribute("textContent") == "live")
        browser.switch_to.default_content()
    keep_screenshot(browser, "dashboard-overview")
    for page in ("jobs", "actors"):
        browser.get(f"{live_sweep.dashboard}/#/{page}")
        time.sleep(1)
        keep_screenshot(browser, f"dashboard-{page}")
    assert requested_hosts(browser) == {"127.0.0.1"}


def test_jobs_tell_of_the_sweep_and_actors_and_tasks_of_their_trial(live_sweep: LiveSweep) -> None:
    (job,) = (job for job in live_sweep.ask("/api/jobs/") if job["type"] == "DRIVER")
    told = job["metadata"]
    assert (told["sweep"], told["trials"], told["sizes"]) == ("live", str(TRIALS), "nano-0.3m")

    def titles() -> list[str]:
        told = live_sweep.ask("/api/v0/actors?detail=1&limit=1000")["data"]["result"]["result"]
        names = {str(actor["repr_name"]) for actor in told if actor["class_name"] == "Trial"}
        return [name for name in names if name.startswith("trial 0000")]

    (title,) = wait_until(titles, "the first trial's actor")
    (proposal,) = (live_sweep.folder / "live" / "trials").glob("0000-*/proposal.json")
    batch, rate = json.loads(proposal.read_text())["batch_size"], json.loads(proposal.read_text())["learning_rate"]
    found = re.fullmatch(r"trial 0000 (\S+) batch (\d+) lr (\S+)", title)
    assert found is not None
    assert (found[1], int(found[2]), float(found[3])) == ("nano-0.3m", batch, rate)

    def is_among_the_tasks() -> bool:
        tasks = live_sweep.ask("/api/v0/tasks?detail=1&limit=1000")["data"]["result"]["result"]
        return title in {task["name"] for task in tasks}

    wait_until(is_among_the_tasks, f"the task {title!r}")  # workers tell of their tasks now and then


@pytest.mark.skipif(not shutil.which("prometheus"), reason="Debian's prometheus is not installed")
def test_every_panel_of_the_grafana_dashboard_has_data_in_prometheus(live_sweep: LiveSweep) -> None:
    panels = json.loads(PANELS.read_text())["panels"]
    asked = [(p["title"], target["expr"].replace("$sweep", "live")) for p in panels for target in p["targets"]]
    assert len(asked) >= 7
    began = time.time() - 600
    for title, expression in asked:
        wait_until(lambda asked=expression: live_sweep.query(asked, began), f"data for the panel {title}")
    (series, *_) = live_sweep.query(asked[1][1], began)
    trials, name = live_sweep.folder / "live" / "trials", f"{series['metric']['trial']}-*/record.json"
    (path,) = wait_until(lambda: list(trials.glob(name)), "the record of that trial")
    record = json.loads(path.read_text())
    assert series["metric"] == {
        "sweep": "live",
        "trial": f"{record['number']:04d}",
        "size": record["settings"]["model"],
        "batch": str(record["settings"]["batch_size"]),
    }
    assert float(series["values"][-1][1]) == record["report"]["memory"]["peak_bytes"]
