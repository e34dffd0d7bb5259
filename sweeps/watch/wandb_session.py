"""Opens runs of Weights & Biases for a sweep, and goes on offline, for good, where the service does not answer."""

from __future__ import annotations

import contextlib
import http.client
import netrc
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

PROJECT = "galactica-sweeps"
INIT_TIMEOUT_SECONDS = 30
PROBE_TIMEOUT_SECONDS = 5
FINISH_TIMEOUT_SECONDS = 60  # for uploads at the end of a run; what is left then lies in its local file


class WandbSession:
    """All runs of one sweep that this process writes. `folder` is where wandb keeps its local files."""

    def __init__(self, group: str, folder: Path, mode: Literal["online", "offline"]) -> None:
        self.mode: Literal["online", "offline"] = mode
        self._group, self._folder = group, folder
        self._open: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)

    def open(self, run_id: str, name: str, job_type: str, tags: Sequence[str], config: dict[str, Any]) -> Any:
        """The run of this id, gone on with where there is one; None where wandb can give none this time."""
        import wandb

        wandb.setup(settings=wandb.Settings(silent=True))
        if self.mode == "online" and (reason := _why_unreachable(wandb.setup().settings.base_url)):
            self._go_offline(reason)
        described = {"id": run_id, "name": name, "job_type": job_type, "tags": list(tags), "config": config}
        try:
            return self._begin(described)
        except troubles() as error:
            self._go_offline(str(error) or type(error).__name__)
        if self._open:
            print(f"wandb: {name} is not mirrored.", file=sys.stderr)
            return None
        self.start_anew()  # wandb's process keeps the id of a run that failed to start
        return self._begin(described)

    def close(self, run: Any, *, failed: bool = False) -> None:
        """End a run; it is marked as failed where it was."""
        run.finish(exit_code=1 if failed else 0)
        self._open.remove(run.id)

    def check(self) -> None:
        """Ask whether the service that runs are sent to is there. Raises: ConnectionError."""
        import wandb

        if self.mode == "online" and (reason := _why_unreachable(wandb.setup().settings.base_url)):
            raise ConnectionError(reason)

    def give_up(self, run: Any, error: Exception) -> None:
        """End a run whose service, or wandb's own process, is gone; from now on runs are written offline."""
        self._go_offline(f"{run.id}'s run was cut off ({str(error) or type(error).__name__})")
        with contextlib.suppress(*troubles()):
            run.finish(exit_code=1)
        self._open.remove(run.id)

    def start_anew(self) -> bool:
        """Have wandb start a process of its own again, that takes every id; not while a run is open.

        Returns: whether it will.
        """
        import wandb

        if self._open:
            return False
        with contextlib.suppress(*troubles()):
            wandb.teardown()
        return True

    def _begin(self, described: dict[str, Any]) -> Any:
        import wandb

        run = wandb.init(
            **described,
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=self._group,
            dir=self._folder,
            mode=self.mode,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=INIT_TIMEOUT_SECONDS,
                finish_timeout=FINISH_TIMEOUT_SECONDS,
                x_disable_stats=True,
                x_save_requirements=described["job_type"] != "trial",  # 1.6 s a run, and the same for all of a sweep
            ),
        )
        self._open.append(run.id)
        return run

    def _go_offline(self, reason: str) -> None:
        self.mode = "offline"
        print(f"wandb: {' '.join(reason.split())}; continuing offline.", file=sys.stderr)


def troubles() -> tuple[type[Exception], ...]:
    """What wandb 0.31 raises when its service or its own process is gone; the last two have no public home."""
    import wandb
    from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

    return (wandb.Error, OSError, HandleAbandonedError, MailboxClosedError)


def _why_unreachable(url: str) -> str | None:
    """Why nothing answers at `url`; None when something does, be it with an error of its own."""
    try:
        urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{url} does not answer ({getattr(error, 'reason', error)})"
    return None


Mode = Literal["online", "offline", "disabled"]

KEY_HOSTS = ("api.forge.coreweave.com", "api.wandb.ai")  # where `wandb login` keeps a key, in 0.31 and before it


def choose_mode(asked: Mode | None) -> Mode:
    """The mode that was asked for; else online with an API key at hand, offline without one. Never asks a person."""
    if asked is not None:
        return asked
    if mode := os.environ.get("WANDB_MODE"):
        return "offline" if mode not in ("online", "disabled") else mode
    return "online" if _has_api_key() else "offline"


def _has_api_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    own = os.environ.get("WANDB_BASE_URL")
    try:
        keys = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return False
    entries = (keys.authenticators(host) for host in ([urllib.parse.urlsplit(own).netloc] if own else KEY_HOSTS))
    return any(entry is not None and entry[2] for entry in entries)
