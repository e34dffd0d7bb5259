"""What a sweep shows in the Ray dashboard: the live board in the Metrics tab, and its facts in the list of jobs.

Ray frames what answers as Grafana; the board does, until a person names a Grafana of their own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

from analysis.serve.local_page import HOST
from sweeps.run.prepare import Prepared
from trainables.records.plan import VALUES, SweepPlan

DASHBOARD_UID = "sweep-board"
END_SECONDS = 30


class Board:
    """The board of one sweep in a process of its own, which ends with this one, however this one ends."""

    def __init__(self, sweep_uri: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "analysis.board", sweep_uri, "--until-stdin-ends"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        found = re.search(rf"http://{re.escape(HOST)}:\d+", self._process.stdout.readline())
        self.address = found[0] if found else None

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        """End the board."""
        try:
            self._process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def announce(self) -> None:
        """Tell Ray, before its dashboard starts, to frame the board; a Grafana that a person named stays.

        The board answers for Prometheus only where no other is named. Source: ray 2.60, dashboard metrics settings.
        """
        if self.address is None or os.environ.get("RAY_GRAFANA_HOST"):
            return
        os.environ["RAY_GRAFANA_HOST"] = os.environ["RAY_GRAFANA_IFRAME_HOST"] = self.address
        os.environ.setdefault("RAY_PROMETHEUS_HOST", self.address)
        os.environ["RAY_GRAFANA_DEFAULT_DASHBOARD_UID"] = DASHBOARD_UID

    def allow(self, origin: str) -> None:
        """Let the page at `origin`, such as the Ray dashboard, frame the board."""
        if self._process.stdin is None or self._process.poll() is not None:
            return
        try:
            self._process.stdin.write(f"{origin}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # the sweep goes on without its board


def _values(plan: SweepPlan, name: str) -> str:
    """The values of a parameter that is searched; of a range its ends."""
    values = getattr(plan, VALUES[name])
    return f"{values[0]:g} to {values[-1]:g}" if name in plan.ranges else ", ".join(f"{value:g}" for value in values)


def job_options(prepared: Prepared) -> dict[str, Any]:
    """For `ray.init`: the sweep's facts for the Jobs tab; none within `ray job submit`, whose own metadata stand there.

    Source: ray 2.60, ray.job_config and the injected configuration of a submitted job.
    """
    from ray.job_config import JobConfig

    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return {}
    facts = prepared.facts
    plan = facts.plan
    metadata = {
        "sweep": facts.name,
        "question": facts.question,
        "storage": prepared.storage.uri,
        "trials": plan.trials,
        "sizes": ", ".join(plan.models),
        "batch sizes": _values(plan, "batch_size"),
        "learning rates": _values(plan, "learning_rate"),
        "data": plan.data,
        "commit": facts.provenance.git_sha,
    }
    return {"job_config": JobConfig(metadata={name: str(value) for name, value in metadata.items()})}
