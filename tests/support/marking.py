"""Which tests need what: a cluster, a browser, or neither. Their fixtures and their folder tell."""

from __future__ import annotations

from pathlib import Path

import pytest

# Each starts Ray processes: a sweep's own, a head, or hosts.
CLUSTERS = {"sweep_environment", "own_ray", "cluster", "head"}
CLUSTER_FOLDER = Path(__file__).resolve().parents[1] / "cluster"


def kinds_of(item: pytest.Item) -> set[str]:
    """The marks that a test has by its fixtures and its folder: `cluster`, `browser`, both or none."""
    fixtures = set(getattr(item, "fixturenames", ()))
    is_cluster = bool(fixtures & CLUSTERS) or item.path.is_relative_to(CLUSTER_FOLDER)
    return {kind for kind, holds in (("cluster", is_cluster), ("browser", "chromium" in fixtures)) if holds}
