"""A real sweep that runs while tests look at it: its dashboard, its token, and a Prometheus that scrapes it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import PATIENCE_SECONDS, free_port, wait_until

TRIALS = 6  # more than are waited for: the dashboard is there until the tests end the sweep
FLAGS = ("--model-sizes", "nano-0.3m", "--batch-sizes", "8", "16", "--micro-batch-sizes", "4")


@dataclass(frozen=True, kw_only=True)
class LiveSweep:
    """A sweep that runs, named `live`."""

    process: subprocess.Popen[str]
    folder: Path
    dashboard: str
    token: str
    prometheus: str | None

    def ask(self, path: str) -> Any:
        """What the dashboard answers in JSON."""
        request = urllib.request.Request(self.dashboard + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def query(self, expression: str, since: float) -> list[dict[str, Any]]:
        """The series that Prometheus has for `expression` from `since` until now."""
        told = {"query": expression, "start": since, "end": time.time(), "step": 1}
        with urllib.request.urlopen(
            f"{self.prometheus}/api/v1/query_range?{urllib.parse.urlencode(told)}", timeout=PATIENCE_SECONDS
        ) as answer:
            return json.load(answer)["data"]["result"]


@pytest.fixture(scope="module")
def live_sweep(
    sweep_environment: dict[str, str], sweep_command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveSweep]:
    folder = tmp_path_factory.mktemp("live")
    flags = ("--storage", str(folder), "--name", "live", "--trials", str(TRIALS), "--max-concurrent", "1", *FLAGS)
    environment = sweep_environment | {"RAY_metrics_report_interval_ms": "1000"}  # 10 s by default
    with subprocess.Popen(
        [*sweep_command, *flags, "--token-budget", "7000"],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as sweep:
        assert sweep.stdout is not None
        try:
            told, found = "", None
            while found is None:
                line = sweep.stdout.readline()
                assert line, f"the sweep ended before its dashboard stood: {told}"
                told, found = told + line, re.search(r"Ray dashboard: (http://\S+)", line)
            token = (Path(sweep_environment["HOME"]) / ".ray" / "auth_token").read_text().strip()
            with scraping(Path(sweep_environment["RAY_TMPDIR"]) / "ray" / "session_latest") as prometheus:
                yield LiveSweep(process=sweep, folder=folder, dashboard=found[1], token=token, prometheus=prometheus)
        finally:
            sweep.terminate()
            sweep.stdout.read()


@contextmanager
def scraping(session: Path) -> Iterator[str | None]:
    """Debian's Prometheus on the very configuration that Ray wrote, but for looking each second; None without one."""
    if not shutil.which("prometheus"):
        yield None
        return
    written = session / "metrics" / "prometheus" / "prometheus.yml"
    wait_until(written.exists, "Ray's prometheus.yml")
    own = session / "prometheus-in-tests"
    own.mkdir()
    (own / "prometheus.yml").write_text(written.read_text().replace("scrape_interval: 10s", "scrape_interval: 1s"))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={own}/prometheus.yml", f"--storage.tsdb.path={own}/data"]
    with subprocess.Popen(
        [*command, f"--web.listen-address={address}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: _is_ready(f"http://{address}"), "Prometheus")
            yield f"http://{address}"
        finally:
            process.terminate()


def _is_ready(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/-/ready", timeout=10) as answer:
        return answer.status == 200
    return False
