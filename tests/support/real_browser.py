"""Debian's Chromium for the tests: one for the whole run, and what they ask of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until

NEEDS_CHROMIUM = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="Debian's chromium and chromium-driver are not installed",
)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,1500", "--disable-dev-shm-usage")


def start_chromium() -> Any:
    """Debian's Chromium, driven by selenium; `quit` ends it."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    driver = start_chromium()
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: Any) -> Any:
    """The one browser of the run, where no test before has left a log-in, a message or a page."""
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    for kind in ("performance", "browser"):
        chromium.get_log(kind)
    return chromium


def wait_for(condition: Callable[[], Any]) -> Any:
    """What `condition` returns as soon as it holds."""
    return wait_until(condition, "what the page should show", look_seconds=0.05)


def requested(browser: Any) -> list[str]:
    """Addresses of all requests since the last look, but for data that the page holds itself."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("data:", "blob:", "about:"))]


def requested_hosts(browser: Any) -> set[str]:
    """Hosts of all requests since the last look; "" stands for a file."""
    return {url.split("/")[2].split(":")[0] for url in requested(browser)}


def keep_screenshot(browser: Any, name: str) -> None:
    """Leave a picture of the page where SCREENSHOTS names a folder for it, to be looked at."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def prefer(browser: Any, scheme: str) -> None:
    """Let pages see a person who prefers `scheme`, light or dark."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
