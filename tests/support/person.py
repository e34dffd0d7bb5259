"""A person at their own machine: a home with a token, `ray up`, jobs through the tunnel, `ray down`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.network_hosts import ROOT
from tests.support.waiting import PATIENCE_SECONDS, free_port, wait_until

TOKEN = "0123456789abcdef0123456789abcdef"
RAY = f"{sys.prefix}/bin/ray"


class Person:
    """Starts and ends clusters from a home folder of their own; `environment` is laid over this process's."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        (home / ".ray").mkdir()
        (home / ".ray" / "auth_token").write_text(TOKEN)
        unwanted = ("RAY_ADDRESS", "WANDB_API_KEY", "RAY_AUTH_TOKEN", "RAY_TMPDIR")
        kept = {name: value for name, value in os.environ.items() if name not in unwanted}
        self.environment = {**kept, **environment, "HOME": str(home), "RAY_AUTH_MODE": "token"}

    def check(self, file: str, overlay: Path) -> Path:
        """What `make check-cluster` writes for `ray up`. Raises: AssertionError with its complaints."""
        written = self.home / file
        command = [sys.executable, str(ROOT / "sweeps" / "check_cluster.py"), str(ROOT / file)]
        self.run([*command, "--overlay", str(overlay), "--output", str(written)])
        return written

    def up(self, cluster: Path) -> None:
        """`ray up`."""
        self.run([RAY, "up", "--yes", "--no-config-cache", str(cluster)])

    def down(self, cluster: Path) -> None:
        """`ray down`."""
        self.run([RAY, "down", "--yes", str(cluster)])

    @contextlib.contextmanager
    def tunnel(self, cluster: Path) -> Iterator[str]:
        """`ray dashboard`: the dashboard's address on this machine while in the `with`."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        log = (self.home / "tunnel.log").open("wb")
        command = [RAY, "dashboard", "--no-config-cache", "--port", str(port), str(cluster)]
        process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: status_of(f"{address}/api/version") is not None, "the tunnel to the dashboard")
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait(20)
            log.close()

    def run(self, command: list[str]) -> str:
        """What a command printed. Raises: AssertionError with it where the command fails."""
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        assert done.returncode == 0, f"{command[:3]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """A command that runs on; what it tells goes to started.log in the person's home."""
        with (self.home / "started.log").open("ab") as log:
            return subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=log, stderr=log)


def status_of(url: str, token: str | None = None) -> int | None:
    """The HTTP status of a GET, with or without a token; None where nobody answers."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None
