"""The tests of every day start neither cluster nor browser; those that do come first, as they take longest."""

from __future__ import annotations

import pytest


def test_what_starts_a_cluster_or_a_browser_is_marked_and_comes_first(request: pytest.FixtureRequest) -> None:
    items = request.session.items
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        assert (item.get_closest_marker("browser") is not None) == ("chromium" in fixtures)
        if fixtures & {"run_sweep", "live_sweep", "own_ray"}:
            assert item.get_closest_marker("cluster") is not None
    files = {item.path: False for item in items}
    for item in items:
        files[item.path] |= item.get_closest_marker("cluster") is not None
    assert list(files.values()) == sorted(files.values(), reverse=True)
