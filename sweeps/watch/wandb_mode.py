"""Whether trials go to Weights & Biases at once or into files: by flag, by variable, by a key at hand. Asks nobody."""

from __future__ import annotations

import netrc
import os
import urllib.parse
from typing import Literal

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
