"""What keeps Ray from starting, made to happen: each is one line that says what to do."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.planning import ray_start
from sweeps.planning.ray_start import RayStartError, check_answers, join_ray, local_ray


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def line_of(caught: pytest.ExceptionInfo[RayStartError]) -> str:
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_a_closed_port_is_told_within_seconds(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed_port}")
    monkeypatch.setattr(ray_start, "ANSWER_SECONDS", 0.5)
    with pytest.raises(RayStartError) as caught:
        join_ray()
    assert f"RAY_ADDRESS=127.0.0.1:{closed_port}" in line_of(caught)
    assert "unset RAY_ADDRESS" in line_of(caught)


def test_a_port_that_never_speaks_is_told_within_seconds(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_start, "ANSWER_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(RayStartError, match="no Ray head"):
        check_answers(f"127.0.0.1:{silent_port}")
    assert time.monotonic() - began < 60  # Ray itself asks for eight minutes


def test_names_that_ray_resolves_are_left_to_it() -> None:
    check_answers("auto")


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_a_folder_too_long_for_sockets_is_replaced_while_it_lasts(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = tmp_path / ("d" * 110)
    deep.mkdir()
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, str(deep))
    with ray_start._ray_folder() as folder:
        assert len(folder) <= ray_start.LONGEST_FOLDER
        assert os.environ["RAY_TMPDIR"] == folder
        assert Path(folder).is_dir()
    assert not Path(folder).exists()
    assert os.environ.get("RAY_TMPDIR") == (str(deep) if variable == "RAY_TMPDIR" else None)
    assert str(deep) in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/no/such/folder")
    with pytest.raises(RayStartError) as caught, local_ray():
        pass
    assert "/no/such/folder" in line_of(caught)
    assert "RAY_TMPDIR" in line_of(caught)


def test_a_folder_without_room_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/dev/shm")
    monkeypatch.setattr(ray_start, "LEAST_FREE_BYTES", 2**60)
    with pytest.raises(RayStartError) as caught, local_ray():
        pass
    assert "MiB free" in line_of(caught)


def test_a_slow_start_is_tried_again_and_other_trouble_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Exception("The current node timed out during startup. This could happen because ...")
    troubles: list[Exception | None] = [slow, slow, None, PermissionError(13, "Permission denied", "/home/me/.ray")]
    monkeypatch.setattr(ray_start, "_trouble", lambda **options: troubles.pop(0))
    ray_start._start("/tmp", {}, 300.0)
    assert len(troubles) == 1
    with pytest.raises(RayStartError) as caught:
        ray_start._start("/tmp", {}, 300.0)
    assert "/home/me/.ray" in line_of(caught)
    assert "HOME" in line_of(caught)


def test_a_start_that_stays_slow_ends_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_RAY_START_SECONDS", "0.5")
    slow = Exception("The current node timed out during startup.\nMore.")
    monkeypatch.setattr(ray_start, "_trouble", lambda **options: slow)
    with pytest.raises(RayStartError) as caught, local_ray():
        pass
    assert "did not start in 0 s" in line_of(caught)
    assert "wait longer with SWEEPS_RAY_START_SECONDS=2" in line_of(caught)


@pytest.mark.parametrize("text", ["soon", "-1", "0", "inf", "nan"])
def test_a_wait_that_is_no_number_of_seconds_is_one_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_RAY_START_SECONDS", text)
    with pytest.raises(RayStartError, match=f"SWEEPS_RAY_START_SECONDS='{text}'"), local_ray():
        pass
