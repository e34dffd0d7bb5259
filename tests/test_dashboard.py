"""The board inside a real Ray dashboard during a real sweep, in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from test_board_browser import browser, requested_hosts, wait_for

from sweeps.dashboard import Board

__all__ = ["browser"]
SMALL = ("--model-sizes", "nano-0.3m", "--batch-sizes", "8", "--micro-batch-sizes", "4", "--token-budget", "4000")


def test_a_grafana_that_a_person_named_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_GRAFANA_HOST", "http://grafana.example:3000")
    monkeypatch.delenv("RAY_PROMETHEUS_HOST", raising=False)
    board = Board.__new__(Board)
    board.address = "http://127.0.0.1:1"
    board.announce()
    assert os.environ["RAY_GRAFANA_HOST"] == "http://grafana.example:3000"
    assert "RAY_PROMETHEUS_HOST" not in os.environ


@pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="Debian's chromium and chromium-driver are not installed",
)
def test_trials_show_in_rays_metrics_tab_while_the_sweep_runs(
    browser: Any, sweep_environment: dict[str, str], sweep_command: list[str], tmp_path: Path
) -> None:
    flags = ("--storage", str(tmp_path), "--name", "live", "--trials", "2", "--max-concurrent", "1", *SMALL)
    with subprocess.Popen(
        [*sweep_command, *flags], env=sweep_environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as sweep:
        assert sweep.stdout is not None
        try:
            found = None
            while found is None:
                line = sweep.stdout.readline()
                assert line, "the sweep ended before its dashboard stood"
                found = re.search(r"Ray dashboard: (http://\S+)", line)
            token = (Path(sweep_environment["HOME"]) / ".ray" / "auth_token").read_text().strip()
            browser.get(found[1])
            log_in = """
                const done = arguments[1];
                fetch("/api/authenticate", { method: "POST", headers: { Authorization: "Bearer " + arguments[0] } })
                  .then((answer) => done(answer.status));
            """
            assert browser.execute_async_script(log_in, token) == 200
            frame: list[Any] = []
            for _ in range(20):  # the dashboard asks for Grafana once, at its start, and its modules start after it
                browser.get("about:blank")
                browser.get(f"{found[1]}/#/metrics")
                time.sleep(2)
                if frame := browser.find_elements("css selector", "iframe"):
                    break
            browser.save_screenshot(str(tmp_path / "metrics.png"))
            assert frame, browser.find_element("tag name", "body").text
            browser.switch_to.frame(frame[0])
            wait_for(lambda: browser.find_elements("id", "name") and browser.find_element("id", "name").text == "live")
            wait_for(lambda: "finished" in browser.find_element("id", "table").text, 120)
            wait_for(lambda: len(browser.find_elements("css selector", ".row")) == 2, 60)  # the next trial arrived
            browser.find_element("css selector", ".row").click()
            wait_for(lambda: browser.find_elements("css selector", ".samples .tuned"))
            assert browser.find_element("css selector", ".samples").text
            browser.find_element("css selector", "#filter-card option[value='a10']").click()
            wait_for(lambda: "fit a10" in browser.find_element("id", "shown").text)
            browser.switch_to.default_content()
            browser.save_screenshot(str(tmp_path / "dashboard.png"))
            assert requested_hosts(browser) == {"127.0.0.1"}
        finally:
            sweep.terminate()
            sweep.stdout.read()
