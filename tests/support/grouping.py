"""Which tests need what (a cluster, a browser), and which stay together when two processes share the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# Each starts Ray processes: a sweep's own, a head, or hosts.
CLUSTERS = {"sweep_environment", "own_ray", "cluster", "head"}
CLUSTER_FOLDER = Path(__file__).resolve().parents[1] / "cluster"


def kinds_of(item: pytest.Item) -> set[str]:
    """The marks that a test has by its fixtures and its folder: `cluster`, `browser`, both or none."""
    fixtures = set(getattr(item, "fixturenames", ()))
    is_cluster = bool(fixtures & CLUSTERS) or item.path.is_relative_to(CLUSTER_FOLDER)
    return {kind for kind, holds in (("cluster", is_cluster), ("browser", "chromium" in fixtures)) if holds}


def group_of(item: pytest.Item) -> str:
    """What runs in one process, one after the other: a file, as its tests share what it started.

    A test that starts a cluster for itself alone is a group of its own.
    """
    name = item.nodeid.partition("::")[0]
    alone = "cluster" in kinds_of(item) and not _shares_with_its_file(item)
    return item.nodeid.partition("[")[0] if alone else name


def _shares_with_its_file(item: Any) -> bool:
    definitions = item._fixtureinfo.name2fixturedefs
    return any(found[-1].scope == "module" for found in definitions.values())
