"""Patience with an object store that is busy or out of reach: asked again, after longer and longer pauses."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

PATIENCE_SECONDS = 180.0  # assumed: an outage of minutes passes by; pyarrow's own tries end after 7 s, measured on 503
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 15.0
# As pyarrow 26 spells what AWS's client calls worth another try; a refusal (no access, no such bucket) is not.
PASSING = (
    "HTTP status 5",
    "SLOW_DOWN",
    "THROTTLING",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_FAILURE",
    "NETWORK_CONNECTION",
    "REQUEST_TIMEOUT",
)

P = ParamSpec("P")
T = TypeVar("T")


def patient(call: Callable[P, T]) -> Callable[P, T]:
    """`call`, made again while it ends in an error of an object store that may pass, for `PATIENCE_SECONDS`.

    It must be one that may be made twice. Raises: what `call` raises, the last time.
    """

    @functools.wraps(call)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        until, pause = time.monotonic() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            try:
                return call(*args, **kwargs)
            except OSError as error:
                if not may_pass(error) or time.monotonic() > until:
                    raise
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    return made


def may_pass(error: OSError) -> bool:
    """Whether an object store gave this error because it was busy or could not be reached."""
    return any(sign in str(error) for sign in PASSING)
