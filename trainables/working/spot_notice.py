"""AWS's word that this spot machine will be taken away, two minutes before it is: a thread asks, on such a machine.

Elsewhere nothing is asked of anybody. Source: Amazon EC2 User Guide, "Spot Instance interruption notices" and IMDSv2;
AWS SDKs and Tools Reference Guide, AWS_EC2_METADATA_DISABLED and AWS_EC2_METADATA_SERVICE_ENDPOINT.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

ENDPOINT = "http://169.254.169.254"
VENDOR = Path("/sys/class/dmi/id/sys_vendor")  # "Amazon EC2" on its machines, in containers too
POLL_SECONDS = 5.0  # as AWS advises
ANSWER_SECONDS = 2.0  # the service is on the machine itself
TOKEN_SECONDS = 21_600
SAVE_SECONDS = 30.0  # assumed: between checkpoints once the notice is there

TOKEN = "X-aws-ec2-metadata-token"
TOKEN_PATH = "/latest/api/token"
LIFE_CYCLE_PATH = "/latest/meta-data/instance-life-cycle"
NOTICE_PATH = "/latest/meta-data/spot/instance-action"


class SpotNotice:
    """Whether the machine is about to be taken away; `endpoint` None, or one that tells of no spot machine: never."""

    def __init__(self, endpoint: str | None, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._endpoint, self._poll_seconds = endpoint, poll_seconds
        self._given = threading.Event()
        self._asked_at: float | None = None
        if endpoint is not None:
            threading.Thread(target=self._watch, name="spot-notice", daemon=True).start()

    @property
    def is_given(self) -> bool:
        """Whether the notice has come."""
        return self._given.is_set()

    def asks_to_save(self, clock: Callable[[], float] = time.monotonic) -> bool:
        """Whether a checkpoint is to be written now: at the notice, and now and then while the machine lasts."""
        if not self.is_given or (self._asked_at is not None and clock() - self._asked_at < SAVE_SECONDS):
            return False
        self._asked_at = clock()
        return True

    def _watch(self) -> None:
        token = None
        while not self._given.is_set():
            try:
                token = token or self._ask(TOKEN_PATH, {f"{TOKEN}-ttl-seconds": str(TOKEN_SECONDS)}, "PUT")
                mine = {TOKEN: token}
                if self._ask(LIFE_CYCLE_PATH, mine) != "spot":
                    return
                self._ask(NOTICE_PATH, mine)
                self._given.set()
                return
            except urllib.error.HTTPError as error:
                token = None if error.code == 401 else token  # 404: no notice yet; 401: the token has run out
                if error.code not in (401, 404):
                    return
            except OSError:
                pass  # for the moment nobody answers
            time.sleep(self._poll_seconds)

    def _ask(self, path: str, headers: dict[str, str], method: str = "GET") -> str:
        request = urllib.request.Request(f"{self._endpoint}{path}", headers=headers, method=method)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=ANSWER_SECONDS) as answer:
            return answer.read().decode()


@functools.cache
def spot_notice() -> SpotNotice:
    """This process's: where the machine is Amazon's, or the environment names a metadata service."""
    return SpotNotice(_endpoint())


def _endpoint() -> str | None:
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    if named := os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"):
        return named.rstrip("/")
    try:
        return ENDPOINT if "Amazon EC2" in VENDOR.read_text() else None
    except OSError:
        return None
