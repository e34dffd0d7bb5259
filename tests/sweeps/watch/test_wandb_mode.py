"""Whether trials go to wandb at once or to files: by flag, by variable, by a key at hand; no person is asked."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sweeps.watch.wandb_session import choose_mode


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without any key."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_netrc(home: Path, host: str, mode: int = stat.S_IRUSR | stat.S_IWUSR) -> None:
    path = home / ".netrc"
    path.write_text(f"machine {host}\n  login user\n  password {'0' * 40}\n")
    path.chmod(mode)


def test_without_a_key_runs_are_written_offline(home: Path) -> None:
    assert choose_mode(None) == "offline"


def test_a_key_in_the_environment_means_online(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert choose_mode(None) == "online"


@pytest.mark.parametrize("host", ["api.wandb.ai", "api.forge.coreweave.com"])
def test_a_key_that_login_left_means_online(home: Path, host: str) -> None:
    write_netrc(home, host)
    assert choose_mode(None) == "online"


def test_the_key_of_another_host_is_no_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_netrc(home, "wandb.example.org:8080")
    assert choose_mode(None) == "offline"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert choose_mode(None) == "online"


@pytest.mark.parametrize("content", ["machine api.wandb.ai\n  login\n", "nonsense here\n", "", "machine é\n"])
def test_a_broken_netrc_is_no_key(home: Path, content: str) -> None:
    (home / ".netrc").write_text(content)
    assert choose_mode(None) == "offline"


def test_a_folder_in_place_of_netrc_is_no_key(home: Path) -> None:
    (home / ".netrc").mkdir()
    assert choose_mode(None) == "offline"


@pytest.mark.parametrize(
    ("variable", "mode"),
    [("online", "online"), ("offline", "offline"), ("disabled", "disabled"), ("dryrun", "offline"), ("", "offline")],
)
def test_wandbs_own_variable_is_respected_and_the_flag_wins(
    variable: str, mode: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", variable)
    assert choose_mode(None) == mode
    assert choose_mode("disabled") == "disabled"
    assert choose_mode("online") == "online"
